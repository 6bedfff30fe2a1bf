"""Chooses one version of every component that satisfies the stack's pins and the catalog's rules, newest first.

`resolvelib` does the search; this module tells it what exists and what a candidate needs, and turns its failures into
sentences. What was newer but did not fit is kept with the rule that refused it, so that a plan can say why.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, ResolutionTooDeep, Resolver

from ingot.errors import IngotError
from ingot.models import Component, Offer, Release
from ingot.rules import Context, Need, Part, forbidden, needs_of

ROUNDS = 10_000
# How many versions of a component an explanation lists.
LISTED = 6


@dataclass(frozen=True)
class Candidate(Part):
    """One version of a component as one offer has it; `exact` is the source's own version (535.274.02-1~deb13u1)."""

    exact: str
    offer: Offer
    release: Release | None = None


@dataclass(frozen=True)
class Rejected:
    """A newer candidate that was not taken, and the need that it breaks or that breaks with it."""

    candidate: Candidate
    need: str


@dataclass(frozen=True)
class World:
    """All there is to choose from: candidates, best first, in the order of decisions; rules; and what they are for."""

    candidates: Mapping[str, Sequence[Candidate]]
    components: Mapping[str, Component]
    context: Context
    accepted: Collection[str] = ()
    useless: dict[str, dict[int, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, listed in self.candidates.items():
            self.useless[name] = {}
            for candidate in listed:
                rule = forbidden(candidate, self.components[name], self.context, self.accepted)
                if rule:
                    self.useless[name][id(candidate)] = f"{candidate} cannot be: {rule.reason} [{rule.id}]"

    def of(self, name: str) -> Iterator[Candidate]:
        """The candidates of a component that no rule forbids."""
        return (each for each in self.candidates[name] if id(each) not in self.useless[name])

    def needs(self, candidate: Candidate) -> list[Need]:
        """What a candidate asks of the others; a rule about a component that is left out asks nothing."""
        needs = needs_of(candidate, self.components[candidate.component], self.context, self.accepted)
        return [need for need in needs if need.component in self.candidates]


class _Provider(AbstractProvider[Need, Candidate, str]):
    """What resolvelib asks: candidates newest first, in the order of the stack's pins."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._order = {name: number for number, name in enumerate(world.candidates)}
        self._needs: dict[int, list[Need]] = {}
        self.everything = [Need(name, "*", "it is part of the stack") for name in world.candidates]

    def identify(self, requirement_or_candidate: Need | Candidate) -> str:
        return requirement_or_candidate.component

    def get_preference(self, identifier: str, *_: Any, **__: Any) -> int:
        return self._order[identifier]

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[Need]],
        incompatibilities: Mapping[str, Iterator[Candidate]],
    ) -> Iterable[Candidate]:
        needs = list(requirements[identifier])
        bad = set(map(id, incompatibilities[identifier]))
        return [
            candidate
            for candidate in self._world.of(identifier)
            if id(candidate) not in bad and all(need.allows(candidate) for need in needs)
        ]

    def is_satisfied_by(self, requirement: Need, candidate: Candidate) -> bool:
        return requirement.allows(candidate)

    def get_dependencies(self, candidate: Candidate) -> list[Need]:
        if id(candidate) not in self._needs:
            self._needs[id(candidate)] = self._world.needs(candidate)
        return self._needs[id(candidate)]


def _solve(provider: _Provider, needs: Sequence[Need]) -> dict[str, Candidate]:
    """Any solution; resolvelib gives up the pin of one component for a newer version of another as it likes."""
    solver: Resolver[Need, Candidate, str] = Resolver(provider, BaseReporter())
    try:
        return dict(solver.resolve([*provider.everything, *needs], max_rounds=ROUNDS).mapping)
    except ResolutionTooDeep:
        raise IngotError(f"no answer was found in {ROUNDS} steps", hint="narrow some pins of the stack") from None


def resolve(world: World, wishes: Iterable[Need]) -> dict[str, Candidate]:
    """One candidate for each component, the best that fits what was decided before it, in the order of decisions.

    Raises IngotError that names the chain of needs, and the nearest change that would make it fit, when nothing does.
    """
    provider = _Provider(world)
    needs = list(wishes)
    try:
        chosen = _solve(provider, needs)
    except ResolutionImpossible as error:
        raise _explained(world, needs, [cause.requirement for cause in error.causes]) from None
    decided: dict[str, Candidate] = {}
    for name in world.candidates:
        for candidate in world.of(name):
            if candidate is chosen[name]:
                break
            if _clashes(world, candidate, decided, needs):
                continue
            try:
                chosen = _solve(provider, [*needs, _exactly(candidate)])
                break
            except ResolutionImpossible:
                continue
        decided[name] = chosen[name]
        needs.append(_exactly(chosen[name]))
    return {name: chosen[name] for name in world.candidates}


@dataclass(frozen=True)
class _Exactly(Need):
    """The need of one candidate and no other."""

    candidate: Candidate | None = None

    def allows(self, part: Part) -> bool:
        return part is self.candidate


def _exactly(candidate: Candidate) -> Need:
    return _Exactly(candidate.component, "*", "decided before", candidate=candidate)


def _clashes(world: World, candidate: Candidate, decided: Mapping[str, Candidate], wishes: Iterable[Need]) -> bool:
    """Whether a candidate breaks a wish or cannot go with what is decided; saves most searches."""
    asked = [need for other in decided.values() for need in world.needs(other)]
    mine = [need for need in world.needs(candidate) if need.component in decided]
    return not (
        all(need.allows(candidate) for need in [*wishes, *asked] if need.component == candidate.component)
        and all(need.allows(decided[need.component]) for need in mine)
    )


def _explained(world: World, wishes: Sequence[Need], causes: Sequence[Need]) -> IngotError:
    """The failure in sentences: the needs that clash, what there is, and the nearest change that would make it fit."""
    lines = list(dict.fromkeys(str(cause) for cause in causes if cause.spec != "*" or cause.facts))
    for name in dict.fromkeys(need.component for need in causes):
        lines += list(dict.fromkeys(world.useless[name].values()))[:LISTED]
        texts = list(dict.fromkeys(each.text or "a version that is not known" for each in world.of(name)))
        more = f" and {len(texts) - LISTED} older" if len(texts) > LISTED else ""
        lines.append(f"{name} exists as {', '.join(texts[:LISTED]) or 'nothing'}{more}")
    rules = ", ".join(sorted({need.rule for need in causes if need.rule}))
    accept = f"; or accept {rules} in the stack, and say why" if rules else ""
    hint = _nearest(world, wishes, causes) + accept
    return IngotError("no set of versions fits:\n  " + "\n  ".join(lines), hint=hint)


def _nearest(world: World, wishes: Sequence[Need], causes: Sequence[Need]) -> str:
    """A change of one wish, of those that clash if possible, that makes the others fit."""
    clashing = {need.component for need in causes}
    provider = _Provider(world)
    narrow = [wish for wish in wishes if wish.spec != "*" or wish.facts]
    for wish in sorted(narrow, key=lambda wish: wish.component not in clashing):
        try:
            chosen = _solve(provider, [each for each in wishes if each is not wish])[wish.component]
        except ResolutionImpossible:
            continue
        facts = "".join(f" with {name}={chosen.facts[name]}" for name in wish.facts if name in chosen.facts)
        wished = wish.spec if wish.spec != "*" else " and ".join(f"{n}={v}" for n, v in wish.facts.items())
        return f"{chosen}{facts} would fit, in place of {wished} ({wish.reason})"
    return "widen several of these pins, or leave a component out"


def rejections(chosen: Mapping[str, Candidate], world: World, wishes: Sequence[Need]) -> dict[str, list[Rejected]]:
    """For each component, every candidate newer than the chosen one and the need that kept it out."""
    found: dict[str, list[Rejected]] = {}
    for name, taken in chosen.items():
        for candidate in world.candidates[name]:
            if candidate.version is None or taken.version is None or candidate.version <= taken.version:
                continue
            asked = [need for need in wishes if need.component == name and not need.allows(candidate)]
            asked += [
                need
                for other in chosen.values()
                for need in world.needs(other)
                if need.component == name and not need.allows(candidate)
            ]
            asked += [
                need
                for need in world.needs(candidate)
                if need.component in chosen and not need.allows(chosen[need.component])
            ]
            why = str(asked[0]) if asked else world.useless[name].get(id(candidate), "another choice excludes it")
            if asked and asked[0].component != name:
                why += f"; it is {chosen[asked[0].component].text}"
            found.setdefault(name, []).append(Rejected(candidate, why))
    return found
