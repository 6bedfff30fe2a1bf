"""The command line: reads options, calls one function, prints its result. Commands import modules when they run."""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ingot import __version__
from ingot.cli import (
    ami,
    ami_build,
    ami_channels,
    ami_collect,
    audit,
    cache,
    catalog,
    check,
    container,
    export,
    image,
    launch,
    lock,
    mirror,
    nccl,
    plan,
)
from ingot.errors import IngotError

app = typer.Typer(
    name="ingot",
    help="Machine images and containers for distributed training, from one lock file.",
    epilog="Example: ingot local parallelcluster --os debian13",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"ingot {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    own: Annotated[
        Path | None,
        typer.Option("--catalog", envvar="INGOT_CATALOG", help="A team's own catalog, merged over Ingot's."),
    ] = None,
) -> None:
    """Machine images and containers for distributed training, from one lock file."""
    if own:
        os.environ["INGOT_CATALOG"] = str(own)


for room in (image, plan, audit, container, launch, check, catalog, mirror):
    app.add_typer(room.app)
for part in (ami_build, ami_channels, ami_collect):
    ami.app.add_typer(part.app)
app.add_typer(lock.app, name="lock")
app.add_typer(catalog.listing, name="list")
app.add_typer(catalog.files, name="catalog")
app.add_typer(cache.app, name="cache")
app.add_typer(ami.app, name="ami")
app.add_typer(export.app, name="export")
app.add_typer(nccl.app, name="nccl")


class _Interrupted(BaseException):
    """Ctrl-C or SIGTERM, which must clean up; typer ends silently on KeyboardInterrupt."""


def _interrupt(*_: object) -> NoReturn:
    raise _Interrupted


def main() -> None:
    """Run the command line; an IngotError becomes one message and an exit code, not a traceback."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app()
    except IngotError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except _Interrupted:
        print("interrupted; nothing is left running", file=sys.stderr)
        sys.exit(130)
