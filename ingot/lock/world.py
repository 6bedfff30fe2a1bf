"""The candidates of a resolution, and the search for a set of versions that satisfies every rule."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, ResolutionTooDeep, Resolver

from ingot.catalog.advisories import Plain, engine, refusals
from ingot.catalog.rules import Context, Need, Part, forbidden, holding, needs_of
from ingot.errors import IngotError
from ingot.model.component import Component, Offer, Release
from ingot.model.rule import Rule

ROUNDS = 10_000


@dataclass(frozen=True)
class Candidate(Part):
    """One version of a component as one offer has it; `exact` is the source's own version (535.274.02-1~deb13u1)."""

    exact: str
    offer: Offer
    release: Release | None = None

    @property
    def source(self) -> str:
        """Where its packages come from, as a lock names it."""
        if self.offer.repository:
            return self.offer.repository.name
        return "debian" if self.offer.apt else "pypi" if self.offer.wheels else "download"

    @property
    def thing(self) -> Plain:
        """What advisories judge."""
        return {
            "kind": "component",
            "name": self.component,
            "version": self.text,
            "source": self.source,
            "facts": self.facts,
        }


@dataclass(frozen=True)
class Rejected:
    """A newer candidate that was rejected, and the need that it breaks or that its own needs conflict with."""

    candidate: Candidate
    need: str


@dataclass
class _Known:
    """Cached facts about candidates, shared by worlds that differ only in accepted rules."""

    rules: dict[str, list[Rule]] = field(default_factory=dict)
    needs: dict[int, list[Need]] = field(default_factory=dict)
    forbidden: dict[int, list[Rule]] = field(default_factory=dict)
    faults: dict[int, list[Plain]] = field(default_factory=dict)
    clashes: dict[tuple[int, int], frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """The input of a resolution: candidates, best first, in the order of decisions; their rules; and the context.

    `accepted` are rules, advisories and bulletins that may be broken; `advisories` are those that refuse versions, by
    component.
    """

    candidates: Mapping[str, Sequence[Candidate]]
    components: Mapping[str, Component]
    context: Context
    accepted: Collection[str] = ()
    advisories: Mapping[str, Sequence[Plain]] = field(default_factory=dict)
    known: _Known = field(default_factory=_Known)

    def of(self, name: str) -> Iterator[Candidate]:
        """The candidates of a component that no rule forbids and no advisory refuses."""
        return (candidate for candidate in self.candidates[name] if not self.useless(candidate))

    def forbids(self, candidate: Candidate) -> list[Rule]:
        """The rules that forbid a candidate and that are not accepted."""
        forbidding = self.known.forbidden.get(id(candidate))
        if forbidding is None:
            forbidding = list(forbidden(candidate, self._rules(candidate.component)))
            self.known.forbidden[id(candidate)] = forbidding
        return [rule for rule in forbidding if rule.id not in self.accepted]

    def useless(self, candidate: Candidate) -> str:
        """The reason if a rule forbids or an advisory refuses a candidate, else empty."""
        if rules := self.forbids(candidate):
            return f"{candidate} cannot be: {rules[0].reason} [{rules[0].id}]"
        faults = self.faults(candidate)
        if not faults:
            return ""
        worst, others = faults[0], sorted({fault["id"] for fault in faults[1:]})
        fix = f"fixed in {worst['fixed']}" if worst["fixed"] else "no fixed version is known"
        more = f"; {len(others)} more: {', '.join(others)}" if others else ""
        return f"{candidate} cannot be: {worst['summary']}, {engine().rated(worst)}, {fix} [{worst['id']}]{more}"

    def faults(self, candidate: Candidate) -> list[Plain]:
        """The advisories that refuse a candidate and that are not accepted, worst first."""
        found = self.known.faults.get(id(candidate))
        if found is None:
            found = refusals(self.advisories, candidate.thing)
            self.known.faults[id(candidate)] = found
        return [fault for fault in found if not {fault["id"], fault["bulletin"]} & set(self.accepted)]

    def _rules(self, name: str) -> list[Rule]:
        if name not in self.known.rules:
            self.known.rules[name] = holding(self.components[name], self.context)
        return self.known.rules[name]

    def _all_needs(self, candidate: Candidate) -> list[Need]:
        needs = self.known.needs.get(id(candidate))
        if needs is None:
            needs = needs_of(candidate, self._rules(candidate.component))
            self.known.needs[id(candidate)] = needs
        return needs

    def needs(self, candidate: Candidate) -> list[Need]:
        """A candidate's needs; rules about components that are left out do not count."""
        needs = self._all_needs(candidate)
        return [need for need in needs if need.component in self.candidates and need.rule not in self.accepted]

    def clash(self, one: Candidate, other: Candidate) -> bool:
        """Whether a rule makes two candidates incompatible."""
        key = (id(one), id(other))
        broken = self.known.clashes.get(key)
        if broken is None:
            needs = [need for need in self._all_needs(one) if need.component == other.component]
            back = [need for need in self._all_needs(other) if need.component == one.component]
            broken = frozenset(n.rule for n in needs if not n.allows(other))
            broken |= frozenset(n.rule for n in back if not n.allows(one))
            self.known.clashes[key] = broken
        return not broken <= set(self.accepted)

    def without(self, name: str) -> "World":
        """This world without a component."""
        rest = {other: listed for other, listed in self.candidates.items() if other != name}
        return replace(self, candidates=rest)

    def accepting(self, rules: Collection[str]) -> "World":
        """This world with exactly these rules and advisories accepted."""
        return replace(self, accepted=rules)


def _possible(world: World, wishes: Sequence[Need]) -> dict[str, list[Candidate]]:
    """The candidates that fulfil the wishes and have a compatible partner in each component that a rule ties to theirs.

    Raises ResolutionImpossible if a component has none. Without this, the search tries all versions of the components
    decided in between before it gives up on two that conflict.
    """
    needs: dict[str, list[Need]] = {name: [] for name in world.candidates}
    for wish in wishes:
        needs[wish.component].append(wish)
    possible = {
        name: [
            candidate
            for candidate in listed
            if all(wish.allows(candidate) for wish in needs[name]) and not world.useless(candidate)
        ]
        for name, listed in world.candidates.items()
    }
    ties: dict[str, set[str]] = {name: set() for name in possible}
    for name, listed in possible.items():
        for other in {need.component for candidate in listed for need in world.needs(candidate)}:
            ties[name].add(other)
            ties[other].add(name)
    waiting = list(possible)
    while waiting:
        name = waiting.pop()
        for other in ties[name]:
            kept = [
                candidate
                for candidate in possible[other]
                if any(not world.clash(candidate, partner) for partner in possible[name])
            ]
            if len(kept) < len(possible[other]):
                possible[other] = kept
                waiting.append(other)
    if not all(possible.values()):
        raise ResolutionImpossible([])
    return possible


class _Provider(AbstractProvider[Need, Candidate, str]):
    """The provider for resolvelib: candidates newest first, in the order of the stack's pins."""

    def __init__(self, world: World, possible: Mapping[str, Sequence[Candidate]]) -> None:
        self._world = world
        self._possible = possible
        self._order = {name: number for number, name in enumerate(world.candidates)}

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
            for candidate in self._possible[identifier]
            if id(candidate) not in bad and all(need.allows(candidate) for need in needs)
        ]

    def is_satisfied_by(self, requirement: Need, candidate: Candidate) -> bool:
        return requirement.allows(candidate)

    def get_dependencies(self, candidate: Candidate) -> list[Need]:
        return self._world.needs(candidate)


def solve(world: World, wishes: Iterable[Need]) -> dict[str, Candidate]:
    """Any solution; resolvelib may trade the version of one component for a newer one of another."""
    needs = [wish for wish in wishes if wish.component in world.candidates]
    everything = [Need(name, "*", "it is part of the stack") for name in world.candidates]
    solver: Resolver[Need, Candidate, str] = Resolver(_Provider(world, _possible(world, needs)), BaseReporter())
    try:
        return dict(solver.resolve([*everything, *needs], max_rounds=ROUNDS).mapping)
    except ResolutionTooDeep:
        raise IngotError(f"no solution found in {ROUNDS} steps", hint="narrow some pins of the stack") from None
