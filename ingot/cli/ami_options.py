"""Arguments and options shared by the commands of `ingot ami`."""

from typing import Annotated

import typer

AmiArg = Annotated[str, typer.Argument(metavar="AMI", help="Id, name, or CHANNEL:IMAGE/OS/ARCH.")]
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
