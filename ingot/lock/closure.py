"""Works out what packages of a repository need of it: of each one version, the newest that fits all that need it.

`resolvelib` does the search. What nothing in the repository provides is the distribution's and left to it; so is what
rpm writes as a condition, such as `(one if other)`.
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

# How many of the packages that exclude each other an explanation names.
LISTED = 4


@dataclass(frozen=True, eq=False)
class Need:
    """`name` has to be one of `builds`, the best first; `why` says who needs it.

    Where several packages would do, the need is a choice, named by its own sentence, and `builds` are its options.
    """

    name: str
    builds: tuple["Build | _Option", ...]
    why: str


@dataclass(frozen=True, eq=False)
class _Option:
    """One package of those that would do for `choice`."""

    choice: str
    need: Need


class Closures:
    """Answers what a repository's packages bring along; `kept` are versions to prefer while they are there."""

    def __init__(self, index: Index, kept: Mapping[str, str]) -> None:
        self.kind = index.kind
        key = KEYS[index.kind]
        self.packages = {
            name: sorted(
                builds, key=lambda each: (each.version == kept.get(each.name), key(each.version)), reverse=True
            )
            for name, builds in index.packages.items()
        }
        self._provided: dict[str, list[tuple[Relation, Build]]] = {}
        for build in (each for builds in self.packages.values() for each in builds):
            for relation in (Relation(build.name, "=", build.version), *build.provides):
                self._provided.setdefault(relation.name, []).append((relation, build))
        self._others: dict[str, Build] = {}
        self._needs: dict[Build, list[Need]] = {}

    def of(self, asked: Mapping[str, Sequence[Need]]) -> dict[str, dict[str, VendorPackage]]:
        """For each component, what it asks for and all that this needs; all of them agree on one version of a package.

        Raises IngotError that says which needs exclude each other; the others are known to fit without the last one.
        """
        needs = [need for wanted in asked.values() for need in wanted]
        roots = {need.name for need in needs}
        try:
            answer = self._search(needs, roots)
            parts = [answer[name] for name in self._reached(answer, roots)]
            if any(isinstance(part, _Option) for part in parts):
                # What comes anyway is enough for a choice; that is known only now.
                plain = [part for part in parts if isinstance(part, Build)]
                answer = self._search(needs, roots | {need.name for part in plain for need in self.needs(part)})
        except IngotError as error:
            name = list(asked)[-1]
            error.hint = f"pin another version of {name} in the stack, or mend its exact versions in the catalog"
            raise
        found: dict[str, dict[str, VendorPackage]] = {}
        for component, wanted in asked.items():
            chosen = [answer[name] for name in sorted(self._reached(answer, {need.name for need in wanted}))]
            found[component] = {one.name: one.file for one in chosen if isinstance(one, Build) and one.file}
        return found

    def _search(self, needs: Sequence[Need], anyway: Collection[str]) -> Mapping[str, "Build | _Option"]:
        """All that was decided, also of what came to be needed no more."""
        # Not resolvelib's Resolver: its result of needs in a circle that were given up never ends.
        search = Resolution[Need, "Build | _Option", str](_Provider(self, anyway), BaseReporter())
        try:
            return search.resolve(needs, max_rounds=ROUNDS).mapping
        except ResolutionImpossible as impossible:
            # It remembers what excludes what from branches that it has left, and so misses an answer now and then.
            if (found := self._search_all(needs, anyway)) is not None:
                return found
            raise IngotError(_explained(impossible.causes)) from None
        except ResolutionTooDeep:
            raise IngotError(f"what its packages need was not found in {ROUNDS} steps") from None

    def _search_all(self, needs: Sequence[Need], anyway: Collection[str]) -> dict[str, "Build | _Option"] | None:
        """The first answer of all that there are; None where there is none, or none within as many steps."""
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
                found = extend({**chosen, first.name: candidate}, [*open_ones, *self.after(candidate)])
                if found is not None:
                    return found
            return None

        return extend({}, needs)

    def _reached(self, answer: Mapping[str, "Build | _Option"], names: Iterable[str]) -> set[str]:
        """The names that an answer needs for `names`, with these."""
        waiting, seen = list(names), set[str]()
        while waiting:
            if (name := waiting.pop()) not in seen:
                seen.add(name)
                waiting += [need.name for need in self.after(answer[name])]
        return seen

    def after(self, chosen: "Build | _Option") -> Sequence[Need]:
        """What is needed when something has been chosen."""
        return [chosen.need] if isinstance(chosen, _Option) else self.needs(chosen)

    def none(self, name: str) -> Build:
        """What stands for no package of the repository; the distribution may have one of that name."""
        return self._others.setdefault(name, Build(name))

    def needs(self, build: Build) -> list[Need]:
        """What a package needs of the repository, or of the distribution although the repository has the name."""
        if build not in self._needs:
            self._needs[build] = [need for each in build.needs if (need := self._need(build, each))]
        return self._needs[build]

    def _need(self, build: Build, alternatives: Sequence[Relation]) -> Need | None:
        options: dict[str, list[Build]] = {}
        for relation in alternatives:
            there = self._providing(relation) or [self.none(relation.name)]
            for each in there:
                options.setdefault(each.name, []).append(each)
        if build in options.get(build.name, []) or options.keys().isdisjoint(self.packages):
            return None
        why = f"{build.name} {build.version} needs {' | '.join(map(str, alternatives))}"
        needs = [Need(name, tuple(builds), why) for name, builds in options.items()]
        return needs[0] if len(needs) == 1 else Need(why, tuple(_Option(why, need) for need in needs), why)

    def _providing(self, relation: Relation) -> list[Build]:
        """Builds that are what `relation` asks for; those of its name come first."""
        there = [build for has, build in self._provided.get(relation.name, []) if fulfils(self.kind, has, relation)]
        return sorted(dict.fromkeys(there), key=lambda each: (each.name != relation.name, each.name))


class _Provider(AbstractProvider[Need, Build | _Option, str]):
    """What resolvelib asks: which builds there are, the best first; `anyway` are packages that come in any case."""

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
        # What needed it may have been given up; then nothing has to be of that name.
        best = needs[0].builds if needs else [self._closures.none(identifier)]
        fit = [each for each in best if each not in bad and all(each in need.builds for need in needs)]
        return sorted(fit, key=self.rank)

    def rank(self, candidate: Build | _Option) -> int:
        """Sorts options: what comes anyway first, the distribution's last. Builds keep their order."""
        if isinstance(candidate, Build) or candidate.need.name in self._anyway:
            return 0
        return 1 if candidate.need.name in self._closures.packages else 2

    def is_satisfied_by(self, requirement: Need, candidate: Build | _Option) -> bool:
        return candidate in requirement.builds

    def get_dependencies(self, candidate: Build | _Option) -> Iterable[Need]:
        return self._closures.after(candidate)


def _explained(causes: Iterable[RequirementInformation[Need, Build | _Option]]) -> str:
    """Two needs of a package that exclude each other, or else all of them."""
    needs = list(dict.fromkeys(cause.requirement for cause in causes))
    pairs = (pair for pair in itertools.combinations(needs, 2) if pair[0].name == pair[1].name)
    found = next((pair for pair in pairs if set(pair[0].builds).isdisjoint(pair[1].builds)), needs)
    why = list(dict.fromkeys(need.why for need in found))
    return f"no {found[0].name} fits all: {'; '.join(why[:LISTED])}{'; …' if len(why) > LISTED else ''}"
