"""The arguments and options that the commands about AMIs share."""

from typing import Annotated

import typer

from ingot.cli.options import images, systems

AmiArg = Annotated[str, typer.Argument(metavar="AMI", help="Its id, its name, or CHANNEL:IMAGE/OS/ARCH.")]


ImageArg = Annotated[str, typer.Argument(help="An image of catalog/images.yml.", autocompletion=images)]


OsArg = Annotated[str, typer.Option("--os", help="Operating system.", autocompletion=systems)]


ArchArg = Annotated[str, typer.Option("--arch", help="Architecture.")]


RegionOption = Annotated[
    str, typer.Option("--region", help="The region; the profile's own by default.", show_default=False)
]


RegionsOption = Annotated[
    list[str] | None, typer.Option("--region", help="A region; may be repeated; the profile's own by default.")
]


FirstOption = Annotated[
    list[str] | None,
    typer.Option("--region", help="The AMI's region, then those of its copies; the profile's own by default."),
]


DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


KeyOption = Annotated[
    str, typer.Option("--kms-key", help="Encrypt copies with it: an alias that every region has.", show_default=False)
]


def would(dry_run: bool) -> str:
    return "would be " if dry_run else ""
