"""Paths: the checkout, the output of builds in it, the cache that builds share, and the collection's own modules."""

import fcntl
import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from ingot.errors import IngotError

ROOT = Path(__file__).resolve().parent.parent
CATALOG = ROOT / "catalog"
LOCKS = ROOT / "locks"
# The beginning of the names of temporary folders that the next run removes if this one is killed.
TEMPORARY = "ingot-work-"
# How long a killed build's Packer may take to clean up: EC2 terminates an instance within minutes.
HELD_SECONDS = 600
POLL_SECONDS = 0.2


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
    path = Path(os.environ.get("INGOT_CACHE") or default).absolute() / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def build_dir(name: str, key: str) -> Path:
    """The output folder of the image `name` for a target (`debian13-x86_64`), created if missing."""
    path = ROOT / "build" / name / key
    path.mkdir(parents=True, exist_ok=True)
    return path


@cache
def collection_module(name: str) -> Any:
    """The module `name` of the collection's `module_utils`, which machines have as well; it is not of this package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "plugins" / "module_utils" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
def held(folder: Path, waiting: Callable[[], None] | None = None, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold the lock of the directory `folder` itself; calls `waiting` before it waits for another holder.

    Its descriptor is inheritable: a child started with `close_fds=False` holds the lock until it ends as well. Raises
    IngotError if another holder has it for more than HELD_SECONDS.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.set_inheritable(descriptor, True)
        deadline = time.monotonic() + HELD_SECONDS
        while not _locks(descriptor, kind):
            if waiting:
                waiting()
                waiting = None
            if time.monotonic() > deadline:
                raise IngotError(
                    "a program of a killed build is still running",
                    place=str(folder),
                    hint=f"`fuser -v {folder}` names it; end it, then try again",
                )
            time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _locks(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Whether the lock is free; it is taken then."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def temporary(remove: Callable[[Path], None] = _remove) -> Iterator[Path]:
    """A private temporary folder, removed after the block; removes those of killed runs first, keys included.

    Its lock is shared: a program that takes it as well and outlives this run keeps the folder until it ends. `remove`
    removes a folder as far as it can.
    """
    for path in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*"):
        _remove_if_left(path, remove)
    folder = Path(tempfile.mkdtemp(prefix=TEMPORARY))
    try:
        with held(folder, kind=fcntl.LOCK_SH):
            yield folder
    finally:
        remove(folder)


def _remove_if_left(folder: Path, remove: Callable[[Path], None]) -> None:
    """Remove a temporary folder of this user whose run has ended, which no longer holds its lock."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        # An empty one may be new, and not locked yet.
        if _locks(descriptor) and folder.stat().st_uid == os.geteuid() and any(folder.iterdir()):
            remove(folder)
    except FileNotFoundError:  # another run has just removed it
        return
    finally:
        os.close(descriptor)


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
