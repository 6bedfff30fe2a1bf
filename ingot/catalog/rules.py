"""Applies the catalog's rules to a set of versions, for the resolver, plans and tests."""

import functools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from ingot.model.component import Component
from ingot.model.lock import LockedComponent
from ingot.model.rule import Rule, Where
from ingot.model.types import Facts, Severity

# Worst first.
SEVERITIES = get_args(Severity)


@dataclass(frozen=True)
class Context:
    """The system and machine of an image, as far as known: the keys of a rule's `where`, empty if unknown."""

    os: str = ""
    arch: str = ""
    platform: str = ""
    accelerator: str = ""
    generation: str = ""
    family: str = ""
    nvswitch: str = ""
    instance_type: str = ""

    def within(self, where: Where) -> bool:
        """Whether all conditions of `where` are known to hold."""
        conditions: dict[str, list[str]] = {name: getattr(where, name) for name in Where.model_fields}
        return all(getattr(self, name) in values for name, values in conditions.items() if values)


@dataclass(frozen=True)
class Part:
    """A component in one version: `version` is comparable and None if unknown, `text` is as people write it."""

    component: str
    version: Version | None
    text: str
    facts: Facts

    def __str__(self) -> str:
        return f"{self.component} {self.text or 'of an unknown version'}"


@dataclass(frozen=True)
class Need:
    """A range that a component must be in, or with `refuses` must not be in, and the reason.

    With `facts` it must have those as well, or one of the values `or_`. `rule` is the rule that states it, if any.
    """

    component: str
    spec: str
    reason: str
    refuses: bool = False
    facts: Facts = field(default_factory=dict)
    rule: str = ""
    or_: tuple[str, ...] = ()

    def allows(self, part: Part) -> bool:
        """Whether `part` satisfies this need; an unknown version does."""
        if any(part.facts.get(name) not in (value, *self.or_) for name, value in self.facts.items()):
            return False
        return part.version is None or contains(self.spec, part.version) != self.refuses

    def __str__(self) -> str:
        wanted = [*([self.spec] if self.spec != "*" or not self.facts else []), *map(said, self.facts.items())]
        verb = "must not be" if self.refuses else "must be"
        return f"{self.component} {verb} {' with '.join(wanted)} ({self.reason})"


@dataclass(frozen=True)
class Broken:
    """A rule that a set of versions breaks, as a sentence with its source."""

    rule: str
    severity: str
    message: str
    source: str


def said(fact: tuple[str, Any]) -> str:
    """A fact as text: `module=open`."""
    return f"{fact[0]}={fact[1]}"


@functools.cache
def _specifiers(spec: str) -> SpecifierSet:
    return SpecifierSet(spec, prereleases=True)


@functools.cache
def contains(spec: str, version: Version) -> bool:
    """Whether `version` is in the range `spec`."""
    return spec == "*" or _specifiers(spec).contains(version)


def holding(component: Component, context: Context) -> list[Rule]:
    """The rules of `component` that apply in `context`."""
    return [rule for rule in component.rules if context.within(rule.where)]


def applying(part: Part, rules: Iterable[Rule]) -> Iterator[Rule]:
    """Its component's `rules` that apply to `part`."""
    for rule in rules:
        about = rule.when == "*" or (part.version is not None and contains(rule.when, part.version))
        if about and all(part.facts.get(name) == value for name, value in rule.facts.items()):
            yield rule


def needs_of(part: Part, rules: Iterable[Rule]) -> list[Need]:
    """The needs of `part`, by those of its component's `rules` that the resolver obeys."""
    obeyed = (rule for rule in rules if rule.severity == "error" and (rule.requires or rule.refuses))
    return [need for rule in applying(part, obeyed) for need in _needs(rule, part)]


def _needs(rule: Rule, part: Part) -> Iterator[Need]:
    reason = f"{part}: {rule.reason} [{rule.id}]"
    variables = {name: str(value) for name, value in part.facts.items()} | ({"version": part.text} if part.text else {})
    for refuses, ranges in ((False, rule.requires), (True, rule.refuses)):
        for name, spec in ranges.items():
            if set(re.findall(r"\{([a-z_]+)\}", spec)) <= set(variables):
                yield Need(name, spec.format(**variables), reason, refuses, rule=rule.id)


def forbidden(part: Part, rules: Iterable[Rule]) -> Iterator[Rule]:
    """Its component's `rules` that forbid `part`."""
    return applying(part, (rule for rule in rules if rule.forbidden and rule.severity == "error"))


def broken(
    parts: Iterable[Part],
    components: Mapping[str, Component],
    context: Context = Context(),
    accepted: Collection[str] = (),
) -> list[Broken]:
    """The rules of every severity that a set of versions breaks, worst first."""
    installed = {part.component: part for part in parts}
    problems = []
    for part in installed.values():
        for rule in applying(part, holding(components[part.component], context)):
            if rule.id in accepted:
                continue
            for message in _against(rule, part, installed):
                problems.append(Broken(rule.id, rule.severity, f"{message}: {rule.reason}", rule.source))
    return sorted(problems, key=lambda problem: SEVERITIES.index(problem.severity))


def _against(rule: Rule, part: Part, installed: Mapping[str, Part]) -> Iterator[str]:
    if rule.forbidden:
        having = " with " + " and ".join(map(said, rule.facts.items())) if rule.facts else ""
        yield f"{part}{having} does not work here"
    for name in rule.needs:
        if name not in installed:
            yield f"{part} needs {name}, which is missing"
    for need in _needs(rule, part):
        other = installed.get(need.component)
        if other is not None and not need.allows(other):
            verb = "cannot go with" if need.refuses else "needs"
            yield f"{part} {verb} {need.component} {need.spec}, it is {other.text}"


def undecided(
    parts: Iterable[Part], components: Mapping[str, Component], context: Context = Context()
) -> Iterator[str]:
    """One sentence for each rule about a set of versions that nobody can apply, since a fact of one is unknown."""
    installed = {part.component: part for part in parts}
    for part in installed.values():
        known = {*part.facts, *(["version"] if part.text else [])}
        for rule in applying(part, holding(components[part.component], context)):
            ranges = {**rule.requires, **rule.refuses}
            unknown = {fact for spec in ranges.values() for fact in re.findall(r"\{([a-z_]+)\}", spec)} - known
            if unknown and installed.keys() & ranges.keys():
                facts = " and ".join(sorted(unknown))
                others = " and ".join(str(installed[name]) for name in sorted(installed.keys() & ranges.keys()))
                yield f"unknown whether {part} goes with {others}: nobody has noted its {facts} [{rule.id}]"


def release_facts(component: Component, version: str) -> Facts:
    """The facts of a release by its version, from whichever offer has it."""
    matches = [offer.releases[version].facts for offer in component.offers if version in offer.releases]
    return matches[0] if matches else {}


def locked_parts(components: Mapping[str, LockedComponent]) -> list[Part]:
    """A lock's components as parts."""
    return [
        Part(name, Version(entry.version) if entry.version else None, entry.version, entry.facts)
        for name, entry in components.items()
    ]
