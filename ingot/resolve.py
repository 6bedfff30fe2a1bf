"""Chooses one version of every component that satisfies the stack's pins and the catalog's rules, newest first.

`resolvelib` does the search; this module tells it what exists and what a candidate needs, and turns its failures into
sentences. What was newer but did not fit is kept with the rule that refused it, so that a plan can say why.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.version import Version
from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, Resolver

from ingot.errors import IngotError
from ingot.models import Component, Offer, Rule


@dataclass(frozen=True)
class Candidate:
    """One version of a component as one offer has it.

    `version` compares, `text` is how people write it (535.274.02), `exact` is the source's own (535.274.02-1~deb13u1).
    """

    component: str
    version: Version
    text: str
    exact: str
    offer: Offer


@dataclass(frozen=True)
class Need:
    """A range that a component must be in, or with `refuses` must be outside of, and who says so."""

    component: str
    spec: str
    reason: str
    refuses: bool = False

    def allows(self, version: Version) -> bool:
        """Whether `version` satisfies this need."""
        inside = self.spec == "*" or SpecifierSet(self.spec, prereleases=True).contains(version)
        return inside != self.refuses

    def __str__(self) -> str:
        verb = "must not be" if self.refuses else "must be"
        return f"{self.component} {verb} {self.spec} ({self.reason})"


@dataclass(frozen=True)
class Rejected:
    """A newer candidate that was not taken, and the need that it breaks or that breaks with it."""

    candidate: Candidate
    need: str


def _applies(rule: Rule, version: Version) -> bool:
    return rule.when == "*" or SpecifierSet(rule.when, prereleases=True).contains(version)


def needs_of(candidate: Candidate, component: Component) -> list[Need]:
    """What `candidate` asks of other components, by the rules of its own file."""
    found = []
    for rule in component.rules:
        if _applies(rule, candidate.version):
            reason = f"{candidate.component} {candidate.text}: {rule.reason} [{rule.id}]"
            found += [Need(name, spec, reason) for name, spec in rule.requires.items()]
            found += [Need(name, spec, reason, refuses=True) for name, spec in rule.refuses.items()]
    return found


class _Provider(AbstractProvider[Need, Candidate, str]):
    """What resolvelib asks: candidates newest first, in the order of the stack's pins."""

    def __init__(self, candidates: Mapping[str, Sequence[Candidate]], components: Mapping[str, Component]) -> None:
        self._candidates = candidates
        self._components = components
        self._order = {name: number for number, name in enumerate(candidates)}

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
            for candidate in self._candidates[identifier]
            if id(candidate) not in bad and all(need.allows(candidate.version) for need in needs)
        ]

    def is_satisfied_by(self, requirement: Need, candidate: Candidate) -> bool:
        return requirement.allows(candidate.version)

    def get_dependencies(self, candidate: Candidate) -> list[Need]:
        # A rule about a component that is not wanted on this system (left out) asks nothing.
        needs = needs_of(candidate, self._components[candidate.component])
        return [need for need in needs if need.component in self._candidates]


def _solve(provider: _Provider, needs: Sequence[Need]) -> dict[str, Candidate]:
    """Any solution; resolvelib gives up the pin of one component for a newer version of another as it likes."""
    solver: Resolver[Need, Candidate, str] = Resolver(provider, BaseReporter())
    return dict(solver.resolve(list(needs), max_rounds=10_000).mapping)


def resolve(
    candidates: Mapping[str, Sequence[Candidate]], components: Mapping[str, Component], wishes: Iterable[Need]
) -> dict[str, Candidate]:
    """One candidate for each component, the newest that fits what was decided before it, in the order of `candidates`.

    Raises IngotError that names the chain of needs when nothing fits.
    """
    provider = _Provider(candidates, components)
    needs = list(wishes)
    try:
        chosen = _solve(provider, needs)
    except ResolutionImpossible as error:
        causes = list(dict.fromkeys(str(cause.requirement) for cause in error.causes))
        names = list(dict.fromkeys(cause.requirement.component for cause in error.causes))
        there = [f"{name} exists as {', '.join(c.text for c in candidates[name]) or 'nothing'}" for name in names]
        raise IngotError(
            "no set of versions fits:\n  " + "\n  ".join(causes + there),
            hint="widen one of these pins in the stack, or leave the component out",
        ) from None
    for name in candidates:
        for candidate in candidates[name]:
            if candidate.version <= chosen[name].version:
                break
            try:
                chosen = _solve(provider, [*needs, Need(name, f"=={candidate.version}", "tried")])
                break
            except ResolutionImpossible:
                continue
        needs.append(Need(name, f"=={chosen[name].version}", "decided before"))
    return {name: chosen[name] for name in candidates}


def rejections(
    chosen: Mapping[str, Candidate],
    candidates: Mapping[str, Sequence[Candidate]],
    components: Mapping[str, Component],
    wishes: Sequence[Need],
) -> dict[str, list[Rejected]]:
    """For each component, every candidate newer than the chosen one and the need that kept it out."""
    found: dict[str, list[Rejected]] = {}
    for name, taken in chosen.items():
        for candidate in candidates[name]:
            if candidate.version <= taken.version:
                continue
            asked = [need for need in wishes if need.component == name and not need.allows(candidate.version)]
            asked += [
                need
                for other in chosen.values()
                for need in needs_of(other, components[other.component])
                if need.component == name and not need.allows(candidate.version)
            ]
            asked += [
                need
                for need in needs_of(candidate, components[name])
                if need.component in chosen and not need.allows(chosen[need.component].version)
            ]
            why = str(asked[0]) if asked else "another choice excludes it"
            if asked and asked[0].component != name:
                why += f"; it is {chosen[asked[0].component].text}"
            found.setdefault(name, []).append(Rejected(candidate, why))
    return found
