"""Turns the catalog's files into one checked object; the only module that knows where in it a fact stands."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ingot import paths
from ingot.errors import IngotError, UsageError
from ingot.models import Component, Image, Images, OperatingSystem, OperatingSystems, Stack
from ingot.yamlfile import load, nearest

T = TypeVar("T")


@dataclass(frozen=True)
class Catalog:
    """Everything that people wrote: components, operating systems, images and stacks, by name."""

    path: Path
    components: dict[str, Component]
    operating_systems: dict[str, OperatingSystem]
    images: dict[str, Image]
    stacks: dict[str, Stack]

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

    def check_arch(self, os_name: str, arch: str) -> None:
        """UsageError when the operating system has no such architecture."""
        known = self.operating_system(os_name).architectures
        if arch not in known:
            raise UsageError(f"{os_name} has no architecture {arch!r}", hint=nearest(arch, known))


def _known(kind: str, name: str, table: dict[str, T]) -> T:
    if name not in table:
        raise UsageError(f"unknown {kind} {name!r}", hint=nearest(name, table))
    return table[name]


def digest(path: Path, stack: str) -> str:
    """SHA-256 over the files that decide a lock: components, operating systems and the stack."""
    files = [path / "operating_systems.yml", path / "stacks" / f"{stack}.yml", *sorted((path / "components").iterdir())]
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
    _check_names(path, components, systems, stacks)
    return Catalog(path, components, systems, images, stacks)


def _check_names(
    path: Path, components: dict[str, Component], systems: dict[str, OperatingSystem], stacks: dict[str, Stack]
) -> None:
    """Every name that one file uses is defined by another."""
    for name, component in components.items():
        file = path / "components" / f"{name}.yml"
        used: list[tuple[str, str, Mapping[str, object]]] = [
            ("operating system", os, systems) for offer in component.offers for os in offer.os
        ]
        used += [("operating system", os, systems) for os in component.left_out]
        used += [("component", to, components) for rule in component.rules for to in (*rule.requires, *rule.refuses)]
        for kind, used_name, table in used:
            if used_name not in table:
                hint = nearest(used_name, table)
                raise IngotError(f"unknown {kind} {used_name!r}", place=_place(file, used_name), hint=hint)
    for name, stack in stacks.items():
        file = path / "stacks" / f"{name}.yml"
        for used_name in stack.pins:
            if used_name not in components:
                hint = nearest(used_name, components)
                raise IngotError(f"unknown component {used_name!r}", place=_place(file, used_name), hint=hint)


def _place(file: Path, word: str) -> str:
    lines = file.read_text().splitlines()
    return f"{file}:{next((n for n, line in enumerate(lines, 1) if word in line), 1)}"
