"""Brings every artifact that a lock names into the cache, concurrently, and verifies each against its SHA-256.

Packages land under the names that apt gives them, so that the cache can be apt's own archive folder during a build.
A file whose digest differs is removed and named; nothing of it is ever installed.
"""

import hashlib
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import httpx

from ingot import pypi
from ingot.archive import Archive
from ingot.errors import IngotError
from ingot.models import Lock, Package
from ingot.paths import atomic, cache_dir
from ingot.run import run

CONNECTIONS = 8
ATTEMPTS = 4
CHUNK = 1 << 20
Progress = Callable[[int, int], None]


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


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verified(path: Path, expected: str) -> bool:
    """Whether `path` is there with the right digest; a file with a wrong one is removed."""
    if not path.is_file():
        return False
    if sha256(path) == expected:
        return True
    path.unlink()
    return False


def _download(client: httpx.Client, url: str, path: Path, expected: str) -> int:
    """Download `url` to `path` and verify it; connection failures and server errors are tried again."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with atomic(path) as temporary, client.stream("GET", url) as answer:
                answer.raise_for_status()
                digest = hashlib.sha256()
                with temporary.open("wb") as out:
                    for chunk in answer.iter_bytes(CHUNK):
                        digest.update(chunk)
                        out.write(chunk)
                if digest.hexdigest() != expected:
                    raise IngotError(
                        f"{path.name} does not match its digest: expected {expected}, got {digest.hexdigest()}",
                        hint="nothing was installed and the file was removed; "
                        "try again, or look into the mirror that served it",
                    )
                size = temporary.stat().st_size
            return size
        except httpx.HTTPStatusError as error:
            if error.response.status_code < 500 or attempt == ATTEMPTS:
                hint = "run `ingot lock` if the archive has moved on" if error.response.status_code == 404 else ""
                raise IngotError(f"{url} answers {error.response.status_code}", hint=hint) from None
        except httpx.TransportError as error:
            if attempt == ATTEMPTS:
                raise IngotError(f"{url} cannot be read: {error}", hint="is the network up?") from None
    raise AssertionError("unreachable")


def fetch(lock: Lock, archive: Archive, *, on_progress: Progress | None = None, log: Path | None = None) -> Fetched:
    """Make every package and wheel of `lock` present and verified in the cache.

    `on_progress(done, total)` is told bytes of verified packages. Raises IngotError at the first artifact that cannot
    be had as the lock says; what was complete stays for the next run.
    """
    archives = cache_dir(f"apt/{lock.key}")
    (archives / "partial").mkdir(exist_ok=True)
    total = sum(package.size for package in lock.packages.values())
    done = downloaded = 0

    def one(name: str, package: Package) -> tuple[int, int]:
        path = archives / deb_name(name, package)
        if _verified(path, package.sha256):
            return package.size, 0
        return package.size, _download(client, archive.url(package), path, package.sha256)

    # The largest first: the last download should be a short one.
    packages = sorted(lock.packages.items(), key=lambda item: -item[1].size)
    with (
        httpx.Client(timeout=60, follow_redirects=True) as client,
        ThreadPoolExecutor(CONNECTIONS) as pool,
    ):
        jobs = [pool.submit(one, name, package) for name, package in packages]
        try:
            for job in as_completed(jobs):
                size, new = job.result()
                done, downloaded = done + size, downloaded + new
                if on_progress:
                    on_progress(done, total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return Fetched(archives, _fetch_wheels(lock, log), downloaded)


def _fetch_wheels(lock: Lock, log: Path | None) -> Path:
    """Make every wheel of `lock` present; pip downloads, as the user has set it up, and checks the digests."""
    folder = cache_dir(f"wheels/{lock.key}")
    missing = [
        (name, wheel) for name, wheel in lock.wheels.items() if not _verified(folder / wheel.filename, wheel.sha256)
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
                    *pypi.target(),
                    f"{name}=={wheel.version}",
                ],
                log=log,
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
    return folder


def forget(lock: Lock) -> None:
    """Remove from the cache what `lock` no longer names, so that it does not grow with every refresh."""
    named = {deb_name(name, package) for name, package in lock.packages.items()}
    for path in cache_dir(f"apt/{lock.key}").glob("*.deb"):
        if path.name not in named:
            path.unlink()
