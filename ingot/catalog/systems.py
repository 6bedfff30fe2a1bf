"""Reads the operating systems, each from a file of its own, and gives those that are like another one what that has.

`settled` makes the catalog explicit: afterwards every offer, rule, pin and reason names all systems that it is for, and
nobody else has to know which system is like which.
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
# What a file says of its own system alone.
OWN = {
    "os", "name", "like", "version", "codename", "purl", "pcluster", "container_image", "offers", "left_out", "source",
    "checked",
}  # fmt: skip
# What a system has all entries of that the other one has, but for its own, and those that its file says are not (~).
MERGED = ("folders", "signed_by", "unresolved")

Raw = dict[str, Any]
# A system's name and those that it is like, the nearest first.
Lineages = Mapping[str, list[str]]


def files_of(folders: Iterable[Path]) -> dict[str, Path]:
    """The file of each operating system; a later folder's takes the place of an earlier one's."""
    found: dict[str, Path] = {}
    for folder in folders:
        if (old := folder / f"{FOLDER}.yml").exists():
            hint = f"give each system a file of its own: {FOLDER}/NAME.yml, with `os: NAME` in it"
            raise UsageError("operating systems are not read from one file any more", place=str(old), hint=hint)
        found |= {file.stem: file for file in (folder / FOLDER).glob("*.yml")}
    return {name: found[name] for name in sorted(found, key=_numbered)}


def _numbered(name: str) -> list[str | int]:
    """Sorts rhel9 before rhel10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def read_systems(files: Mapping[str, Path]) -> tuple[dict[str, OperatingSystem], dict[str, list[str]]]:
    """The operating systems, each with what it has of the one that it is like; and the keys that some of them lack.

    What is known of a system that lacks keys is enough to say which components it lacks as well.
    """
    written = {name: _written(name, file) for name, file in files.items()}
    lines = {name: _lineage(name, written, files) for name in files}
    systems: dict[str, OperatingSystem] = {}
    lacking: dict[str, list[str]] = {}
    for name in sorted(files, key=lambda each: len(lines[each])):
        data = _merged([written[each] for each in reversed(lines[name])])
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
    fields["offers"] = {each: [one for text in rows if (one := _own_offer(text))] for each, rows in offers.items()}
    return OperatingSystem.model_construct(os=name, **fields)


def _written(name: str, file: Path) -> Raw:
    data, _ = read(file)
    if not isinstance(data, dict):
        raise UsageError("is no operating system", place=str(file), hint=f"write `os: {name}` and the keys that it has")
    if data.get("os", name) != name:
        raise UsageError(f"says os {data['os']!r}", place=place(file, "os"), hint=f"write {name!r}")
    return data


def _own_offer(data: Raw) -> OwnOffer | None:
    try:
        return OwnOffer.model_validate(data)
    except ValidationError:
        return None


def _lineage(name: str, written: Mapping[str, Raw], files: Mapping[str, Path]) -> list[str]:
    found = [name]
    while other := written[found[-1]].get("like"):
        at = place(files[found[-1]], "like")
        if other not in written:
            hint = nearest(str(other), written)
            raise UsageError(f"unknown operating system {other!r}", place=at, hint=hint)
        if other in found:
            raise UsageError(f"{name} is like itself: {' -> '.join([*found, other])}", place=at)
        found.append(other)
    return found


def _merged(written: Iterable[Raw]) -> Raw:
    """What the last of `written` has, which is like the one before it, and so on."""
    found: Raw = {}
    for data in written:
        merged = {
            key: {name: value for name, value in {**found.get(key, {}), **data[key]}.items() if value is not None}
            for key in MERGED
            if isinstance(data.get(key), dict)
        }
        found = {**{key: value for key, value in found.items() if key not in OWN}, **data, **merged}
    return found


def _without_start(data: Raw) -> list[str]:
    """What a system lacks to start an image from: a base image, or an archive with all that it takes."""
    if data.get("base"):
        return [key for key in ("suites", "keys") if not data.get(key)]
    return [] if data.get("base_images") else ["base_images"]


def lineages(systems: Mapping[str, OperatingSystem]) -> Lineages:
    """For each system its name and those that it is like; the systems that others are like come before them."""
    found: dict[str, list[str]] = {}
    for name in systems:
        line = [name]
        while (other := systems[line[-1]].like) in systems:
            line.append(other)
        found[name] = line
    return dict(sorted(found.items(), key=lambda each: len(each[1])))


def settled(component: Component, systems: Mapping[str, OperatingSystem], lines: Lineages) -> Component:
    """The component with an offer or a reason to be left out for each system that its own file or another one's gives
    one; what a file says of a system itself is nearer than what is said of the one that it is like."""
    offers, left_out = list(component.offers), dict(component.left_out)
    parts = {part: dict(reasons) for part, reasons in component.parts_left_out.items()}
    for name in lines:
        row = systems[name]
        for reasons in parts.values():
            if row.like in reasons:
                reasons.setdefault(name, reasons[row.like])
        if component.component in row.left_out:
            left_out[name] = row.left_out[component.component]
        elif component.component in row.offers:
            own = (offer.model_dump(exclude={"os"}) for offer in row.offers[component.component])
            offers += [Offer(os=[name], **each) for each in own]
        elif name in left_out or any(name in offer.os for offer in offers):
            continue
        elif row.like in left_out:
            left_out[name] = left_out[row.like]
        else:
            offers += [more for offer in offers if row.like in offer.os and (more := _inherited(offer, row, name))]
    rules = [_widened_rule(rule, lines) for rule in component.rules]
    update = {"offers": offers, "left_out": left_out, "parts_left_out": parts, "rules": rules}
    return component.model_copy(update=update)


def _inherited(offer: Offer, row: OperatingSystem, name: str) -> Offer | None:
    """An offer for the system that `row` is like, as one for `name`; None where none of its versions are for it."""
    releases = {
        version: release.model_copy(update={"os": []})
        for version, release in offer.releases.items()
        if not release.os or not {row.like, name}.isdisjoint(release.os)
    }
    if offer.releases and not releases:
        return None
    seen = [version for version, release in offer.releases.items() if name in release.os]
    origin = row.like
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
    """The stack with a range of `by_os` for each system that is like one that has it."""
    return stack.model_copy(update={"pins": {name: _settled_pin(pin, lines) for name, pin in stack.pins.items()}})


def _settled_pin(pin: Pin, lines: Lineages) -> Pin:
    if not pin.by_os:
        return pin
    found = {
        name: pin.by_os[near]
        for name, line in lines.items()
        if (near := next((each for each in line if each in pin.by_os), ""))
    }
    return pin.model_copy(update={"by_os": pin.by_os | found})


def unoffered(system: OperatingSystem, components: Iterable[Component]) -> list[str]:
    """The components that a system has neither an offer for nor a reason to be left out of."""
    return [
        each.component
        for each in components
        if not any(system.os in names for names in (each.left_out, *(offer.os for offer in each.offers)))
        and each.component not in system.offers
    ]


def incomplete(
    name: str, file: Path, keys: Sequence[str], components: Sequence[str], systems: Mapping[str, OperatingSystem]
) -> UsageError:
    """One error that names all that a system lacks, with what would mend each."""
    like = closest(name, [each for each in systems if each != name])
    lines = [f"{key}: {_remedy(key, like, systems)}" for key in keys]
    lines += [
        f"components.{each}: add {name} to an offer of components/{each}.yml, or say under left_out why {name} has none"
        for each in components
    ]
    number = f"{len(lines)} things" if len(lines) > 1 else "something"
    return UsageError(
        f"{name} lacks {number}:\n  " + "\n  ".join(lines),
        place=str(file),
        hint=f"or write `like: {like}`: {name} then has all of {like} but what its own file says" if like else "",
    )


def _remedy(key: str, like: str, systems: Mapping[str, OperatingSystem]) -> str:
    """What to write for a key that is missing, by the example of another system."""
    value: Any = systems[like].model_dump(mode="json") if like else {}
    for step in key.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    shown = flow(value) if value else ""
    return f"write it; {like} has {shown}" if shown else "write it"
