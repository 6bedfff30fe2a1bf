"""Creates a team's own catalog, which `--catalog` adds to Ingot's."""

from datetime import date, timedelta
from pathlib import Path

from ingot.catalog.catalog import Catalog
from ingot.errors import UsageError
from ingot.paths import write_text

REVIEW = timedelta(days=90)
STACK = """\
# The stack of this team: Ingot's, and the lines that differ. `ingot --catalog {folder} lock --os debian13` resolves it
# into {folder}/locks; every other command takes --catalog (or the variable INGOT_CATALOG) as well.
stack: '{name}'
summary: Ingot's {extends} with this team's changes.
extends: '{extends}'
# Pins replace those of the stack above one by one. A version is a range; a pin says why, and until when. For example:
# pins:
#   nccl:
#     version: '>=2.28,<2.29'
#     why: The models of this team were tuned on 2.28.
#     review_after: {review}
pins: {{}}
# Rules that are broken knowingly, each with the reason, which `ingot plan` shows. Messages name rules in [brackets].
# For example:
# accept:
#   cuda-13-driver: The containers of this team bring the forward compatibility package.
accept: {{}}
"""


def begin(folder: Path, catalog: Catalog) -> list[Path]:
    """Write a stack that extends the newest one into `folder`; return the new files."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("not an empty folder", place=str(folder), hint="name one that does not exist yet")
    extends = max(catalog.stacks)
    name = f"{extends}-{folder.resolve().name}"
    path = folder / "stacks" / f"{name}.yml"
    review = date.today() + REVIEW
    write_text(path, STACK.format(folder=folder, name=name, extends=extends, review=review))
    return [path]
