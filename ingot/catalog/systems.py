"""Reads the operating systems, each from its own file, with everything that they inherit from one that they are like.

`settled` makes the catalog explicit: afterwards every offer, rule, pin and reason names all systems that it is for, so
that no other module has to know which system is like which.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ingot.errors import UsageError
from ingot.model.component import Component, InheritedOffer, Offer
from ingot.model.rule import Rule
from ingot.model.stack import Pin, Stack
from ingot.model.system import OperatingSystem, OwnOffer
from ingot.yamlfile import closest, flow, missing, nearest, place, read, validated

FOLDER = "operating_systems"
# The keys that are not inherited.
OWN = {
    "os", "name", "like", "version", "codename", "purl", "pcluster", "container_image", "offers", "left_out", "source",
    "checked",
}  # fmt: skip
# The keys whose entries are inherited one by one; a file can replace an entry, or remove it (~).
MERGED = ("folders", "lacks", "signed_by", "unresolved")

Raw = dict[str, Any]
# A system's name and those that it is like, nearest first.
Lineages = Mapping[str, list[str]]


def files_of(folders: Iterable[Path]) -> dict[str, Path]:
    """The file of each operating system; a later folder's replaces an earlier one's."""
    files: dict[str, Path] = {}
    for folder in folders:
        if (old := folder / f"{FOLDER}.yml").exists():
            hint = f"move each system to its own file: {FOLDER}/NAME.yml with `os: NAME`"
            raise UsageError("operating systems are no longer read from one file", place=str(old), hint=hint)
        files |= {file.stem: file for file in (folder / FOLDER).glob("*.yml")}
    return {name: files[name] for name in sorted(files, key=_numbered)}


def _numbered(name: str) -> list[str | int]:
    """Sorts rhel9 before rhel10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def read_systems(files: Mapping[str, Path]) -> tuple[dict[str, OperatingSystem], dict[str, list[str]]]:
    """The operating systems, with inherited keys; and the keys that some of them lack.

    A system that lacks keys is complete enough to tell which components it lacks as well.
    """
    written = {name: _written(name, file) for name, file in files.items()}
    lines = {name: _lineage(name, written, files) for name in files}
    systems: dict[str, OperatingSystem] = {}
    lacking: dict[str, list[str]] = {}
    for name in sorted(files, key=lambda system: len(lines[system])):
        data = _merged([written[system] for system in reversed(lines[name])])
        lacks = missing(data, OperatingSystem) + _without_start(data)
        if lacks:
            lacking[name] = lacks
            systems[name] = _draft(name, data)
        else:
            systems[name] = validated(files[name], data, read(files[name])[1], OperatingSystem)
    return {name: systems[name] for name in files}, lacking


def _draft(name: str, data: Raw) -> OperatingSystem:
    fields: Raw = {key: data.get(key, "") for key in ("like", "version", "codename")}
    fields |= {key: dict(data.get(key) or {}) for key in ("folders", "left_out")}
    fields["architectures"] = data.get("architectures") or []
    offers = dict(data.get("offers") or {})
    fields["offers"] = {
        component: [one for text in entries if (one := _own_offer(text))] for component, entries in offers.items()
    }
    return OperatingSystem.model_construct(os=name, **fields)


def _written(name: str, file: Path) -> Raw:
    data, _ = read(file)
    if not isinstance(data, dict):
        raise UsageError("not an operating system", place=str(file), hint=f"write `os: {name}` and its other keys")
    if data.get("os", name) != name:
        raise UsageError(f"says os {data['os']!r}", place=place(file, "os"), hint=f"write {name!r}")
    return data


def _own_offer(data: Raw) -> OwnOffer | None:
    try:
        return OwnOffer.model_validate(data)
    except ValidationError:
        return None


def _lineage(name: str, written: Mapping[str, Raw], files: Mapping[str, Path]) -> list[str]:
    names = [name]
    while other := written[names[-1]].get("like"):
        at = place(files[names[-1]], "like")
        if other not in written:
            hint = nearest(str(other), written)
            raise UsageError(f"unknown operating system {other!r}", place=at, hint=hint)
        if other in names:
            raise UsageError(f"{name} is like itself: {' -> '.join([*names, other])}", place=at)
        names.append(other)
    return names


def _merged(written: Iterable[Raw]) -> Raw:
    """The keys of the last of `written`, each of which is like the one before it."""
    result: Raw = {}
    for data in written:
        merged = {
            key: {name: value for name, value in {**result.get(key, {}), **data[key]}.items() if value is not None}
            for key in MERGED
            if isinstance(data.get(key), dict)
        }
        result = {**{key: value for key, value in result.items() if key not in OWN}, **data, **merged}
    return result


def _without_start(data: Raw) -> list[str]:
    """The keys that a system lacks as the start of an image: base images, or an archive with suites and keys."""
    if data.get("base"):
        return [key for key in ("suites", "keys") if not data.get(key)]
    return [] if data.get("base_images") else ["base_images"]


def lineages(systems: Mapping[str, OperatingSystem]) -> Lineages:
    """For each system its name and those that it is like; systems come before those that are like them."""
    lines: dict[str, list[str]] = {}
    for name in systems:
        line = [name]
        while (other := systems[line[-1]].like) in systems:
            line.append(other)
        lines[name] = line
    return dict(sorted(lines.items(), key=lambda item: len(item[1])))


def settled(component: Component, systems: Mapping[str, OperatingSystem], lines: Lineages) -> Component:
    """The component with an offer or a reason to be left out for each system, its own or an inherited one; its own
    comes first."""
    offers, left_out = list(component.offers), dict(component.left_out)
    parts = {part: dict(reasons) for part, reasons in component.parts_left_out.items()}
    for name in lines:
        system = systems[name]
        for reasons in parts.values():
            if system.like in reasons:
                reasons.setdefault(name, reasons[system.like])
        if component.component in system.left_out:
            left_out[name] = system.left_out[component.component]
        elif component.component in system.offers:
            own = (offer.model_dump(exclude={"os"}) for offer in system.offers[component.component])
            offers += [Offer(os=[name], **fields) for fields in own]
        elif name in left_out or any(name in offer.os for offer in offers):
            continue
        elif system.like in left_out:
            left_out[name] = left_out[system.like]
        else:
            offers += [
                more for offer in offers if system.like in offer.os and (more := _inherited(offer, system, name))
            ]
    rules = [_widened_rule(rule, lines) for rule in component.rules]
    update = {"offers": offers, "left_out": left_out, "parts_left_out": parts, "rules": rules}
    return component.model_copy(update=update)


def _inherited(offer: Offer, system: OperatingSystem, name: str) -> Offer | None:
    """An offer for the system that `system` is like, as one for `name`; None if none of its versions are for `name`."""
    releases = {
        version: release.model_copy(update={"os": []})
        for version, release in offer.releases.items()
        if not release.os or not {system.like, name}.isdisjoint(release.os)
    }
    if offer.releases and not releases:
        return None
    seen = [version for version, release in offer.releases.items() if name in release.os]
    origin = system.like
    if isinstance(offer, InheritedOffer):
        origin, seen = offer.origin, [*offer.seen, *seen]
    fields = {key: getattr(offer, key) for key in Offer.model_fields}
    return InheritedOffer(**{**fields, "os": [name], "releases": releases, "origin": origin, "seen": seen})


def _widened_rule(rule: Rule, lines: Lineages) -> Rule:
    names = rule.where.os
    more = [name for name, line in lines.items() if name not in names and not set(line).isdisjoint(names)]
    if not more:
        return rule
    return rule.model_copy(update={"where": rule.where.model_copy(update={"os": [*names, *more]})})


def settled_stack(stack: Stack, lines: Lineages) -> Stack:
    """The stack with the ranges of `by_os` extended to systems that are like those with one."""
    return stack.model_copy(update={"pins": {name: _settled_pin(pin, lines) for name, pin in stack.pins.items()}})


def _settled_pin(pin: Pin, lines: Lineages) -> Pin:
    if not pin.by_os:
        return pin
    ranges = {
        name: pin.by_os[near]
        for name, line in lines.items()
        if (near := next((candidate for candidate in line if candidate in pin.by_os), ""))
    }
    return pin.model_copy(update={"by_os": pin.by_os | ranges})


def unoffered(system: OperatingSystem, components: Iterable[Component]) -> list[str]:
    """The components for which a system has neither an offer nor a reason to be left out."""
    return [
        component.component
        for component in components
        if not any(system.os in names for names in (component.left_out, *(offer.os for offer in component.offers)))
        and component.component not in system.offers
    ]


def incomplete(
    name: str, file: Path, keys: Sequence[str], components: Sequence[str], systems: Mapping[str, OperatingSystem]
) -> UsageError:
    """One error that lists everything that a system lacks, with a fix for each."""
    like = closest(name, [component for component in systems if component != name])
    lines = [f"{key}: {_remedy(key, like, systems)}" for key in keys]
    lines += [
        f"components.{component}: add {name} to an offer of components/{component}.yml, or a reason under left_out"
        for component in components
    ]
    number = f"{len(lines)} things" if len(lines) > 1 else "something"
    return UsageError(
        f"{name} lacks {number}:\n  " + "\n  ".join(lines),
        place=str(file),
        hint=f"or write `like: {like}`: {name} then inherits everything that its own file does not set" if like else "",
    )


def _remedy(key: str, like: str, systems: Mapping[str, OperatingSystem]) -> str:
    """The fix for a missing key, with another system's value as an example."""
    value: Any = systems[like].model_dump(mode="json") if like else {}
    for step in key.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    example = flow(value) if value else ""
    return f"add it; {like} has {example}" if example else "add it"
