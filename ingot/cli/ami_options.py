"""Arguments and options shared by the commands of `ingot ami`."""

from typing import Annotated

import typer

from ingot.cli.options import images, systems

AmiArg = Annotated[str, typer.Argument(metavar="AMI", help="Id, name, or CHANNEL:IMAGE/OS/ARCH.")]


ImageArg = Annotated[str, typer.Argument(help="Image of catalog/images.yml.", autocompletion=images)]


OsArg = Annotated[str, typer.Option("--os", help="Operating system.", autocompletion=systems)]


ArchArg = Annotated[str, typer.Option("--arch", help="Architecture.")]


RegionOption = Annotated[str, typer.Option("--region", help="Region; the profile's by default.", show_default=False)]


RegionsOption = Annotated[
    list[str] | None, typer.Option("--region", help="Region; may be repeated; the profile's by default.")
]


FirstOption = Annotated[
    list[str] | None,
    typer.Option("--region", help="Region of the AMI, then of its copies; the profile's by default."),
]


DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")]


KeyOption = Annotated[
    str,
    typer.Option(
        "--kms-key", help="Encrypt copies with this key; an alias that exists in every region.", show_default=False
    ),
]


def would(dry_run: bool) -> str:
    return "would be " if dry_run else ""
