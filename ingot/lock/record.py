"""Records what nobody has published: digests of vendors' files, packages of vendors' repositories, base images.

A file is downloaded and hashed, and its signature checked if it has one. A repository's index is read and checked up to
the key that the lock names; of it, the packages that the lock asks for are recorded, and what they need of it. What an
earlier lock has recorded of the same version is kept, so that a lock is the same whoever makes it.
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
    """`lock` with what `old` has recorded of the same files and of the same packages in the same version."""
    found = {}
    for name, entry in lock.components.items():
        before = old.components.get(name) if old else None
        if before is None or before.source != entry.source:
            continue
        if entry.artifact and before.artifact and entry.artifact.url == before.artifact.url:
            found[name] = _hashed(entry, before.artifact.sha256)
        elif _is_recorded(entry, before):
            found[name] = entry.model_copy(update={"files": before.files})
    images = {
        name: image
        for name, image in (old.images if old else {}).items()
        if old and lock.base_images.get(name) == old.base_images.get(name)
    }
    return with_images(_with(lock, found), images)


def _is_recorded(entry: LockedComponent, before: LockedComponent) -> bool:
    """Whether `before` has recorded what `entry` asks for; there is more in it where packages need others."""
    same = (before.version, before.packages) == (entry.version, entry.packages)
    versions = {name: file.version for name, file in before.files.items()}
    wanted = dict.fromkeys(entry.packages, "") | entry.exact
    return same and all(
        name in versions and (not exact or versions[name] == exact or _is_of(versions[name], exact))
        for name, exact in wanted.items()
    )


def with_images(lock: Lock, images: Mapping[str, RecordedImage]) -> Lock:
    """`lock` with base images, and without what they resolve."""
    done = {f"base_image.{name}" for name in images}
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
    for name, entry in lock.components.items():
        if entry.artifact and entry.artifact.sha256 is None:
            try:
                found[name] = _hashed(entry, _digest(entry.artifact, tell))
            except IngotError as error:
                failed[name] = error
    for source, repository in lock.repositories.items():
        # Without a version, or without an address, there is nothing to look for; the lock says so.
        mine = {name: each for name, each in lock.components.items() if each.source == source and each.version}
        lacking = [name for name, entry in mine.items() if entry.packages and not entry.files]
        if repository.url and lacking:
            try:
                closures = Closures(
                    read_index(source, repository, lock.arch, tell),
                    {package: file.version for entry in mine.values() for package, file in entry.files.items()},
                )
            except IngotError as error:
                failed |= dict.fromkeys(lacking, error)
                continue
            more, without = _with_closures(mine, closures)
            found |= more
            failed |= without
    return _with(lock, found), failed


def _with_closures(
    entries: Mapping[str, LockedComponent], closures: Closures
) -> tuple[dict[str, LockedComponent], dict[str, IngotError]]:
    """A repository's components with their packages and what these need; and those that this was not possible for.

    All that fit together are recorded; what has been recorded before comes first.
    """
    asked: dict[str, list[Need]] = {}
    answer: dict[str, dict[str, VendorPackage]] = {}
    failed: dict[str, IngotError] = {}
    for name in sorted(entries, key=lambda name: not entries[name].files):
        try:
            more = {name: [_asked(name, entries[name], package, closures) for package in entries[name].packages]}
            answer = closures.of(asked | more)
            asked |= more
        except IngotError as error:
            failed[name] = error
    return {name: entries[name].model_copy(update={"files": files}) for name, files in answer.items()}, failed


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
        rest = [part for part in what.split(", ") if part not in done]
        rest = [part for part in rest if not (part.startswith(UNSEEN) and DIGESTS in done)]
        if rest:
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


def _asked(name: str, entry: LockedComponent, package: str, closures: Closures) -> Need:
    """The package in its exact version, else builds of its version or, if none is known, of the component's."""
    there = closures.packages.get(package, [])
    exact = entry.exact.get(package)
    fits = [each for each in there if each.version == exact]
    fits = fits or [each for each in there if _is_of(each.version, exact or entry.version)]
    if not fits:
        versions = sorted({each.version for each in there}, key=KEYS[closures.kind])
        raise IngotError(
            f"{entry.source} no longer has {package} {exact or entry.version}; it has "
            f"{', '.join(versions[-5:]) or 'nothing of that name'}",
            hint="choose another version in the stack, or mend the package's name or version in the catalog",
        )
    return Need(package, tuple(fits), f"{name} asks for {package} {exact or entry.version}")


def _is_of(full: str, version: str) -> bool:
    """Whether a package's version is a build of an upstream one: `3:580.126.20-1.el9` of 580.126.20."""
    return upstream(full) == version
