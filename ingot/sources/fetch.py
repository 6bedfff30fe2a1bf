"""Downloads every artifact of a lock into the cache, in parallel, and verifies its SHA-256.

Packages have the file names that apt uses, so that the cache can be apt's archive folder during a build. A file with a
wrong digest is removed, reported and never installed.
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
    """The folders of a lock's artifacts, and the number of downloaded bytes."""

    archives: Path
    wheels: Path
    downloaded: int


def deb_name(name: str, package: Package) -> str:
    """The file name of `package` in apt's archive folder."""
    arch = package.path.removesuffix(".deb").rsplit("_", 1)[-1]
    return f"{name}_{package.version.replace(':', '%3a')}_{arch}.deb"


def fetch(lock: Lock, archive: Archive, *, on_progress: Progress | None = None, log: Path | None = None) -> Fetched:
    """Make sure that every package and wheel of `lock`, or of an image's part of it, is in the cache and verified.

    `on_progress(done, total)` is called with bytes of packages. Raises IngotError at the first artifact that is not
    available as locked; complete files are kept for the next run.
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
    """The cache folder with every wheel of `lock`, downloaded with pip's own configuration and verified."""
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
                    hint="the file was removed and not used",
                )
            (staging / wheel.filename).replace(folder / wheel.filename)
        finally:
            shutil.rmtree(staging)


def forget(lock: Lock) -> None:
    """Remove packages from the cache that `lock` no longer names, so that it does not grow with every refresh."""
    named = {deb_name(name, package) for name, package in lock.packages.items()}
    for path in cache_dir(f"apt/{lock.key}").iterdir():
        if path.name.endswith((".deb", ".deb.part")) and path.name not in named:
            path.unlink()
