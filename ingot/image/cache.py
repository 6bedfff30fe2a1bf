"""Lists, checks and removes what builds share between them: packages, wheels, package lists, Packer.

Everything here may be deleted at any time; builds fetch again what they lack, and verify what they find.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ingot import paths
from ingot.errors import UsageError
from ingot.lock import file as locks
from ingot.sources.download import sha256
from ingot.sources.fetch import deb_name
from ingot.yamlfile import nearest

# What each folder of the cache has, which has a folder per system; others are whole.
KINDS = {
    "apt": "packages, verified again by each build",
    "wheels": "Python packages, verified again by each build",
    "archive": "signed package lists of the archive",
    "packer": "Packer and its plugins, compiled",
    "logs": "logs of set-up",
}
WHOLE = ("packer", "logs")


@dataclass(frozen=True)
class Entry:
    """A part of the cache that can be removed by its name; `changed` is the time of its newest file, since 1970."""

    name: str
    what: str
    files: int
    bytes: int
    changed: float

    @property
    def data(self) -> dict[str, Any]:
        """The entry for programs."""
        return asdict(self)


def entries() -> list[Entry]:
    """Every part of the cache that has files, by name."""
    found = []
    for kind, what in KINDS.items():
        root = paths.cache_dir() / kind
        folders = [root] if kind in WHOLE else sorted(root.iterdir()) if root.is_dir() else []
        for folder in folders:
            stats = [file.lstat() for file in folder.rglob("*") if file.is_file() and file.name != ".lock"]
            if stats:
                name = str(folder.relative_to(paths.cache_dir()))
                newest = max(stat.st_mtime for stat in stats)
                found.append(Entry(name, what, len(stats), sum(stat.st_size for stat in stats), newest))
    return found


def check() -> tuple[int, list[Path]]:
    """How many files the locks name, and those of them that are not the ones that the locks name."""
    wrong, count = [], 0
    for path, digest in sorted(_expected().items()):
        if path.is_file():
            count += 1
            wrong += [path] if sha256(path) != digest else []
    return count, wrong


def _expected() -> dict[Path, str]:
    """The digest of each file of packages and wheels that a lock names."""
    own = paths.own_catalog()
    folders = [paths.LOCKS, *([own / "locks"] if own else [])]
    digests: dict[Path, str] = {}
    for file in (file for folder in folders for file in folder.glob("*/*.yml")):
        apt, wheels = (paths.cache_dir() / kind / file.stem for kind in ("apt", "wheels"))
        if not (apt.is_dir() or wheels.is_dir()):
            continue
        lock = locks.load(file)
        digests |= {apt / deb_name(name, package): package.sha256 for name, package in lock.packages.items()}
        digests |= {wheels / wheel.filename: wheel.sha256 for wheel in lock.wheels.values()}
    return digests


def remove(names: Sequence[str]) -> list[Entry]:
    """Remove parts of the cache by name, all without a name; returns what was removed.

    UsageError on an unknown name, before anything is removed. Waits for a build that is fetching into it.
    """
    there = {entry.name: entry for entry in entries()}
    for name in names:
        if name not in there:
            raise UsageError(f"the cache has no {name!r}", hint=nearest(name, there) if there else "it is empty")
    chosen = [there[name] for name in names or there]
    for entry in chosen:
        folder = paths.cache_dir() / entry.name
        kind, _, key = entry.name.partition("/")
        # Those who fetch packages hold the lock of the wheels.
        with paths.alone(paths.cache_dir(f"wheels/{key}") if kind == "apt" else folder):
            for path in folder.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.name != ".lock":
                    path.unlink()
    return chosen
