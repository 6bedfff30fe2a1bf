"""Writes all files that builds of a lock download to a folder: Debian packages, wheels, files of vendors.

    DIR/debian/, DIR/debian-security/    as in the archive: dists/ with the indexes of the signed InRelease, pool/
    DIR/simple/NAME/                     wheels as a simple index (PEP 503)
    DIR/vendors/REPOSITORY/OS-ARCH/      as a vendor's repository: its signed index, and the lock's packages
    DIR/files/HOST/                      files of vendors, at the paths of their URLs

Several operating systems share a folder. Packages are written first and the InRelease of a suite last, so that an
interrupted run leaves the mirror in its old state or complete.
"""

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from packaging.utils import canonicalize_name

from ingot.catalog.catalog import Catalog
from ingot.console import Progress
from ingot.errors import IngotError, UsageError
from ingot.image.base import TOOLS_COMPONENTS, read_tools, tools_suites
from ingot.image.disk import GIB, TOOLS, require_space
from ingot.lock.grade import grades
from ingot.model.lock import Lock, Package
from ingot.model.types import LOCAL_ARCH, Arch
from ingot.paths import alone, atomic, write_text
from ingot.sources import pypi
from ingot.sources.apt import DEB_ARCH, Archive
from ingot.sources.download import File, download, sha256, size
from ingot.sources.indexes import read_index
from ingot.sources.web import CONNECTIONS, client

# Indexes of a suite; the archive has each in several compressions.
INDEX = re.compile(r"^ ([0-9a-f]{64}) +(\d+) (\S+\.(?:xz|bz2))$", re.MULTILINE)
# Free space to keep besides the downloads.
SPARE_GIB = 1


@dataclass(frozen=True)
class Made:
    """A mirror: the number of files that the lock needs, their size, and the bytes downloaded in this run.

    `not_in_it` has components that the lock does not resolve, with reasons.
    """

    path: str
    stack: str
    os: str
    arch: str
    files: int
    bytes: int
    downloaded_bytes: int
    not_in_it: dict[str, str]
    seconds: dict[str, float]


@dataclass(frozen=True)
class Suite:
    """A suite to mirror: its URL, the text of its InRelease, its components and architecture."""

    name: str
    url: str
    release: str
    components: Sequence[str]
    arch: Arch

    @property
    def folder(self) -> Path:
        """The suite's folder, relative to the mirror."""
        return Path(_site(self.name), "dists", self.name)


def _suite(name: str, archive: Archive, components: Sequence[str], arch: Arch) -> Suite:
    return Suite(name, archive.address(name), archive.release(name).read_text(), components, arch)


def _site(suite: str) -> str:
    """The folder of the suite's archive, relative to the mirror."""
    return "debian-security" if suite.endswith("-security") else "debian"


def _indexes(text: str) -> dict[str, tuple[str, int]]:
    """SHA-256 and size in bytes of the indexes in an InRelease, by path."""
    return {path: (digest, int(size)) for digest, size, path in INDEX.findall(text)}


def _by_hash(path: str, digest: str) -> Path:
    """The path at which apt requests an index, relative to its suite; a new one does not replace the old one."""
    return Path(path).parent / "by-hash" / "SHA256" / digest


def _index_of(part: str, arch: Arch) -> str:
    """The path of a component's index, relative to its suite."""
    return f"{part}/binary-{DEB_ARCH[arch]}/Packages.xz"


def _has_index(dest: Path, suite: str, part: str, arch: Arch) -> bool:
    """Whether the mirror has the index of a suite's component, and so its packages."""
    home = dest / _site(suite) / "dists" / suite
    indexes = _indexes((home / "InRelease").read_text()) if (home / "InRelease").exists() else {}
    path = _index_of(part, arch)
    return path in indexes and (home / _by_hash(path, indexes[path][0])).exists()


def _index_files(dest: Path, suite: Suite) -> list[File]:
    """The indexes of a suite that apt reads, and those of other architectures that are already in the mirror."""
    wanted = {_index_of(part, suite.arch) for part in suite.components}
    wanted |= {f"{part}/i18n/Translation-en.{kind}" for part in suite.components for kind in ("xz", "bz2")}
    old = dest / suite.folder / "InRelease"
    if old.exists():
        previous = _indexes(old.read_text())
        wanted |= {path for path, (digest, _) in previous.items() if (old.parent / _by_hash(path, digest)).exists()}
    return [
        File(
            f"{suite.url}dists/{suite.name}/{_by_hash(path, digest)}",
            dest / suite.folder / _by_hash(path, digest), digest, size,
        )
        for path, (digest, size) in _indexes(suite.release).items()
        if path in wanted
    ]  # fmt: skip


def _package_files(dest: Path, archive: Archive, packages: Sequence[Package]) -> list[File]:
    return [File(archive.url(p), dest / _site(p.suite) / p.path, p.sha256, p.size) for p in packages]


def _wheel_files(dest: Path, lock: Lock) -> list[File]:
    def file(name: str) -> File:
        wheel = lock.wheels[name]
        url = pypi.address(name, wheel.version, lock.arch)
        return File(url, _wheels(dest, name) / wheel.filename, wheel.sha256, size(web, url))

    with client() as web, ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(file, lock.wheels))


def _wheels(dest: Path, name: str) -> Path:
    return dest / "simple" / canonicalize_name(name)


def _write_index(folder: Path) -> None:
    """Write the page of the simple index for the wheels in `folder`."""
    links = [
        f'<a href="{quote(wheel.name)}#sha256={sha256(wheel)}">{wheel.name}</a><br>'
        for wheel in sorted(folder.glob("*.whl"))
    ]
    write_text(folder / "index.html", "\n".join(["<!DOCTYPE html>", *links, ""]))


def _read(catalog: Catalog, os_name: str, arch: str) -> Archive:
    archive = Archive(os_name, catalog.operating_system(os_name), arch)
    archive.update()
    return archive


def _tools(dest: Path, catalog: Catalog, lock: Lock, archive: Archive) -> tuple[list[Suite], list[File]]:
    """The suites and packages of the disk tools container, which runs on this machine.

    Suites that are in the mirror for another lock stay: newer indexes may no longer list its packages.
    """
    tools = read_tools(TOOLS / "tools.yml")
    owner = next(
        name for name, system in catalog.operating_systems.items() if system.base and system.base.suite == tools.suite
    )
    if (owner, LOCAL_ARCH) != (lock.os, lock.arch):
        if all(_has_index(dest, tools.suite, part, LOCAL_ARCH) for part in TOOLS_COMPONENTS):
            return [], []
        archive = _read(catalog, owner, LOCAL_ARCH)
    packages = archive.closure({"?essential": None, "apt": None, **dict.fromkeys(tools.packages)})
    suites = [_suite(name, archive, TOOLS_COMPONENTS, LOCAL_ARCH) for name in tools_suites(tools)]
    return suites, _package_files(dest, archive, list(packages.values()))


def plan(dest: Path, catalog: Catalog, lock: Lock) -> tuple[list[Suite], list[File]]:
    """The suites and files that a mirror in `dest` needs for `lock`."""
    archive = _read(catalog, lock.os, lock.arch)
    if gone := archive.gone(lock.packages):
        raise IngotError(
            f"the archive no longer has {len(gone)} pinned packages: {', '.join(gone[:5])}"
            + (" …" if len(gone) > 5 else ""),
            hint=f"update only those pins with `ingot lock --os {lock.os} --arch {lock.arch} --keep`",
        )
    suites = [_suite(name, archive, lock.archive.components, lock.arch) for name in lock.repositories["debian"].suites]
    more, files = _tools(dest, catalog, lock, archive)
    planned = {(suite.name, suite.arch) for suite in suites}
    suites += [suite for suite in more if (suite.name, suite.arch) not in planned]
    files += _package_files(dest, archive, list(lock.packages.values()))
    files += _wheel_files(dest, lock)
    files += [file for suite in suites for file in _index_files(dest, suite)]
    return suites, list({file.path: file for file in files}.values())


def vendors_plan(dest: Path, lock: Lock, tell: Callable[[str], None]) -> tuple[dict[Path, bytes], list[File]]:
    """The signed indexes of the vendors' repositories of `lock`, by path, and the vendors' files in `lock`.

    Raises IngotError if digests are missing, or an index is not signed by the lock's key.
    """
    pins = grades(lock)
    less = [
        f"{name} ({pin.grade}: {pin.lacks})" for name, pin in pins.items() if pin.grade in ("signature", "unresolved")
    ]
    if less:
        raise IngotError(
            f"{lock.key} lacks digests: {', '.join(less)}",
            hint=f"run `ingot lock record --os {lock.os} --arch {lock.arch} --stack {lock.stack}`",
        )
    files: list[File] = []
    homes: dict[str, Path] = {}
    for entry in lock.components.values():
        if entry.artifact and entry.artifact.sha256:
            parts = urlsplit(entry.artifact.url)
            place = dest / "files" / parts.netloc.replace(":", "_") / parts.path.lstrip("/")
            files.append(File(entry.artifact.url, place, entry.artifact.sha256))
        if entry.files:
            home = homes.setdefault(entry.source, dest / "vendors" / entry.source / lock.key)
            url = lock.repositories[entry.source].url.rstrip("/")
            files += [
                File(f"{url}/{file.path}", home / file.path, file.sha256, file.size) for file in entry.files.values()
            ]
    indexes = {
        home / path: content
        for name, home in homes.items()
        for path, content in read_index(name, lock.repositories[name], lock.arch, tell).files.items()
    }
    # Components share dependencies.
    return indexes, list({file.path: file for file in files}.values())


def mirror(dest: Path, catalog: Catalog, lock: Lock, progress: Progress) -> Made:
    """Download and verify all files that builds of `lock` read from the network to `dest`.

    Keeps existing files and resumes partial downloads. Raises UsageError if `dest` cannot be a folder, IngotError if a
    file is not available as locked, if disk space is short, or if another run is writing to `dest`.
    """
    dest = dest.expanduser().resolve()
    try:
        (dest / "simple").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot create the folder: {error.strerror}", place=str(dest)) from None
    with alone(dest, f"another `ingot mirror` is writing to {dest}"):
        suites: list[Suite] = []
        indexes: dict[Path, bytes] = {}
        files: list[File] = []
        if lock.base:
            with progress.phase("archive"):
                suites, files = plan(dest, catalog, lock)
        if any(entry.files or entry.artifact for entry in lock.components.values()):
            with progress.phase("vendors"):
                indexes, more = vendors_plan(dest, lock, progress.tell)
                files += more
        require_space(dest, sum(file.missing for file in files) / GIB + SPARE_GIB)
        with progress.phase("download"):
            downloaded = download(files, lambda done, total: progress.tell(f"{done >> 20} of {total >> 20} MiB"))
            for name in lock.wheels:
                _write_index(_wheels(dest, name))
            for suite in suites:
                write_text(dest / suite.folder / "InRelease", suite.release)
            for path, content in indexes.items():
                with atomic(path) as temporary:
                    temporary.write_bytes(content)
    seconds = {name: round(took, 1) for name, took in progress.seconds.items()}
    size = sum(file.path.stat().st_size for file in files)
    missing = {name: pin.lacks for name, pin in grades(lock).items() if pin.grade != "digest"}
    return Made(str(dest), lock.stack, lock.os, lock.arch, len(files), size, downloaded, missing, seconds)
