"""Paths: the checkout, the output of builds in it, and the cache that builds share."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingot.errors import IngotError

ROOT = Path(__file__).resolve().parent.parent
CATALOG = ROOT / "catalog"
LOCKS = ROOT / "locks"


def own_catalog() -> Path | None:
    """The folder of a team's own catalog (INGOT_CATALOG, which `--catalog` sets), or None."""
    return Path(os.environ["INGOT_CATALOG"]).resolve() if os.environ.get("INGOT_CATALOG") else None


def lock_dir(stack: str) -> Path:
    """The folder of a stack's locks: in a team's own catalog if the stack is defined there."""
    own = own_catalog()
    return own / "locks" / stack if own and (own / "stacks" / f"{stack}.yml").exists() else LOCKS / stack


def cache_dir(name: str = "") -> Path:
    """The folder `name` of the cache (INGOT_CACHE, else the user's cache folder), created if missing."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ingot"
    path = Path(os.environ.get("INGOT_CACHE") or default) / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def build_dir(name: str, key: str) -> Path:
    """The output folder of the image `name` for a target (`debian13-x86_64`), created if missing."""
    path = ROOT / "build" / name / key
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def alone(folder: Path, busy: str = "") -> Iterator[None]:
    """Lock `folder` against a second run; if it is locked, wait, or raise IngotError(`busy`) if `busy` is given."""
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            raise IngotError(busy, hint="wait for it to finish, or stop it") from None
        yield


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path next to `path` that replaces it when the block succeeds and is removed when it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    temporary.chmod(0o644)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` in one step, so that a reader never sees a partial file."""
    with atomic(path) as temporary:
        temporary.write_text(text)
