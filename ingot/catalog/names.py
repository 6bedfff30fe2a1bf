"""Checks that every name that one file of the catalog uses is defined by another."""

from collections.abc import Collection, Iterator
from typing import get_args

from ingot import paths
from ingot.catalog.catalog import Catalog
from ingot.errors import UsageError
from ingot.model.component import Component
from ingot.model.image import DRIVERS
from ingot.model.types import BASE_IMAGE, DISTRIBUTION, Platform
from ingot.yamlfile import nearest, place


def check_names(catalog: Catalog) -> None:
    """Every name that one file uses is defined by another; UsageError with the place and the nearest name."""
    for name, component in catalog.components.items():
        file = catalog.files[f"components/{name}"]
        for kind, where, used, table in _used(component, catalog):
            if used not in table:
                raise UsageError(f"unknown {kind} {used!r}", place=place(file, *where), hint=nearest(used, table))
        for number, rule in enumerate(component.rules):
            for key, ranges in (("requires", rule.requires), ("refuses", rule.refuses)):
                if name in ranges:
                    hint = "a rule is about its own component by 'when' and 'forbidden'"
                    raise UsageError(
                        f"{rule.id}: {name} {key} itself", place=place(file, "rules", number, key, name), hint=hint
                    )
    rules: dict[str, str] = {}
    for name, component in catalog.components.items():
        for number, rule in enumerate(component.rules):
            if rule.id in rules:
                file = catalog.files[f"components/{name}"]
                raise UsageError(
                    f"the rule {rule.id!r} is in {rules[rule.id]}.yml too", place=place(file, "rules", number, "id")
                )
            rules[rule.id] = name
    for name, stack in catalog.stacks.items():
        file = catalog.files[f"stacks/{name}"]
        for used in stack.pins:
            if used not in catalog.components:
                hint = nearest(used, catalog.components)
                raise UsageError(f"unknown component {used!r}", place=place(file, "pins", used), hint=hint)
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
        starts = {*get_args(Platform), *catalog.images}
        for start, base in system.base_images.items():
            at = place(file, "operating_systems", name, "base_images", start)
            if start not in starts:
                raise UsageError(f"{start!r} is no platform and no image", place=at, hint=nearest(start, starts))
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
    for name, row in catalog.repositories.repositories.items():
        if row.key not in catalog.repositories.keys:
            file = catalog.files[f"repositories/{name}"]
            hint = nearest(row.key, catalog.repositories.keys)
            raise UsageError(f"unknown key {row.key!r}", place=place(file, "repositories", name, "key"), hint=hint)


def lineage(name: str, catalog: Catalog) -> list[str]:
    """The container `name` and those that it is made from, the root last; UsageError where that has no end."""
    found = [name]
    while parent := catalog.containers[found[-1]].parent:
        at = place(catalog.files[f"containers/{found[-1]}"], "containers", found[-1], "parent")
        if parent not in catalog.containers:
            raise UsageError(f"unknown container {parent!r}", place=at, hint=nearest(parent, catalog.containers))
        if parent in found:
            raise UsageError(f"container {name} is made from itself: {' -> '.join([*found, parent])}", place=at)
        found.append(parent)
    return found


Used = tuple[str, tuple[str | int, ...], str, Collection[str]]


def _used(component: Component, catalog: Catalog) -> Iterator[Used]:
    """The names that a component's file uses: of what kind, the key's place, the name, and the names there are."""
    systems, components = catalog.operating_systems, catalog.components
    repositories = [*catalog.repositories.repositories, DISTRIBUTION, BASE_IMAGE]
    for number, offer in enumerate(component.offers):
        yield from (("operating system", ("offers", number, "os", i), os, systems) for i, os in enumerate(offer.os))
        for version, release in offer.releases.items():
            where = ("offers", number, "releases", version, "os")
            yield from (("operating system", (*where, i), os, systems) for i, os in enumerate(release.os))
        if offer.repository:
            yield "repository", ("offers", number, "repository", "name"), offer.repository.name, repositories
        if offer.download and offer.download.key:
            yield "key", ("offers", number, "download", "key"), offer.download.key, catalog.repositories.keys
    for os in component.left_out:
        yield "operating system", ("left_out", os), os, systems
    for number, rule in enumerate(component.rules):
        for i, os in enumerate(rule.where.os):
            yield "operating system", ("rules", number, "where", "os", i), os, systems
        for key, names in (("requires", list(rule.requires)), ("refuses", list(rule.refuses)), ("needs", rule.needs)):
            for i, name in enumerate(names):
                yield "component", ("rules", number, key, i if key == "needs" else name), name, components
