"""The commands for the cache that builds share: cache list, cache check, cache remove."""

from typing import Annotated

import typer

from ingot.cli.options import JsonOption, print_json

app = typer.Typer(help="List, check and remove what builds share.", no_args_is_help=True, rich_markup_mode=None)


def _names() -> list[str]:
    from ingot.image import cache

    return [entry.name for entry in cache.entries()]


@app.command("list", epilog="Example: ingot cache list --json")
def list_(as_json: JsonOption = False) -> None:
    """List the parts of the cache with their sizes."""
    from datetime import datetime

    from ingot.console import out
    from ingot.image import cache
    from ingot.image.page import size
    from ingot.paths import cache_dir

    entries = cache.entries()
    if as_json:
        print_json([entry.data for entry in entries])
        return
    for entry in entries:
        day = f"{datetime.fromtimestamp(entry.changed):%Y-%m-%d}"
        out.print(f"{entry.name:28}{size(entry.bytes):>10}  {day}  {entry.what}", markup=False)
    out.print(f"{size(sum(entry.bytes for entry in entries))} in {cache_dir()}", markup=False)


@app.command(epilog="Example: ingot cache check")
def check() -> None:
    """Check files against the digests of the locks.

    Exits with 1 and their names if one differs. Builds verify what they read, and fetch what is missing.
    """
    from ingot.console import out
    from ingot.errors import IngotError
    from ingot.image import cache
    from ingot.paths import cache_dir

    count, wrong = cache.check()
    if wrong:
        raise IngotError(
            f"{len(wrong)} of {count} files are not what the locks name\n  " + "\n  ".join(map(str, wrong)),
            place=str(cache_dir()),
            hint="remove them; the next build fetches them again",
        )
    out.print(f"{count} files are what the locks name", markup=False)


@app.command(epilog="Example: ingot cache remove apt/debian12-x86_64")
def remove(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Parts, as `ingot cache list` names them.", autocompletion=_names, show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every part.")] = False,
) -> None:
    """Remove parts of the cache, or all of it.

    Builds fetch again what they lack. Waits for a build that is fetching.
    """
    from ingot.console import out
    from ingot.errors import UsageError
    from ingot.image import cache
    from ingot.image.page import size

    if bool(names) == every:
        raise UsageError("name parts, or give --all", hint="`ingot cache list` names the parts")
    for entry in cache.remove(names or []):
        out.print(f"removed {entry.name}, {size(entry.bytes)}", markup=False)
