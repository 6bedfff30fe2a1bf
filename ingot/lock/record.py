"""Records what the catalog cannot know: versions and digests of vendors' files and packages.

A file is downloaded and hashed, and its signature checked if it has one. A repository's index is verified against the
key in the lock; the lock's packages and their dependencies within the repository are recorded, and so is the version of
a component that the catalog has no releases of. Records of the same version in an earlier lock are kept, so that a lock
is the same whoever makes it.
"""

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from ingot.errors import IngotError
from ingot.lock.closure import Closures, Need
from ingot.lock.grade import wanted
from ingot.lock.vendor import DIGEST, UNSEEN, VERSION
from ingot.model.lock import Artifact, Lock, LockedComponent, RecordedImage, Repository, VendorPackage
from ingot.model.types import DISTRIBUTION
from ingot.sources.apt import upstream
from ingot.sources.indexes import Build, read_index
from ingot.sources.rpm import check_packages
from ingot.sources.signatures import Keyring, Tell, Unreachable, download
from ingot.sources.versions import KEYS

# Why a component cannot have a version; empty if it can.
Forbids = Callable[[str, str], str]


def _nothing(_name: str, _version: str) -> str:
    return ""


def keep(lock: Lock, old: Lock | None, forbids: Forbids = _nothing) -> Lock:
    """`lock` with the records of `old` for the same files, and for the same packages in the same version.

    A version that only recording knows is kept unless it is forbidden now.
    """
    entries = {}
    for name, entry in lock.components.items():
        before = old.components.get(name) if old else None
        if before is None or before.source != entry.source:
            continue
        if entry.artifact and before.artifact and entry.artifact.url == before.artifact.url:
            entries[name] = _hashed(entry, before.artifact.sha256)
        elif _is_recorded(entry, before) and (entry.version or not forbids(name, before.version)):
            entries[name] = entry.model_copy(update={"files": before.files, "version": before.version})
    images = {
        name: image
        for name, image in (old.images if old else {}).items()
        if old and lock.base_images.get(name) == old.base_images.get(name)
    }
    asked = old.asked if old else {}
    return with_images(_with(lock, entries).model_copy(update={"asked": asked}), images)


def _is_recorded(entry: LockedComponent, before: LockedComponent) -> bool:
    """Whether `before` has records of all packages of `entry`; it has more if those have dependencies."""
    same = before.packages == entry.packages and (before.version == entry.version or not entry.version)
    versions = {name: file.version for name, file in before.files.items()}
    return (
        same
        and bool(before.version and before.files)
        and all(
            name in versions and (not exact or versions[name] == exact or _is_of(versions[name], exact))
            for name, exact in ((name, entry.exact.get(name, "")) for name in entry.packages)
        )
    )


def with_images(lock: Lock, images: Mapping[str, RecordedImage]) -> Lock:
    """`lock` with base images, without the unresolved entries that they resolve and what was asked of other images."""
    done = {f"base_image.{name}" for name in images}
    unresolved = {name: what for name, what in lock.unresolved.items() if name not in done}
    every = {**lock.images, **images}
    asked = {name: each for name, each in lock.asked.items() if name in every and every[name].name == each.image}
    return lock.model_copy(update={"images": every, "asked": asked, "unresolved": unresolved})


def record(
    lock: Lock,
    tell: Tell = lambda _: None,
    names: Collection[str] | None = None,
    forbids: Forbids = _nothing,
) -> tuple[Lock, dict[str, IngotError]]:
    """`lock` with versions and digests of vendors' files and packages, of all components or of `names`; and the error
    of each component that failed: it is not available, not signed by the key in the lock, or gone from its repository.

    `tell` is called with a progress message.
    """
    lacking = {
        name: entry
        for name, entry in lock.components.items()
        if (names is None or name in names) and _lacks(entry, lock)
    }
    entries: dict[str, LockedComponent] = {}
    failed: dict[str, IngotError] = {}
    # A host that does not answer is asked once.
    silent: dict[str, Unreachable] = {}
    for name, entry in lacking.items():
        if entry.artifact:
            try:
                with _asking(entry.artifact.url, silent):
                    entries[name] = _hashed(entry, _digest(entry.artifact, tell))
            except IngotError as error:
                failed[name] = error
    for source, repository in lock.repositories.items():
        new = {name: entry for name, entry in lacking.items() if entry.source == source}
        if not new:
            continue
        if not repository.url:
            reason = IngotError(
                f"no source gives the address of {source} for {lock.os}-{lock.arch}",
                hint="add the address to repositories.yml, with its source",
            )
            failed |= dict.fromkeys(new, reason)
            continue
        others = {name: entry for name, entry in lock.components.items() if entry.source == source and entry.files}
        kept = {package: file.version for entry in others.values() for package, file in entry.files.items()}
        try:
            with _asking(repository.url, silent):
                closures = Closures(read_index(source, repository, lock.arch, tell), kept)
        except IngotError as error:
            failed |= dict.fromkeys(new, error)
            continue
        more, without = _with_closures(others | new, closures, forbids)
        if not repository.index_signed:
            without |= _not_vouched(source, repository, {name: more[name] for name in new if name in more}, tell)
            more = {name: entry for name, entry in more.items() if name not in without}
        entries |= more
        # What was recorded before stays, even if the repository has moved on.
        failed |= {name: error for name, error in without.items() if name in new}
    return _with(lock, entries), failed


@contextmanager
def _asking(url: str, silent: dict[str, Unreachable]) -> Iterator[None]:
    """Raise at once if the host of `url` is among the `silent` ones; if it turns out to be, note it there."""
    host = urlsplit(url).netloc
    if host in silent:
        raise silent[host]
    try:
        yield
    except Unreachable as error:
        silent[host] = error
        raise


def _lacks(entry: LockedComponent, lock: Lock) -> bool:
    """Whether a component has something to record."""
    if entry.artifact:
        return entry.artifact.sha256 is None
    # The packages of Debian's archive are locked together.
    vendors = entry.source in lock.repositories and entry.source != "debian"
    # Of the system's own a lock may have any version: that of the base image.
    any_version = entry.source == DISTRIBUTION and not entry.exact
    return vendors and not any_version and bool(entry.packages) and not entry.files


def _not_vouched(
    source: str, repository: Repository, entries: Mapping[str, LockedComponent], tell: Tell
) -> dict[str, IngotError]:
    """The errors of components of which not all packages are signed, in a repository with an index that is not."""
    failed: dict[str, IngotError] = {}
    for name, entry in entries.items():
        try:
            check_packages(source, repository, entry.files, tell)
        except IngotError as error:
            failed[name] = error
    return failed


def _with_closures(
    entries: Mapping[str, LockedComponent], closures: Closures, forbids: Forbids
) -> tuple[dict[str, LockedComponent], dict[str, IngotError]]:
    """A repository's components with their packages and dependencies; and the errors of those that failed.

    Components that fit together are recorded; those with earlier records come first.
    """
    needs: dict[str, list[Need]] = {}
    answer: dict[str, dict[str, VendorPackage]] = {}
    versions: dict[str, str] = {}
    failed: dict[str, IngotError] = {}
    for name in sorted(entries, key=lambda name: not entries[name].files):
        entry = entries[name]
        try:
            more = {name: [_need(name, entry, package, closures, forbids) for package in entry.packages]}
            new = closures.of(needs | more)
            versions[name] = entry.version or _version(name, entry, new[name], forbids)
        except IngotError as error:
            failed[name] = error
        else:
            answer = new
            needs |= more
    return {
        name: entries[name].model_copy(update={"files": files, "version": versions[name]})
        for name, files in answer.items()
    }, failed


def _version(name: str, entry: LockedComponent, files: Mapping[str, VendorPackage], forbids: Forbids) -> str:
    """The version of a component that only its repository knows: that of one of the recorded packages."""
    package = entry.version_of or entry.packages[0]
    if package not in files:
        raise IngotError(
            f"{package}, whose version {name} has, is not among the packages that it needs of {entry.source}",
            hint=f"correct `version_of` of {name} in the catalog",
        )
    version = upstream(files[package].version)
    if reason := forbids(name, version):
        raise IngotError(
            f"{entry.source} has {name} {version}, which cannot be: {reason}",
            hint=f"widen the pin of {name} in the stack, or leave the component out",
        )
    return version


def _hashed(entry: LockedComponent, digest: str | None) -> LockedComponent:
    artifact = entry.artifact.model_copy(update={"sha256": entry.artifact.sha256 or digest}) if entry.artifact else None
    return entry.model_copy(update={"artifact": artifact})


def _with(lock: Lock, entries: Mapping[str, LockedComponent]) -> Lock:
    """`lock` with new entries of components, and without the unresolved entries that they resolve."""
    components = {name: entries.get(name, entry) for name, entry in lock.components.items()}
    unresolved = {}
    for name, what in lock.unresolved.items():
        entry = components.get(name)
        done = {DIGEST} if entry and entry.artifact and entry.artifact.sha256 else set()
        done |= {VERSION} if entry and entry.files else set()
        rest = [part for part in what.split(", ") if part not in done]
        rest = [part for part in rest if not (part.startswith(UNSEEN) and VERSION in done)]
        if rest:
            unresolved[name] = ", ".join(rest)
    return lock.model_copy(update={"components": components, "unresolved": unresolved})


def _digest(artifact: Artifact, tell: Tell) -> str:
    """The SHA-256 of a vendor's file, which is downloaded; if it has a signature, its key must have made it."""
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        file, signature = Path(folder) / "file", Path(folder) / "signature"
        keyring = Keyring(artifact.key_url, artifact.key_fingerprint, artifact.url) if artifact.signature else None
        digest = download(artifact.url, file, tell)
        if keyring:
            download(artifact.signature, signature)
            keyring.check(file, signature)
        return digest


def _need(name: str, entry: LockedComponent, package: str, closures: Closures, forbids: Forbids) -> Need:
    """The need of a package: its exact version, else builds of the component's version, else what the pin allows."""
    builds = closures.packages.get(package, [])
    version = wanted(entry, package)
    fits = [build for build in builds if build.version == version]
    fits = fits or [build for build in builds if not version or _is_of(build.version, version)]
    reasons = ""
    if not entry.version and package == (entry.version_of or entry.packages[0]):
        allowed = [build for build in fits if not forbids(name, upstream(build.version))]
        reasons = forbids(name, upstream(fits[0].version)) if fits and not allowed else ""
        fits = allowed
    if not fits:
        raise _gone(name, entry, package, builds, closures, reasons)
    return Need(package, tuple(fits), f"{name} needs {package} {version}".rstrip())


def _gone(
    name: str, entry: LockedComponent, package: str, builds: list[Build], closures: Closures, reason: str
) -> IngotError:
    """The error for a package that the repository has in no version that fits, with the nearest one that it has."""
    key = KEYS[closures.kind]
    versions = sorted({build.version for build in builds}, key=key)
    there = f"it has {', '.join(versions[-5:]) or 'no package of that name'}"
    if reason:
        return IngotError(
            f"{entry.source} has no {package} that fits: {reason}; {there}",
            hint=f"widen the pin of {name} in the stack, or leave the component out",
        )
    version = wanted(entry, package)
    hint = "correct the package's name in the catalog"
    if versions:
        newer = [other for other in versions if key(other) > key(version)]
        nearest = upstream(newer[0] if newer else versions[-1])
        hint = f"the nearest is {nearest}: pin {name} to a version with {package} {nearest} in the stack"
        hint = f"the nearest is {nearest}: pin {name} to =={nearest} in the stack" if version == entry.version else hint
    return IngotError(f"{entry.source} no longer has {package} {version}; {there}", hint=hint)


def _is_of(full: str, version: str) -> bool:
    """Whether a package's version is a build of an upstream one: `3:580.126.20-1.el9` of 580.126.20."""
    return upstream(full) == version
