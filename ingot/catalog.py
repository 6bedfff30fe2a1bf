"""Turns the catalog's files into one checked object; the only module that knows where in it a fact stands."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ingot import paths
from ingot.errors import IngotError, UsageError
from ingot.models import Arch, Component, Image, Images, OperatingSystem, OperatingSystems, Repositories, Stack
from ingot.yamlfile import load, nearest, place

T = TypeVar("T")


@dataclass(frozen=True)
class Catalog:
    """Everything that people wrote: components, operating systems, images and stacks, by name."""

    path: Path
    components: dict[str, Component]
    operating_systems: dict[str, OperatingSystem]
    images: dict[str, Image]
    stacks: dict[str, Stack]
    repositories: Repositories

    def operating_system(self, name: str) -> OperatingSystem:
        """The operating system `name`; UsageError with the known names if there is none."""
        return _known("operating system", name, self.operating_systems)

    def image(self, name: str) -> Image:
        """The image `name`; UsageError with the known names if there is none."""
        return _known("image", name, self.images)

    def stack(self, name: str) -> Stack:
        """The stack `name`; UsageError with the known names if there is none."""
        return _known("stack", name, self.stacks)

    @property
    def newest_stack(self) -> str:
        """The name of the newest stack, which commands use when none is named."""
        return max(self.stacks)

    def digest(self, stack: str) -> str:
        """SHA-256 over the files that decide a lock: components, operating systems, repositories and the stack."""
        return digest(self.path, stack)

    def check_arch(self, os_name: str, arch: str) -> Arch:
        """The architecture `arch`; UsageError when the operating system has no such."""
        known = self.operating_system(os_name).architectures
        for each in known:
            if each == arch:
                return each
        raise UsageError(f"{os_name} has no architecture {arch!r}", hint=nearest(arch, known))


def _known(kind: str, name: str, table: dict[str, T]) -> T:
    if name not in table:
        raise UsageError(f"unknown {kind} {name!r}", hint=nearest(name, table))
    return table[name]


def digest(path: Path, stack: str) -> str:
    names = ["operating_systems.yml", "repositories.yml", f"stacks/{stack}.yml"]
    files = [*(path / name for name in names), *sorted((path / "components").iterdir())]
    total = hashlib.sha256()
    for file in files:
        if file.suffix == ".yml" and file.is_file():
            total.update(f"{file.name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def read_catalog(path: Path = paths.CATALOG) -> Catalog:
    """Read and check every file of the catalog at `path`."""
    components = {}
    for file in sorted((path / "components").glob("*.yml")):
        component = load(file, Component)
        if component.component != file.stem:
            raise IngotError(f"says component {component.component!r}", place=str(file), hint=f"write {file.stem!r}")
        components[file.stem] = component
    systems = load(path / "operating_systems.yml", OperatingSystems).operating_systems
    images = load(path / "images.yml", Images).images
    stacks = {file.stem: load(file, Stack) for file in sorted((path / "stacks").glob("*.yml"))}
    repositories = load(path / "repositories.yml", Repositories)
    catalog = Catalog(path, components, systems, images, stacks, repositories)
    check_names(catalog)
    return catalog


def check_names(catalog: Catalog) -> None:
    """Every name that one file uses is defined by another; IngotError with the place and the nearest name."""
    for name, component in catalog.components.items():
        file = catalog.path / "components" / f"{name}.yml"
        for kind, where, used, table in _used(component, catalog):
            if used not in table:
                raise IngotError(f"unknown {kind} {used!r}", place=place(file, *where), hint=nearest(used, table))
        for number, rule in enumerate(component.rules):
            for key, ranges in (("requires", rule.requires), ("refuses", rule.refuses)):
                if name in ranges:
                    hint = "a rule is about its own component by 'when' and 'forbidden'"
                    raise IngotError(
                        f"{rule.id}: {name} {key} itself", place=place(file, "rules", number, key, name), hint=hint
                    )
    rules: dict[str, str] = {}
    for name, component in catalog.components.items():
        for number, rule in enumerate(component.rules):
            if rule.id in rules:
                file = catalog.path / "components" / f"{name}.yml"
                raise IngotError(
                    f"the rule {rule.id!r} is in {rules[rule.id]}.yml too", place=place(file, "rules", number, "id")
                )
            rules[rule.id] = name
    for name, stack in catalog.stacks.items():
        file = catalog.path / "stacks" / f"{name}.yml"
        for used in stack.pins:
            if used not in catalog.components:
                hint = nearest(used, catalog.components)
                raise IngotError(f"unknown component {used!r}", place=place(file, "pins", used), hint=hint)
        for used in stack.accept:
            if used not in rules:
                raise IngotError(f"unknown rule {used!r}", place=place(file, "accept", used), hint=nearest(used, rules))
    for name, row in catalog.repositories.repositories.items():
        if row.key not in catalog.repositories.keys:
            file = catalog.path / "repositories.yml"
            hint = nearest(row.key, catalog.repositories.keys)
            raise IngotError(f"unknown key {row.key!r}", place=place(file, "repositories", name, "key"), hint=hint)


Used = tuple[str, tuple[str | int, ...], str, Collection[str]]


def _used(component: Component, catalog: Catalog) -> Iterator[Used]:
    """The names that a component's file uses: of what kind, the key's place, the name, and the names there are."""
    systems, components = catalog.operating_systems, catalog.components
    repositories = [*catalog.repositories.repositories, "distribution"]
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
