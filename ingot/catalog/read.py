"""Reads the catalog's files into one checked object; the only module that knows where in it a fact stands."""

from collections.abc import Mapping
from pathlib import Path

from ingot import paths
from ingot.catalog.catalog import Catalog, files_named
from ingot.catalog.names import check_names
from ingot.errors import IngotError, UsageError
from ingot.model.component import Component
from ingot.model.container import Container, Containers, ContainerSystem
from ingot.model.image import Image, Images
from ingot.model.repository import Repositories
from ingot.model.stack import Stack
from ingot.model.system import BuildersFile, OperatingSystem, OperatingSystems
from ingot.model.types import Accelerator
from ingot.yamlfile import load, nearest, place


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
    for file in files_named(folders, "operating_systems.yml"):
        systems |= (there := load(file, OperatingSystems).operating_systems)
        files |= {f"operating_systems/{name}": file for name in there}
    images: dict[str, Image] = {}
    for file in files_named(folders, "images.yml"):
        images |= (found := load(file, Images).images)
        files |= {f"images/{name}": file for name in found}
    containers: dict[str, Container] = {}
    container_systems: dict[Accelerator, ContainerSystem] = {}
    for file in files_named(folders, "containers.yml"):
        rows = load(file, Containers)
        containers |= rows.containers
        container_systems |= rows.systems
        files |= {f"containers/{name}": file for name in rows.containers}
    known = []
    for file in files_named(folders, "repositories.yml"):
        known.append(load(file, Repositories))
        files |= {f"repositories/{name}": file for name in known[-1].repositories}
    repositories = Repositories(
        keys={name: key for each in known for name, key in each.keys.items()},
        repositories={name: row for each in known for name, row in each.repositories.items()},
    )
    stacks = {name: extended(name, written, files) for name in written}
    builders = [load(file, BuildersFile).builders for file in files_named(folders, "builders.yml")][-1]
    catalog = Catalog(
        path, components, systems, images, stacks, repositories, builders, containers, container_systems, own, files
    )
    check_names(catalog)
    return catalog


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
