"""Checks that every name that one file of the catalog uses is defined in another."""

from collections.abc import Collection, Iterator
from typing import get_args

from ingot import paths
from ingot.catalog.catalog import Catalog
from ingot.errors import UsageError
from ingot.model.component import Component, Offer
from ingot.model.image import DRIVERS
from ingot.model.system import OperatingSystem
from ingot.model.types import BASE_IMAGE, DISTRIBUTION, Platform
from ingot.yamlfile import nearest, place


def check_names(catalog: Catalog) -> None:
    """Check that every name that a file uses is defined in another; UsageError with the place and the nearest name."""
    for name, component in catalog.components.items():
        file = catalog.files[f"components/{name}"]
        for kind, where, used, table in _used(component, catalog):
            if used not in table:
                raise UsageError(f"unknown {kind} {used!r}", place=place(file, *where), hint=nearest(used, table))
        for number, rule in enumerate(component.rules):
            for key, ranges in (("requires", rule.requires), ("refuses", rule.refuses)):
                if name in ranges:
                    hint = "use 'when' and 'forbidden' for the rule's own component"
                    raise UsageError(
                        f"{rule.id}: {name} {key} itself", place=place(file, "rules", number, key, name), hint=hint
                    )
    rules: dict[str, str] = {}
    for name, component in catalog.components.items():
        for number, rule in enumerate(component.rules):
            if rule.id in rules:
                file = catalog.files[f"components/{name}"]
                raise UsageError(
                    f"the rule {rule.id!r} is also in {rules[rule.id]}.yml", place=place(file, "rules", number, "id")
                )
            rules[rule.id] = name
    for name, stack in catalog.stacks.items():
        file = catalog.files[f"stacks/{name}"]
        for used in stack.pins:
            if used not in catalog.components:
                hint = nearest(used, catalog.components)
                raise UsageError(f"unknown component {used!r}", place=place(file, "pins", used), hint=hint)
        for pinned, pin in stack.pins.items():
            for used in pin.by_os:
                if used not in catalog.operating_systems:
                    hint = nearest(used, catalog.operating_systems)
                    at = place(file, "pins", pinned, "by_os", used)
                    raise UsageError(f"unknown operating system {used!r}", place=at, hint=hint)
        for number, used in enumerate(stack.systems):
            if used not in catalog.operating_systems:
                hint = nearest(used, catalog.operating_systems)
                at = place(file, "systems", number)
                raise UsageError(f"unknown operating system {used!r}", place=at, hint=hint)
        for used in stack.accept:
            if used not in rules:
                raise UsageError(f"unknown rule {used!r}", place=place(file, "accept", used), hint=nearest(used, rules))
    for name, system in catalog.operating_systems.items():
        file = catalog.files[f"operating_systems/{name}"]
        for kind, where, used, table in _used_by_system(system, catalog):
            if used not in table:
                raise UsageError(f"unknown {kind} {used!r}", place=place(file, *where), hint=nearest(used, table))
        starts = {*get_args(Platform), *catalog.images}
        for start, base in system.base_images.items():
            at = place(file, "base_images", start)
            if start not in starts:
                raise UsageError(f"not a platform or image: {start!r}", place=at, hint=nearest(start, starts))
            mentions = {*catalog.components, "arch", "deb_arch"}
            for used in sorted(base.named - mentions):
                raise UsageError(f"unknown component {used!r} in braces", place=at, hint=nearest(used, mentions))
            for used in base.brings:
                if used not in catalog.components:
                    hint = nearest(used, catalog.components)
                    raise UsageError(f"unknown component {used!r} in 'brings'", place=at, hint=hint)
    roles = sorted(path.name for path in (paths.ROOT / "roles").iterdir() if path.is_dir())
    for name, image in catalog.images.items():
        file = catalog.files[f"images/{name}"]
        for number, used in enumerate(image.roles):
            if used not in roles:
                at = place(file, "images", name, "roles", number)
                raise UsageError(f"unknown role {used!r} of image {name}", place=at, hint=nearest(used, roles))
        if (driver := DRIVERS.get(image.accelerator, "")) and driver not in image.parts:
            raise UsageError(
                f"image {name} is for {image.accelerator} and lacks the role {driver}",
                place=place(file, "images", name, "accelerator"),
                hint=f"add {driver} to its roles, or give it the accelerator cpu",
            )
        for number, used in enumerate(image.given):
            if used not in catalog.components:
                file = catalog.files[f"images/{name}"]
                hint = nearest(used, catalog.components)
                at = place(file, "images", name, "given", number)
                raise UsageError(f"unknown component {used!r} of image {name}", place=at, hint=hint)
    for name, container in catalog.containers.items():
        lineage(name, catalog)
        for accelerator, names in container.roles.items():
            for number, used in enumerate(names):
                if used not in roles:
                    file = catalog.files[f"containers/{name}"]
                    at = place(file, "containers", name, "roles", accelerator, number)
                    raise UsageError(f"unknown role {used!r} of container {name}", place=at, hint=nearest(used, roles))
    for name, repository in catalog.repositories.repositories.items():
        file = catalog.files[f"repositories/{name}"]
        if repository.key not in catalog.repositories.keys:
            hint = nearest(repository.key, catalog.repositories.keys)
            raise UsageError(
                f"unknown key {repository.key!r}", place=place(file, "repositories", name, "key"), hint=hint
            )


def lineage(name: str, catalog: Catalog) -> list[str]:
    """The container `name` and its ancestors, the root last; UsageError on a cycle."""
    names = [name]
    while parent := catalog.containers[names[-1]].parent:
        at = place(catalog.files[f"containers/{names[-1]}"], "containers", names[-1], "parent")
        if parent not in catalog.containers:
            raise UsageError(f"unknown container {parent!r}", place=at, hint=nearest(parent, catalog.containers))
        if parent in names:
            raise UsageError(f"container {name} is made from itself: {' -> '.join([*names, parent])}", place=at)
        names.append(parent)
    return names


Used = tuple[str, tuple[str | int, ...], str, Collection[str]]


def _used_by_offer(offer: Offer, at: tuple[str | int, ...], catalog: Catalog) -> Iterator[Used]:
    systems, repositories = catalog.operating_systems, catalog.repositories
    for i, os in enumerate(offer.os):
        yield "operating system", (*at, "os", i), os, systems
    for version, release in offer.releases.items():
        for i, os in enumerate(release.os):
            yield "operating system", (*at, "releases", version, "os", i), os, systems
    if offer.repository:
        names = [*repositories.repositories, DISTRIBUTION, BASE_IMAGE]
        yield "repository", (*at, "repository", "name"), offer.repository.name, names
    if offer.download and offer.download.key:
        yield "key", (*at, "download", "key"), offer.download.key, repositories.keys


def _used_by_system(system: OperatingSystem, catalog: Catalog) -> Iterator[Used]:
    for key, names in (("offers", system.offers), ("left_out", system.left_out), ("unresolved", system.unresolved)):
        for name in names:
            yield "component", (key, name), name, catalog.components
    for name in system.signed_by:
        yield "repository", ("signed_by", name), name, catalog.repositories.repositories
    for package, name in system.lacks.items():
        yield "repository", ("lacks", package), name, catalog.repositories.repositories
    for name, offers in system.offers.items():
        for number, offer in enumerate(offers):
            yield from _used_by_offer(offer, ("offers", name, number), catalog)


def _used(component: Component, catalog: Catalog) -> Iterator[Used]:
    """The names that a component's file uses: kind, place of the key, name, and the valid names."""
    systems, components = catalog.operating_systems, catalog.components
    for number, offer in enumerate(component.offers):
        yield from _used_by_offer(offer, ("offers", number), catalog)
    for name in component.brings:
        yield "component", ("brings", name), name, components
    for os in component.left_out:
        yield "operating system", ("left_out", os), os, systems
    for number, rule in enumerate(component.rules):
        for i, os in enumerate(rule.where.os):
            yield "operating system", ("rules", number, "where", "os", i), os, systems
        for key, names in (("requires", list(rule.requires)), ("refuses", list(rule.refuses)), ("needs", rule.needs)):
            for i, name in enumerate(names):
                yield "component", ("rules", number, key, i if key == "needs" else name), name, components
