"""Records what nobody has published: digests of vendors' files, packages of vendors' repositories, base images.

A file is downloaded and hashed, and its signature checked if it has one. A repository's index is read and checked up to
the key that the lock names; of it, the packages that the lock asks for are recorded. What an earlier lock has recorded
of the same version is kept, so that a lock is the same whoever makes it.
"""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ingot.archive import upstream
from ingot.errors import IngotError
from ingot.locked import Artifact, Lock, LockedComponent, RecordedImage, Repository, VendorPackage
from ingot.models import Arch, Platform
from ingot.signed import Keyring, Tell, download
from ingot.vendor import DIGEST, DIGESTS
from ingot.vendor_index import Index, read_index


def keep(lock: Lock, old: Lock | None) -> Lock:
    """`lock` with what `old` has recorded of the same files and of the same packages in the same version."""
    found = {}
    for name, entry in lock.components.items():
        before = old.components.get(name) if old else None
        if before is None or before.source != entry.source:
            continue
        if entry.artifact and before.artifact and entry.artifact.url == before.artifact.url:
            found[name] = _hashed(entry, before.artifact.sha256)
        elif before.version == entry.version and set(before.files) == set(entry.packages):
            found[name] = entry.model_copy(update={"files": before.files})
    images = {
        platform: image
        for platform, image in (old.images if old else {}).items()
        if old and lock.base_images.get(platform) == old.base_images.get(platform)
    }
    return with_images(_with(lock, found), images)


def with_images(lock: Lock, images: Mapping[Platform, RecordedImage]) -> Lock:
    """`lock` with the base images of platforms, and without what they resolve."""
    done = {f"base_image.{platform}" for platform in images}
    unresolved = {name: what for name, what in lock.unresolved.items() if name not in done}
    return lock.model_copy(update={"images": {**lock.images, **images}, "unresolved": unresolved})


def record(lock: Lock, tell: Tell = lambda _: None) -> tuple[Lock, dict[str, IngotError]]:
    """`lock` with the digest of every file of a vendor and of every package of vendors' repositories; and for each
    component that this was not possible for, why: it cannot be had, is not signed by the key that the lock names, or is
    gone from its repository. What such a component lacks stays unresolved.

    `tell` is given what happens just now.
    """
    found: dict[str, LockedComponent] = {}
    failed: dict[str, IngotError] = {}
    indexes: dict[str, Index | IngotError] = {}
    for name, entry in lock.components.items():
        try:
            if entry.artifact and entry.artifact.sha256 is None:
                found[name] = _hashed(entry, _digest(entry.artifact, tell))
            repository = lock.repositories.get(entry.source)
            # Without a version, or without an address, there is nothing to look for; the lock says so.
            if repository and repository.url and entry.version and not entry.files:
                if entry.source not in indexes:
                    indexes[entry.source] = _index(entry.source, repository, lock.arch, tell)
                index = indexes[entry.source]
                if isinstance(index, IngotError):
                    raise index
                files = {package: _one(entry, package, index) for package in entry.packages}
                found[name] = entry.model_copy(update={"files": files})
        except IngotError as error:
            failed[name] = error
    return _with(lock, found), failed


def _index(name: str, repository: Repository, arch: Arch, tell: Tell) -> Index | IngotError:
    """A repository's index, or why there is none: it is asked once, whatever the number of its components."""
    try:
        return read_index(name, repository, arch, tell)
    except IngotError as error:
        return error


def _hashed(entry: LockedComponent, digest: str | None) -> LockedComponent:
    artifact = entry.artifact.model_copy(update={"sha256": entry.artifact.sha256 or digest}) if entry.artifact else None
    return entry.model_copy(update={"artifact": artifact})


def _with(lock: Lock, found: Mapping[str, LockedComponent]) -> Lock:
    """`lock` with other entries of components, and without what they resolve."""
    components = {name: found.get(name, entry) for name, entry in lock.components.items()}
    unresolved = {}
    for name, what in lock.unresolved.items():
        entry = components.get(name)
        done = {DIGEST} if entry and entry.artifact and entry.artifact.sha256 else set()
        done |= {DIGESTS} if entry and entry.files else set()
        if rest := [part for part in what.split(", ") if part not in done]:
            unresolved[name] = ", ".join(rest)
    return lock.model_copy(update={"components": components, "unresolved": unresolved})


def _digest(artifact: Artifact, tell: Tell) -> str:
    """The SHA-256 of a vendor's file, downloaded for it; a signature that it has must be by its key."""
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        file, signature = Path(folder) / "file", Path(folder) / "signature"
        keyring = Keyring(artifact.key_url, artifact.key_fingerprint, artifact.url) if artifact.signature else None
        digest = download(artifact.url, file, tell)
        if keyring:
            download(artifact.signature, signature)
            keyring.check(file, signature)
        return digest


def _one(entry: LockedComponent, package: str, index: Index) -> VendorPackage:
    """The package in its exact version, else the newest build of its version or, if none is known, the component's."""
    there = index.packages.get(package, [])
    exact = entry.exact.get(package)
    fits = [each for each in there if each.version == exact]
    fits = fits or [each for each in there if _is_of(each.version, exact or entry.version)]
    if not fits:
        listed = ", ".join(sorted({each.version for each in there}, key=_order)[-5:]) or "nothing of that name"
        raise IngotError(
            f"{entry.source} no longer has {package} {exact or entry.version}; it has {listed}",
            hint="choose another version in the stack, or mend the package's name or version in the catalog",
        )
    return max(fits, key=lambda each: _order(each.version))


def _is_of(full: str, version: str) -> bool:
    """Whether a package's version is a build of an upstream one: `3:580.126.20-1.el9` of 580.126.20."""
    return upstream(full) == version


def _order(version: str) -> list[tuple[int, int, str]]:
    """A key that sorts versions by their numbers."""
    parts = re.findall(r"(\d+)|([A-Za-z~]+)", version)
    return [(1, int(number), "") if number else (0, 0, letters) for number, letters in parts]
