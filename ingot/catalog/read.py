"""Reads the catalog's files into one checked object; the only module that knows the layout of the files."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ingot import paths
from ingot.catalog.addresses import address
from ingot.catalog.advisories import check_accepted, known, read_advisories
from ingot.catalog.advisories import files_of as advisory_files
from ingot.catalog.catalog import Catalog, files_named
from ingot.catalog.names import check_names
from ingot.catalog.systems import (
    FOLDER,
    files_of,
    incomplete,
    lineages,
    read_systems,
    settled,
    settled_stack,
    unoffered,
)
from ingot.errors import IngotError, UsageError
from ingot.model.budget import BudgetsFile
from ingot.model.component import Brought, Component
from ingot.model.container import Container, Containers, ContainerSystem
from ingot.model.image import Image, Images
from ingot.model.repository import Repositories
from ingot.model.stack import Stack
from ingot.model.system import BuildersFile, OperatingSystem
from ingot.model.types import Accelerator
from ingot.yamlfile import load, nearest, place


def read_catalog(path: Path = paths.CATALOG, own: Path | None = None) -> Catalog:
    """Read and check every file of the catalog at `path`, and add a team's own one to it.

    A component, stack, image, system or repository of `own` replaces ours of the same name. Raises IngotError with file
    and line at the first problem.
    """
    if own and not own.is_dir():
        raise UsageError("there is no such folder", place=str(own), hint=f"create it with `ingot init {own}`")
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
    system_files = files_of(folders)
    files |= {f"{FOLDER}/{name}": file for name, file in system_files.items()}
    systems, lacking = read_systems(system_files)
    systems = {name: _with_brought(system, components) for name, system in systems.items()}
    images: dict[str, Image] = {}
    for file in files_named(folders, "images.yml"):
        images |= (parsed_images := load(file, Images).images)
        files |= {f"images/{name}": file for name in parsed_images}
    containers: dict[str, Container] = {}
    container_systems: dict[Accelerator, ContainerSystem] = {}
    for file in files_named(folders, "containers.yml"):
        parsed = load(file, Containers)
        containers |= parsed.containers
        container_systems |= parsed.systems
        files |= {f"containers/{name}": file for name in parsed.containers}
    tables = []
    for file in files_named(folders, "repositories.yml"):
        tables.append(load(file, Repositories))
        files |= {f"repositories/{name}": file for name in tables[-1].repositories}
    repositories = Repositories(
        keys={name: key for table in tables for name, key in table.keys.items()},
        repositories={name: entry for table in tables for name, entry in table.repositories.items()},
    )
    stacks = {name: extended(name, written, files) for name in written}
    builders = [load(file, BuildersFile).builders for file in files_named(folders, "builders.yml")][-1]
    budgets = [load(file, BudgetsFile).budgets for file in files_named(folders, "budgets.yml")][-1]
    advisories = read_advisories(advisory_files(folders), components)
    for name, stack in written.items():
        check_accepted(stack, files[f"stacks/{name}"], known(advisories))
    catalog = Catalog(
        path,
        components,
        systems,
        images,
        stacks,
        repositories,
        builders,
        containers,
        container_systems,
        own,
        files,
        advisories,
        budgets,
    )
    check_names(catalog)
    catalog = _settled(catalog)
    _check_complete(catalog, lacking)
    return catalog


def _with_brought(system: OperatingSystem, components: Mapping[str, Component]) -> OperatingSystem:
    """The system with what its base images bring: what they boot, and what the platform's component lists unless the
    system's own file does."""
    images = {}
    for name, image in system.base_images.items():
        platform = components.get(name)
        own = image.brings if "brings" in image.model_fields_set or platform is None else platform.brings
        cleanup = image.cleanup or (platform.cleanup if platform else "")
        brings = {"base": Brought(), "kernel": Brought(), **own}
        images[name] = image.model_copy(update={"brings": brings, "cleanup": cleanup})
    return system.model_copy(update={"base_images": images})


def _settled(catalog: Catalog) -> Catalog:
    """The catalog with everything for a system extended to those that are like it."""
    lines = lineages(catalog.operating_systems)
    components = {
        name: settled(component, catalog.operating_systems, lines) for name, component in catalog.components.items()
    }
    stacks = {name: settled_stack(stack, lines) for name, stack in catalog.stacks.items()}
    return replace(catalog, components=components, stacks=stacks)


def _check_complete(catalog: Catalog, lacking: Mapping[str, Sequence[str]]) -> None:
    """UsageError that lists everything that a system lacks for its stacks."""
    complete = {name: other for name, other in catalog.operating_systems.items() if name not in lacking}
    for name, system in catalog.operating_systems.items():
        file = catalog.files[f"{FOLDER}/{name}"]
        pins = dict.fromkeys(pin for stack in _stacks_of(catalog, name) for pin in stack.pins)
        parts = unoffered(system, (catalog.components[pin] for pin in pins))
        keys = [*lacking.get(name, ()), *_unaddressed(catalog, name, pins)]
        if keys or parts:
            raise incomplete(name, file, list(dict.fromkeys(keys)), parts, complete)


def _stacks_of(catalog: Catalog, system: str) -> list[Stack]:
    """The stacks that name a system, and the stacks of its catalog that are for all systems."""
    home = catalog.files[f"{FOLDER}/{system}"].parents[1]
    return [
        stack
        for name, stack in catalog.stacks.items()
        if (system in stack.systems if stack.systems else catalog.files[f"stacks/{name}"].parents[1] == home)
    ]


def _unaddressed(catalog: Catalog, system: str, pins: Collection[str]) -> list[str]:
    """The keys that a system lacks for the addresses of its components' repositories."""
    repositories = catalog.repositories.repositories
    names = {
        offer.repository.name
        for pin in pins
        for offer in catalog.components[pin].offers
        if offer.repository and system in offer.os and offer.repository.name in repositories
    }
    arches = catalog.operating_systems[system].architectures
    addresses = [address(repositories[name], catalog, system, arch) for name in sorted(names) for arch in arches]
    return [key for item in addresses for key in item.lacking]


def extended(name: str, written: Mapping[str, Stack], files: Mapping[str, Path], after: tuple[str, ...] = ()) -> Stack:
    """A stack with the pins of those that it extends, which its own pins replace one by one."""
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
            "accepts": below.accepts | stack.accepts,
            "systems": stack.systems or below.systems,
        }
    )
