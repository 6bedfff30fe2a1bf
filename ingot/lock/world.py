"""All there is to choose from, and the search for a set of versions that satisfies every rule."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, ResolutionTooDeep, Resolver

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


@dataclass(frozen=True)
class Rejected:
    """A newer candidate that was not taken, and the need that it breaks or that breaks with it."""

    candidate: Candidate
    need: str


@dataclass
class _Known:
    """What has been worked out of candidates; worlds that differ in what they accept share it."""

    rules: dict[str, list[Rule]] = field(default_factory=dict)
    needs: dict[int, list[Need]] = field(default_factory=dict)
    forbidden: dict[int, list[Rule]] = field(default_factory=dict)
    clashes: dict[tuple[int, int], frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """All there is to choose from: candidates, best first, in the order of decisions; rules; and what they are for."""

    candidates: Mapping[str, Sequence[Candidate]]
    components: Mapping[str, Component]
    context: Context
    accepted: Collection[str] = ()
    known: _Known = field(default_factory=_Known)

    def of(self, name: str) -> Iterator[Candidate]:
        """The candidates of a component that no rule forbids."""
        return (each for each in self.candidates[name] if not self.useless(each))

    def useless(self, candidate: Candidate) -> str:
        """Why there is no use for a candidate, if a rule forbids it."""
        found = self.known.forbidden.get(id(candidate))
        if found is None:
            found = list(forbidden(candidate, self._rules(candidate.component)))
            self.known.forbidden[id(candidate)] = found
        rules = [rule for rule in found if rule.id not in self.accepted]
        return f"{candidate} cannot be: {rules[0].reason} [{rules[0].id}]" if rules else ""

    def _rules(self, name: str) -> list[Rule]:
        if name not in self.known.rules:
            self.known.rules[name] = holding(self.components[name], self.context)
        return self.known.rules[name]

    def _all_needs(self, candidate: Candidate) -> list[Need]:
        found = self.known.needs.get(id(candidate))
        if found is None:
            found = needs_of(candidate, self._rules(candidate.component))
            self.known.needs[id(candidate)] = found
        return found

    def needs(self, candidate: Candidate) -> list[Need]:
        """What a candidate asks of the others; a rule about a component that is left out asks nothing."""
        needs = self._all_needs(candidate)
        return [need for need in needs if need.component in self.candidates and need.rule not in self.accepted]

    def clash(self, one: Candidate, other: Candidate) -> bool:
        """Whether a rule keeps two candidates from each other."""
        key = (id(one), id(other))
        found = self.known.clashes.get(key)
        if found is None:
            needs = [need for need in self._all_needs(one) if need.component == other.component]
            back = [need for need in self._all_needs(other) if need.component == one.component]
            found = frozenset(n.rule for n in needs if not n.allows(other))
            found |= frozenset(n.rule for n in back if not n.allows(one))
            self.known.clashes[key] = found
        return not found <= set(self.accepted)

    def without(self, name: str) -> "World":
        """The same without a component."""
        rest = {other: listed for other, listed in self.candidates.items() if other != name}
        return World(rest, self.components, self.context, self.accepted, self.known)

    def accepting(self, rules: Collection[str]) -> "World":
        """The same where these rules are accepted, and no others."""
        return World(self.candidates, self.components, self.context, rules, self.known)


def _possible(world: World, wishes: Sequence[Need]) -> dict[str, list[Candidate]]:
    """The candidates that fulfil the wishes and have a partner in each component that a rule ties theirs to.

    Raises ResolutionImpossible when a component has none. Without this, a search tries all versions of what is decided
    in between before it gives up on two that exclude each other.
    """
    asked: dict[str, list[Need]] = {name: [] for name in world.candidates}
    for wish in wishes:
        asked[wish.component].append(wish)
    there = {
        name: [each for each in listed if all(wish.allows(each) for wish in asked[name]) and not world.useless(each)]
        for name, listed in world.candidates.items()
    }
    ties: dict[str, set[str]] = {name: set() for name in there}
    for name, listed in there.items():
        for other in {need.component for candidate in listed for need in world.needs(candidate)}:
            ties[name].add(other)
            ties[other].add(name)
    waiting = list(there)
    while waiting:
        name = waiting.pop()
        for other in ties[name]:
            kept = [each for each in there[other] if any(not world.clash(each, partner) for partner in there[name])]
            if len(kept) < len(there[other]):
                there[other] = kept
                waiting.append(other)
    if not all(there.values()):
        raise ResolutionImpossible([])
    return there


class _Provider(AbstractProvider[Need, Candidate, str]):
    """What resolvelib asks: candidates newest first, in the order of the stack's pins."""

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
    """Any solution; resolvelib gives up the pin of one component for a newer version of another as it likes."""
    needs = [wish for wish in wishes if wish.component in world.candidates]
    everything = [Need(name, "*", "it is part of the stack") for name in world.candidates]
    solver: Resolver[Need, Candidate, str] = Resolver(_Provider(world, _possible(world, needs)), BaseReporter())
    try:
        return dict(solver.resolve([*everything, *needs], max_rounds=ROUNDS).mapping)
    except ResolutionTooDeep:
        raise IngotError(f"no answer was found in {ROUNDS} steps", hint="narrow some pins of the stack") from None
