"""Resolves dependencies within a repository: one version of each package, the newest that satisfies all that need it.

`resolvelib` does the search. A need that nothing in the repository provides is left to the distribution; so is a
conditional one of rpm, such as `(one if other)`.
"""

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, ResolutionTooDeep
from resolvelib.resolvers import Resolution
from resolvelib.structs import RequirementInformation

from ingot.errors import IngotError
from ingot.lock.world import ROUNDS
from ingot.model.lock import VendorPackage
from ingot.sources.indexes import Build, Index
from ingot.sources.versions import KEYS, Relation, fulfils

# How many conflicting needs an explanation lists.
LISTED = 4


@dataclass(frozen=True, eq=False)
class Need:
    """`name` must be one of `builds`, best first; `why` says what needs it.

    If several packages satisfy it, the need is a choice named by its `why`, and `builds` are its options.
    """

    name: str
    builds: tuple["Build | _Option", ...]
    why: str


@dataclass(frozen=True, eq=False)
class _Option:
    """One of the packages that satisfy `choice`."""

    choice: str
    need: Need


class Closures:
    """The dependencies of a repository's packages; versions in `kept` are preferred while the repository has them."""

    def __init__(self, index: Index, kept: Mapping[str, str]) -> None:
        self.kind = index.kind
        key = KEYS[index.kind]
        self.packages = {
            name: sorted(
                builds, key=lambda item: (item.version == kept.get(item.name), key(item.version)), reverse=True
            )
            for name, builds in index.packages.items()
        }
        self._provided: dict[str, list[tuple[Relation, Build]]] = {}
        for build in (item for builds in self.packages.values() for item in builds):
            for relation in (Relation(build.name, "=", build.version), *build.provides):
                self._provided.setdefault(relation.name, []).append((relation, build))
        self._others: dict[str, Build] = {}
        self._needs: dict[Build, list[Need]] = {}

    def of(self, roots_by_component: Mapping[str, Sequence[Need]]) -> dict[str, dict[str, VendorPackage]]:
        """For each component, its packages and their dependencies; all components agree on one version of a package.

        Raises IngotError that names the conflicting needs; without the last component, the others fit.
        """
        needs = [need for wanted in roots_by_component.values() for need in wanted]
        roots = {need.name for need in needs}
        try:
            answer = self._search(needs, roots)
            parts = [answer[name] for name in self._reached(answer, roots)]
            if any(isinstance(part, _Option) for part in parts):
                # A package that is needed anyway satisfies a choice; only now is it known which are.
                plain = [part for part in parts if isinstance(part, Build)]
                answer = self._search(needs, roots | {need.name for part in plain for need in self.needs(part)})
        except IngotError as error:
            name = list(roots_by_component)[-1]
            error.hint = f"pin another version of {name} in the stack, or correct its exact versions in the catalog"
            raise
        files: dict[str, dict[str, VendorPackage]] = {}
        for component, wanted in roots_by_component.items():
            chosen = [answer[name] for name in sorted(self._reached(answer, {need.name for need in wanted}))]
            files[component] = {one.name: one.file for one in chosen if isinstance(one, Build) and one.file}
        return files

    def _search(self, needs: Sequence[Need], anyway: Collection[str]) -> Mapping[str, "Build | _Option"]:
        """All decisions, including those that are no longer needed."""
        # Not resolvelib's Resolver: it loops forever on circular needs that were backtracked.
        search = Resolution[Need, "Build | _Option", str](_Provider(self, anyway), BaseReporter())
        try:
            return search.resolve(needs, max_rounds=ROUNDS).mapping
        except ResolutionImpossible as impossible:
            # resolvelib keeps conflicts from abandoned branches, and so sometimes misses a solution.
            if (solution := self._search_all(needs, anyway)) is not None:
                return solution
            raise IngotError(_explained(impossible.causes)) from None
        except ResolutionTooDeep:
            raise IngotError(f"its dependencies are not resolved after {ROUNDS} steps") from None

    def _search_all(self, needs: Sequence[Need], anyway: Collection[str]) -> dict[str, "Build | _Option"] | None:
        """The first solution of an exhaustive search; None if there is none within ROUNDS steps."""
        provider, steps = _Provider(self, anyway), itertools.count()

        def extend(chosen: dict[str, Build | _Option], waiting: Sequence[Need]) -> dict[str, Build | _Option] | None:
            open_ones = [need for need in waiting if need.name not in chosen]
            if any(need.name in chosen and chosen[need.name] not in need.builds for need in waiting):
                return None
            if not open_ones:
                return chosen
            first = open_ones[0]
            for candidate in sorted(first.builds, key=provider.rank):
                if next(steps) > ROUNDS:
                    return None
                solution = extend({**chosen, first.name: candidate}, [*open_ones, *self.after(candidate)])
                if solution is not None:
                    return solution
            return None

        return extend({}, needs)

    def _reached(self, answer: Mapping[str, "Build | _Option"], names: Iterable[str]) -> set[str]:
        """`names` and all names that an answer needs for them."""
        waiting, seen = list(names), set[str]()
        while waiting:
            if (name := waiting.pop()) not in seen:
                seen.add(name)
                waiting += [need.name for need in self.after(answer[name])]
        return seen

    def after(self, chosen: "Build | _Option") -> Sequence[Need]:
        """The needs that follow from a choice."""
        return [chosen.need] if isinstance(chosen, _Option) else self.needs(chosen)

    def none(self, name: str) -> Build:
        """The placeholder for a package that the repository lacks; the distribution may have it."""
        return self._others.setdefault(name, Build(name))

    def needs(self, build: Build) -> list[Need]:
        """A package's needs within the repository, or of the distribution if the repository has the name."""
        if build not in self._needs:
            self._needs[build] = [need for alternatives in build.needs if (need := self._need(build, alternatives))]
        return self._needs[build]

    def _need(self, build: Build, alternatives: Sequence[Relation]) -> Need | None:
        options: dict[str, list[Build]] = {}
        for relation in alternatives:
            builds = self._providing(relation) or [self.none(relation.name)]
            for provider in builds:
                options.setdefault(provider.name, []).append(provider)
        if build in options.get(build.name, []) or options.keys().isdisjoint(self.packages):
            return None
        why = f"{build.name} {build.version} needs {' | '.join(map(str, alternatives))}"
        needs = [Need(name, tuple(builds), why) for name, builds in options.items()]
        return needs[0] if len(needs) == 1 else Need(why, tuple(_Option(why, need) for need in needs), why)

    def _providing(self, relation: Relation) -> list[Build]:
        """The builds that satisfy `relation`; those of its name come first."""
        providers = [
            build for offered, build in self._provided.get(relation.name, []) if fulfils(self.kind, offered, relation)
        ]
        return sorted(dict.fromkeys(providers), key=lambda provider: (provider.name != relation.name, provider.name))


class _Provider(AbstractProvider[Need, Build | _Option, str]):
    """The provider for resolvelib: available builds, best first; `anyway` are packages that are needed in any case."""

    def __init__(self, closures: Closures, anyway: Collection[str]) -> None:
        self._closures = closures
        self._anyway = anyway

    def identify(self, requirement_or_candidate: Need | Build | _Option) -> str:
        one = requirement_or_candidate
        return one.choice if isinstance(one, _Option) else one.name

    def get_preference(self, identifier: str, *_: Any, **__: Any) -> int:
        return 0

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[Need]],
        incompatibilities: Mapping[str, Iterator[Build | _Option]],
    ) -> Sequence[Build | _Option]:
        needs, bad = list(requirements[identifier]), list(incompatibilities[identifier])
        # Its need may have been backtracked; then no package of that name is required.
        best = needs[0].builds if needs else [self._closures.none(identifier)]
        fit = [
            candidate for candidate in best if candidate not in bad and all(candidate in need.builds for need in needs)
        ]
        return sorted(fit, key=self.rank)

    def rank(self, candidate: Build | _Option) -> int:
        """The sort key of options: packages needed anyway first, the distribution's last. Builds keep their order."""
        if isinstance(candidate, Build) or candidate.need.name in self._anyway:
            return 0
        return 1 if candidate.need.name in self._closures.packages else 2

    def is_satisfied_by(self, requirement: Need, candidate: Build | _Option) -> bool:
        return candidate in requirement.builds

    def get_dependencies(self, candidate: Build | _Option) -> Iterable[Need]:
        return self._closures.after(candidate)


def _explained(causes: Iterable[RequirementInformation[Need, Build | _Option]]) -> str:
    """Two conflicting needs of a package, or else all needs."""
    needs = list(dict.fromkeys(cause.requirement for cause in causes))
    pairs = (pair for pair in itertools.combinations(needs, 2) if pair[0].name == pair[1].name)
    conflict = next((pair for pair in pairs if set(pair[0].builds).isdisjoint(pair[1].builds)), needs)
    why = list(dict.fromkeys(need.why for need in conflict))
    return f"no {conflict[0].name} fits all: {'; '.join(why[:LISTED])}{'; …' if len(why) > LISTED else ''}"
