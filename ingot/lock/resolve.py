"""Chooses one version of every component that satisfies the stack's pins and the catalog's rules, newest first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from resolvelib import ResolutionImpossible

from ingot.catalog.rules import Need, Part
from ingot.lock.explain import explained
from ingot.lock.world import Candidate, Rejected, World, solve


def resolve(world: World, wishes: Iterable[Need]) -> dict[str, Candidate]:
    """One candidate for each component, the best that fits the earlier decisions, in the order of decisions.

    If nothing fits, raises IngotError with the chain of needs and the nearest change that would fit.
    """
    needs = list(wishes)
    try:
        chosen = solve(world, needs)
    except ResolutionImpossible:
        raise explained(world, needs) from None
    decided: dict[str, Candidate] = {}
    for name in world.candidates:
        for candidate in world.of(name):
            if candidate is chosen[name]:
                break
            if _clashes(world, candidate, decided, needs):
                continue
            try:
                chosen = solve(world, [*needs, _exactly(candidate)])
                break
            except ResolutionImpossible:
                continue
        decided[name] = chosen[name]
        needs.append(_exactly(chosen[name]))
    return {name: chosen[name] for name in world.candidates}


@dataclass(frozen=True)
class _Exactly(Need):
    """The need for exactly one candidate."""

    candidate: Candidate | None = None

    def allows(self, part: Part) -> bool:
        return part is self.candidate


def _exactly(candidate: Candidate) -> Need:
    return _Exactly(candidate.component, "*", "decided before", candidate=candidate)


def _clashes(world: World, candidate: Candidate, decided: Mapping[str, Candidate], wishes: Iterable[Need]) -> bool:
    """Whether a candidate breaks a wish or conflicts with a decision; saves most searches."""
    needs = [need for need in wishes if need.component == candidate.component]
    others = (other for other in decided.values() if other.component != candidate.component)
    return not all(need.allows(candidate) for need in needs) or any(world.clash(candidate, other) for other in others)


def rejections(chosen: Mapping[str, Candidate], world: World, wishes: Sequence[Need]) -> dict[str, list[Rejected]]:
    """For each component, every candidate newer than the chosen one, and the need that rejected it."""
    rejected: dict[str, list[Rejected]] = {}
    for name, taken in chosen.items():
        for candidate in world.candidates[name]:
            if candidate.version is None or taken.version is None or candidate.version <= taken.version:
                continue
            broken = [need for need in wishes if need.component == name and not need.allows(candidate)]
            broken += [
                need
                for other in chosen.values()
                for need in world.needs(other)
                if need.component == name and not need.allows(candidate)
            ]
            broken += [
                need
                for need in world.needs(candidate)
                if need.component in chosen and not need.allows(chosen[need.component])
            ]
            pinned = bool(broken) and broken[0] in wishes and broken[0].spec != "*"
            why = (
                f"the pin is {broken[0].spec}"
                if pinned
                else str(broken[0])
                if broken
                else world.useless(candidate) or "another choice excludes it"
            )
            if broken and broken[0].component != name:
                why += f"; it is {chosen[broken[0].component].text}"
            rejected.setdefault(name, []).append(Rejected(candidate, why))
    return rejected
