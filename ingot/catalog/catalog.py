"""Turns the catalog's files into one checked object; the only module that knows where in it a fact stands."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, get_args

from ingot import paths
from ingot.errors import IngotError, UsageError
from ingot.model.models import (
    BASE_IMAGE,
    DISTRIBUTION,
    LOCAL_ARCH,
    Accelerator,
    Arch,
    Builders,
    BuildersFile,
    Component,
    Container,
    Containers,
    ContainerSystem,
    Image,
    Images,
    OperatingSystem,
    OperatingSystems,
    Platform,
    Repositories,
    Stack,
)
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
    builders: Builders
    containers: dict[str, Container] = field(default_factory=dict)
    container_systems: dict[Accelerator, ContainerSystem] = field(default_factory=dict)
    own: Path | None = None
    files: Mapping[str, Path] = field(default_factory=dict)

    def operating_system(self, name: str) -> OperatingSystem:
        """The operating system `name`; UsageError with the known names if there is none."""
        return _known("operating system", name, self.operating_systems)

    def image(self, name: str) -> Image:
        """The image `name`; UsageError with the known names if there is none."""
        return _known("image", name, self.images)

    def container(self, name: str) -> Container:
        """The container `name`; UsageError with the known names if there is none."""
        return _known("container", name, self.containers)

    def stack(self, name: str) -> Stack:
        """The stack `name`; UsageError with the known names if there is none."""
        return _known("stack", name, self.stacks)

    @property
    def newest_stack(self) -> str:
        """The name of the newest stack, which commands use when none is named; of a team's own ones if it has any."""
        own = [name for name in self.stacks if self.own and self.files[f"stacks/{name}"].is_relative_to(self.own)]
        return max(own or self.stacks)

    def digest(self, stack: str) -> str:
        """SHA-256 over the files that decide a lock: components, operating systems, repositories and the stack."""
        decisive = {key: file for key, file in self.files.items() if key.startswith("components/")}
        chain = stack
        while chain:
            decisive[f"stacks/{chain}"] = self.files[f"stacks/{chain}"]
            chain = self.stacks[chain].extends
        for name in ("operating_systems.yml", "repositories.yml"):
            for number, file in enumerate(_there([self.path, self.own] if self.own else [self.path], name)):
                decisive[f"{name}/{number}"] = file
        total = hashlib.sha256()
        for key, file in sorted(decisive.items()):
            total.update(f"{key}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
        return total.hexdigest()

    def check_arch(self, os_name: str, arch: str) -> Arch:
        """The architecture `arch`; UsageError when the operating system has no such."""
        known = self.operating_system(os_name).architectures
        for each in known:
            if each == arch:
                return each
        raise UsageError(f"{os_name} has no architecture {arch!r}", hint=nearest(arch, known))

    def check_local(self, os_name: str, arch: str) -> Arch:
        """The same; UsageError too when images of it are not built on this machine."""
        if (known := self.check_arch(os_name, arch)) != LOCAL_ARCH:
            raise UsageError(
                f"no image is built for {arch} on this machine: its disk and the QEMU that boots it are {LOCAL_ARCH}'s",
                hint=f"build for {LOCAL_ARCH}; `ingot plan IMAGE --os {os_name} --arch {arch}` says what the lock has",
            )
        return known


def _known(kind: str, name: str, table: dict[str, T]) -> T:
    if name not in table:
        raise UsageError(f"unknown {kind} {name!r}", hint=nearest(name, table))
    return table[name]


def read_catalog(path: Path = paths.CATALOG, own: Path | None = None) -> Catalog:
    """Read and check every file of the catalog at `path`, and lay a team's own one over it.

    A component, stack, image, system or repository of `own` takes the place of ours with its name. Raises IngotError
    with file and line at the first thing that is wrong.
    """
    if own and not own.is_dir():
        raise UsageError("there is no such folder", place=str(own), hint=f"`ingot init {own}` makes one")
    folders = [path, own] if own else [path]
    files = {
        f"{kind}/{file.stem}": file
        for folder in folders
        for kind in ("components", "stacks")
        for file in sorted((folder / kind).glob("*.yml"))
    }
    components = {}
    for key, file in files.items():
        if key.startswith("components/"):
            component = load(file, Component)
            if component.component != file.stem:
                raise IngotError(
                    f"says component {component.component!r}", place=str(file), hint=f"write {file.stem!r}"
                )
            components[file.stem] = component
    written = {file.stem: load(file, Stack) for key, file in files.items() if key.startswith("stacks/")}
    systems: dict[str, OperatingSystem] = {}
    for file in _there(folders, "operating_systems.yml"):
        systems |= (there := load(file, OperatingSystems).operating_systems)
        files |= {f"operating_systems/{name}": file for name in there}
    images: dict[str, Image] = {}
    for file in _there(folders, "images.yml"):
        images |= (found := load(file, Images).images)
        files |= {f"images/{name}": file for name in found}
    containers: dict[str, Container] = {}
    container_systems: dict[Accelerator, ContainerSystem] = {}
    for file in _there(folders, "containers.yml"):
        rows = load(file, Containers)
        containers |= rows.containers
        container_systems |= rows.systems
        files |= {f"containers/{name}": file for name in rows.containers}
    known = []
    for file in _there(folders, "repositories.yml"):
        known.append(load(file, Repositories))
        files |= {f"repositories/{name}": file for name in known[-1].repositories}
    repositories = Repositories(
        keys={name: key for each in known for name, key in each.keys.items()},
        repositories={name: row for each in known for name, row in each.repositories.items()},
    )
    stacks = {name: extended(name, written, files) for name in written}
    builders = [load(file, BuildersFile).builders for file in _there(folders, "builders.yml")][-1]
    catalog = Catalog(
        path, components, systems, images, stacks, repositories, builders, containers, container_systems, own, files
    )
    check_names(catalog)
    return catalog


def _there(folders: Sequence[Path], name: str) -> list[Path]:
    """The file `name` of the first folder, which has to be there, and of the others that have it."""
    return [folders[0] / name, *(folder / name for folder in folders[1:] if (folder / name).exists())]


def extended(name: str, written: Mapping[str, Stack], files: Mapping[str, Path], after: tuple[str, ...] = ()) -> Stack:
    """A stack with the pins of those that it extends before its own, which replace them one by one."""
    stack, file = written[name], files[f"stacks/{name}"]
    if not stack.extends:
        return stack
    at = place(file, "extends")
    if stack.extends in (name, *after):
        raise IngotError(f"stack {name} extends itself: {' -> '.join([*after, name, stack.extends])}", place=at)
    if stack.extends not in written:
        raise IngotError(f"unknown stack {stack.extends!r}", place=at, hint=nearest(stack.extends, written))
    below = extended(stack.extends, written, files, (*after, name))
    return stack.model_copy(
        update={
            "pins": below.pins | stack.pins,
            "accept": below.accept | stack.accept,
            "systems": stack.systems or below.systems,
        }
    )


def check_names(catalog: Catalog) -> None:
    """Every name that one file uses is defined by another; IngotError with the place and the nearest name."""
    for name, component in catalog.components.items():
        file = catalog.files[f"components/{name}"]
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
                file = catalog.files[f"components/{name}"]
                raise IngotError(
                    f"the rule {rule.id!r} is in {rules[rule.id]}.yml too", place=place(file, "rules", number, "id")
                )
            rules[rule.id] = name
    for name, stack in catalog.stacks.items():
        file = catalog.files[f"stacks/{name}"]
        for used in stack.pins:
            if used not in catalog.components:
                hint = nearest(used, catalog.components)
                raise IngotError(f"unknown component {used!r}", place=place(file, "pins", used), hint=hint)
        for number, used in enumerate(stack.systems):
            if used not in catalog.operating_systems:
                hint = nearest(used, catalog.operating_systems)
                at = place(file, "systems", number)
                raise IngotError(f"unknown operating system {used!r}", place=at, hint=hint)
        for used in stack.accept:
            if used not in rules:
                raise IngotError(f"unknown rule {used!r}", place=place(file, "accept", used), hint=nearest(used, rules))
    for name, system in catalog.operating_systems.items():
        file = catalog.files[f"operating_systems/{name}"]
        starts = {*get_args(Platform), *catalog.images}
        for start, base in system.base_images.items():
            at = place(file, "operating_systems", name, "base_images", start)
            if start not in starts:
                raise IngotError(f"{start!r} is no platform and no image", place=at, hint=nearest(start, starts))
            for used in base.brings:
                if used not in catalog.components:
                    hint = nearest(used, catalog.components)
                    raise IngotError(f"unknown component {used!r} in 'brings'", place=at, hint=hint)
    for name, image in catalog.images.items():
        for number, used in enumerate(image.given):
            if used not in catalog.components:
                file = catalog.files[f"images/{name}"]
                hint = nearest(used, catalog.components)
                at = place(file, "images", name, "given", number)
                raise IngotError(f"unknown component {used!r} of image {name}", place=at, hint=hint)
    for name in catalog.containers:
        lineage(name, catalog)
    for name, row in catalog.repositories.repositories.items():
        if row.key not in catalog.repositories.keys:
            file = catalog.files[f"repositories/{name}"]
            hint = nearest(row.key, catalog.repositories.keys)
            raise IngotError(f"unknown key {row.key!r}", place=place(file, "repositories", name, "key"), hint=hint)


def lineage(name: str, catalog: Catalog) -> list[str]:
    """The container `name` and those that it is made from, the root last; IngotError where that has no end."""
    found = [name]
    while parent := catalog.containers[found[-1]].parent:
        at = place(catalog.files[f"containers/{found[-1]}"], "containers", found[-1], "parent")
        if parent not in catalog.containers:
            raise IngotError(f"unknown container {parent!r}", place=at, hint=nearest(parent, catalog.containers))
        if parent in found:
            raise IngotError(f"container {name} is made from itself: {' -> '.join([*found, parent])}", place=at)
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
