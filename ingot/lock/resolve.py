"""Chooses one version of every component that satisfies the stack's pins and the catalog's rules, newest first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from resolvelib import ResolutionImpossible

from ingot.catalog.rules import Need, Part
from ingot.lock.explain import explained
from ingot.lock.world import Candidate, Rejected, World, solve


def resolve(world: World, wishes: Iterable[Need]) -> dict[str, Candidate]:
    """One candidate for each component, the best that fits what was decided before it, in the order of decisions.

    Raises IngotError that names the chain of needs, and the nearest change that would make it fit, when nothing does.
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
    """The need of one candidate and no other."""

    candidate: Candidate | None = None

    def allows(self, part: Part) -> bool:
        return part is self.candidate


def _exactly(candidate: Candidate) -> Need:
    return _Exactly(candidate.component, "*", "decided before", candidate=candidate)


def _clashes(world: World, candidate: Candidate, decided: Mapping[str, Candidate], wishes: Iterable[Need]) -> bool:
    """Whether a candidate breaks a wish or cannot go with what is decided; saves most searches."""
    asked = [need for need in wishes if need.component == candidate.component]
    others = (other for other in decided.values() if other.component != candidate.component)
    return not all(need.allows(candidate) for need in asked) or any(world.clash(candidate, each) for each in others)


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
            pinned = bool(asked) and asked[0] in wishes and asked[0].spec != "*"
            why = (
                f"the pin is {asked[0].spec}"
                if pinned
                else str(asked[0])
                if asked
                else world.useless(candidate) or "another choice excludes it"
            )
            if asked and asked[0].component != name:
                why += f"; it is {chosen[asked[0].component].text}"
            found.setdefault(name, []).append(Rejected(candidate, why))
    return found
