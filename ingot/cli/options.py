"""Options that commands share, with completion from the catalog, and output."""

import json
import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ingot.catalog.catalog import Catalog
    from ingot.model.target import ImageSelection, Target
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Exit with 1 if the build breaks a budget of catalog/budgets.yml.")
]


def images() -> list[str]:
    """Image names, for completion."""
    return sorted(catalog().images)


def systems() -> list[str]:
    """Operating system names, for completion."""
    return sorted(catalog().operating_systems)


def types() -> list[str]:
    """Instance types of the catalog, for completion."""
    from ingot.catalog.instance_types import read_types

    return sorted(read_types().types)


def ec2_name(value: Any) -> Any:
    """An instance type, or several, without SageMaker's prefix: `ml.p5.48xlarge` is `p5.48xlarge`."""
    from ingot.catalog.instance_types import plain_name

    return plain_name(value) if isinstance(value, str) else [plain_name(each) for each in value] if value else value


ImageArg = Annotated[str, typer.Argument(help="Image of catalog/images.yml.", autocompletion=images)]
OsOption = Annotated[str, typer.Option("--os", help="Operating system.", autocompletion=systems)]
ArchOption = Annotated[str, typer.Option("--arch", help="Architecture.")]
StackOption = Annotated[str, typer.Option("--stack", help="Stack; the newest by default.", show_default=False)]
FrozenOption = Annotated[
    bool, typer.Option("--frozen", help="Record nothing; fail unless the lock has a digest of everything.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
BuildJsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document; progress as JSON lines on standard error.")
]


def catalog() -> "Catalog":
    """The catalog, with the team's own merged over it."""
    from ingot import paths
    from ingot.catalog.read import read_catalog

    return read_catalog(own=paths.own_catalog())


def at(os_name: str, arch: str, stack: str = "", *, local: bool = False) -> "tuple[Catalog, Target]":
    """The catalog and the selected target; without a stack, of the newest one."""
    whole = catalog()
    return whole, whole.target(stack or whole.newest_stack, os_name, arch, local=local)


def select_image(
    name: str, os_name: str, arch: str, stack: str = "", *, local: bool = False, stale: bool = False
) -> "tuple[Catalog, ImageSelection]":
    """The catalog and the selected image."""
    from ingot.lock import select

    whole, target = at(os_name, arch, stack, local=local)
    return whole, select.image(whole, target, name, stale=stale)


def print_json(data: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(data, indent=2, default=str))


def print_file(text: str, remarks: list[str]) -> None:
    """Print a rendered file to standard output and remarks on it to standard error."""
    from ingot.console import err

    for remark in remarks:
        err.print(remark, markup=False)
    print(text, end="")


def command_line() -> str:
    """This command on one line, for the header of a rendered file."""
    return " ".join(shlex.join(["ingot", *sys.argv[1:]]).split())
