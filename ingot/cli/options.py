"""What commands share: the options that many of them have, completed by the catalog, and how they print."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ingot.catalog.catalog import Catalog
    from ingot.model.target import ImageSelection, Target


def images() -> list[str]:
    """The images of the catalog, for completion."""
    return sorted(catalog().images)


def systems() -> list[str]:
    """The operating systems of the catalog, for completion."""
    return sorted(catalog().operating_systems)


def types() -> list[str]:
    """The known instance types, for completion."""
    from ingot.catalog.instance_types import read_types

    return sorted(read_types().types)


ImageArg = Annotated[str, typer.Argument(help="An image of catalog/images.yml.", autocompletion=images)]
OsOption = Annotated[str, typer.Option("--os", help="Operating system.", autocompletion=systems)]
ArchOption = Annotated[str, typer.Option("--arch", help="Architecture.")]
StackOption = Annotated[str, typer.Option("--stack", help="Stack; the newest by default.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def catalog() -> "Catalog":
    """The catalog, with a team's own one laid over it."""
    from ingot import paths
    from ingot.catalog.read import read_catalog

    return read_catalog(own=paths.own_catalog())


def at(os_name: str, arch: str, stack: str = "", *, local: bool = False) -> "tuple[Catalog, Target]":
    """The catalog, and the target that options name; of the newest stack where they name none."""
    whole = catalog()
    return whole, whole.target(stack or whole.newest_stack, os_name, arch, local=local)


def select_image(
    name: str, os_name: str, arch: str, stack: str = "", *, local: bool = False, stale: bool = False
) -> "tuple[Catalog, ImageSelection]":
    """The catalog, and the image for the target that options name."""
    from ingot.lock import select

    whole, target = at(os_name, arch, stack, local=local)
    return whole, select.image(whole, target, name, stale=stale)


def print_json(data: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(data, indent=2, default=str))
