"""What commands share: the options that many of them have, completed by the catalog, and how they print."""

import json
from typing import Annotated, Any

import typer


def images() -> list[str]:
    """The images of the catalog, for completion."""
    return sorted(find_stack("")[0].images)


def systems() -> list[str]:
    """The operating systems of the catalog, for completion."""
    return sorted(find_stack("")[0].operating_systems)


def types() -> list[str]:
    """The known instance types, for completion."""
    from ingot.catalog.instance_types import read_types

    return sorted(read_types().types)


ImageArg = Annotated[str, typer.Argument(help="An image of catalog/images.yml.", autocompletion=images)]
OsOption = Annotated[str, typer.Option("--os", help="Operating system.", autocompletion=systems)]
ArchOption = Annotated[str, typer.Option("--arch", help="Architecture.")]
StackOption = Annotated[str, typer.Option("--stack", help="Stack; the newest by default.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def find_stack(name: str) -> tuple[Any, str]:
    """The catalog, and the stack that was named or else the newest one."""
    from ingot import paths
    from ingot.catalog.read import read_catalog

    catalog = read_catalog(own=paths.own_catalog())
    return catalog, name or catalog.newest_stack


def print_json(data: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(data, indent=2, default=str))
