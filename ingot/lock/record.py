"""Records what the catalog cannot know: digests of vendors' files, packages of vendors' repositories, base images.

A file is downloaded and hashed, and its signature checked if it has one. A repository's index is verified against the
key in the lock; the lock's packages and their dependencies within the repository are recorded. Records of the same
version in an earlier lock are kept, so that a lock is the same whoever makes it.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from ingot.errors import IngotError
from ingot.lock.closure import Closures, Need
from ingot.lock.vendor import DIGEST, DIGESTS, UNSEEN
from ingot.model.lock import Artifact, Lock, LockedComponent, RecordedImage, VendorPackage
from ingot.sources.apt import upstream
from ingot.sources.indexes import read_index
from ingot.sources.signatures import Keyring, Tell, download
from ingot.sources.versions import KEYS


def keep(lock: Lock, old: Lock | None) -> Lock:
    """`lock` with the records of `old` for the same files, and for the same packages in the same version."""
    entries = {}
    for name, entry in lock.components.items():
        before = old.components.get(name) if old else None
        if before is None or before.source != entry.source:
            continue
        if entry.artifact and before.artifact and entry.artifact.url == before.artifact.url:
            entries[name] = _hashed(entry, before.artifact.sha256)
        elif _is_recorded(entry, before):
            entries[name] = entry.model_copy(update={"files": before.files})
    images = {
        name: image
        for name, image in (old.images if old else {}).items()
        if old and lock.base_images.get(name) == old.base_images.get(name)
    }
    return with_images(_with(lock, entries), images)


def _is_recorded(entry: LockedComponent, before: LockedComponent) -> bool:
    """Whether `before` has records of all packages of `entry`; it has more if those have dependencies."""
    same = (before.version, before.packages) == (entry.version, entry.packages)
    versions = {name: file.version for name, file in before.files.items()}
    wanted = dict.fromkeys(entry.packages, "") | entry.exact
    return same and all(
        name in versions and (not exact or versions[name] == exact or _is_of(versions[name], exact))
        for name, exact in wanted.items()
    )


def with_images(lock: Lock, images: Mapping[str, RecordedImage]) -> Lock:
    """`lock` with base images, and without the unresolved entries that they resolve."""
    done = {f"base_image.{name}" for name in images}
    unresolved = {name: what for name, what in lock.unresolved.items() if name not in done}
    return lock.model_copy(update={"images": {**lock.images, **images}, "unresolved": unresolved})


def record(lock: Lock, tell: Tell = lambda _: None) -> tuple[Lock, dict[str, IngotError]]:
    """`lock` with the digests of all vendors' files and packages; and the error of each component that failed: it is
    not available, not signed by the key in the lock, or gone from its repository. Such a component stays unresolved.

    `tell` is called with a progress message.
    """
    entries: dict[str, LockedComponent] = {}
    failed: dict[str, IngotError] = {}
    for name, entry in lock.components.items():
        if entry.artifact and entry.artifact.sha256 is None:
            try:
                entries[name] = _hashed(entry, _digest(entry.artifact, tell))
            except IngotError as error:
                failed[name] = error
    for source, repository in lock.repositories.items():
        # Without a version or an address there is nothing to look for, and the lock says so.
        components = {
            name: entry for name, entry in lock.components.items() if entry.source == source and entry.version
        }
        lacking = [name for name, entry in components.items() if entry.packages and not entry.files]
        if repository.url and lacking:
            try:
                closures = Closures(
                    read_index(source, repository, lock.arch, tell),
                    {package: file.version for entry in components.values() for package, file in entry.files.items()},
                )
            except IngotError as error:
                failed |= dict.fromkeys(lacking, error)
                continue
            more, without = _with_closures(components, closures)
            entries |= more
            failed |= without
    return _with(lock, entries), failed


def _with_closures(
    entries: Mapping[str, LockedComponent], closures: Closures
) -> tuple[dict[str, LockedComponent], dict[str, IngotError]]:
    """A repository's components with their packages and dependencies; and the errors of those that failed.

    Components that fit together are recorded; those with earlier records come first.
    """
    needs: dict[str, list[Need]] = {}
    answer: dict[str, dict[str, VendorPackage]] = {}
    failed: dict[str, IngotError] = {}
    for name in sorted(entries, key=lambda name: not entries[name].files):
        try:
            more = {name: [_need(name, entries[name], package, closures) for package in entries[name].packages]}
            answer = closures.of(needs | more)
            needs |= more
        except IngotError as error:
            failed[name] = error
    return {name: entries[name].model_copy(update={"files": files}) for name, files in answer.items()}, failed


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
        done |= {DIGESTS} if entry and entry.files else set()
        rest = [part for part in what.split(", ") if part not in done]
        rest = [part for part in rest if not (part.startswith(UNSEEN) and DIGESTS in done)]
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


def _need(name: str, entry: LockedComponent, package: str, closures: Closures) -> Need:
    """The need of a package: its exact version, else builds of its version or, if unknown, of the component's."""
    builds = closures.packages.get(package, [])
    exact = entry.exact.get(package)
    fits = [build for build in builds if build.version == exact]
    fits = fits or [build for build in builds if _is_of(build.version, exact or entry.version)]
    if not fits:
        versions = sorted({build.version for build in builds}, key=KEYS[closures.kind])
        raise IngotError(
            f"{entry.source} no longer has {package} {exact or entry.version}; it has "
            f"{', '.join(versions[-5:]) or 'no package of that name'}",
            hint="choose another version in the stack, or correct the package's name or version in the catalog",
        )
    return Need(package, tuple(fits), f"{name} needs {package} {exact or entry.version}")


def _is_of(full: str, version: str) -> bool:
    """Whether a package's version is a build of an upstream one: `3:580.126.20-1.el9` of 580.126.20."""
    return upstream(full) == version
