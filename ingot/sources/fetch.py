"""Brings every artifact that a lock names into the cache, concurrently, and verifies each against its SHA-256.

Packages land under the names that apt gives them, so that the cache can be apt's own archive folder during a build.
A file whose digest differs is removed and named; nothing of it is ever installed.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from ingot.errors import IngotError
from ingot.model.lock import Lock, Package
from ingot.paths import alone, cache_dir
from ingot.run import run
from ingot.sources import origins, pypi
from ingot.sources.apt import Archive
from ingot.sources.download import File, Progress, download, sha256, verified


@dataclass(frozen=True)
class Fetched:
    """Where the artifacts of a lock lie, and how many bytes had to be downloaded for it."""

    archives: Path
    wheels: Path
    downloaded: int


def deb_name(name: str, package: Package) -> str:
    """The file name under which apt looks for `package` in its archive folder."""
    arch = package.path.removesuffix(".deb").rsplit("_", 1)[-1]
    return f"{name}_{package.version.replace(':', '%3a')}_{arch}.deb"


def fetch(lock: Lock, archive: Archive, *, on_progress: Progress | None = None, log: Path | None = None) -> Fetched:
    """Make every package and wheel of `lock`, or of an image's part of it, present and verified in the cache.

    `on_progress(done, total)` is told bytes of packages. Raises IngotError at the first artifact that cannot
    be had as the lock says; what was complete stays for the next run.
    """
    archives, wheels = cache_dir(f"apt/{lock.key}"), cache_dir(f"wheels/{lock.key}")
    (archives / "partial").mkdir(exist_ok=True)
    files = [
        File(archive.url(package), archives / deb_name(name, package), package.sha256, package.size)
        for name, package in lock.packages.items()
    ]
    # Builds of several images of one system share both folders.
    with alone(wheels):
        downloaded = download(files, on_progress)
    return Fetched(archives, fetch_wheels(lock, log=log), downloaded)


def fetch_wheels(lock: Lock, *, log: Path | None = None) -> Path:
    """The folder of the cache in which every wheel of `lock` is; pip downloads, as it is set up, and checks digests."""
    folder = cache_dir(f"wheels/{lock.key}")
    with alone(folder):
        _fetch_wheels(lock, folder, log)
    return folder


def _fetch_wheels(lock: Lock, folder: Path, log: Path | None) -> None:
    missing = [
        (name, wheel) for name, wheel in lock.wheels.items() if not verified(folder / wheel.filename, wheel.sha256)
    ]
    for name, wheel in missing:
        staging = folder / ".staging"
        staging.mkdir(exist_ok=True)
        try:
            run(
                [
                    *pypi.PIP,
                    "download",
                    "--quiet",
                    "--no-deps",
                    "--dest",
                    staging,
                    *pypi.target(lock.arch),
                    f"{name}=={wheel.version}",
                ],
                log=log,
                env=origins.pip_environment(),
                doing=f"downloading {wheel.filename}",
            )
            got = sha256(staging / wheel.filename)
            if got != wheel.sha256:
                raise IngotError(
                    f"{wheel.filename} does not match its digest: expected {wheel.sha256}, got {got}",
                    hint="nothing was installed and the file was removed",
                )
            (staging / wheel.filename).replace(folder / wheel.filename)
        finally:
            shutil.rmtree(staging)


def forget(lock: Lock) -> None:
    """Remove from the cache what `lock` no longer names, so that it does not grow with every refresh."""
    named = {deb_name(name, package) for name, package in lock.packages.items()}
    for path in cache_dir(f"apt/{lock.key}").iterdir():
        if path.name.endswith((".deb", ".deb.part")) and path.name not in named:
            path.unlink()
