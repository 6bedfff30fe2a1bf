"""Records digests that nobody has published: downloads a vendor's file, checks its signature if it has one, hashes it.

What an earlier lock has recorded of the same address is kept, so that a lock is the same whoever makes it.
"""

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from ingot.errors import IngotError
from ingot.models import Artifact, Lock, LockedComponent
from ingot.run import run

CHUNK = 1 << 20
# What `vendor.repositories` says of a download without a digest.
DIGEST = "the file's SHA-256"
Tell = Callable[[str], None]


def keep(lock: Lock, old: Lock | None) -> Lock:
    """`lock` with the digests that `old` has recorded of the same addresses."""
    found: dict[str, str] = {}
    for entry in (old.components if old else {}).values():
        if entry.artifact and entry.artifact.sha256:
            found[entry.artifact.url] = entry.artifact.sha256
    return _with(lock, {name: found[a.url] for name, a in missing(lock).items() if a.url in found})


def missing(lock: Lock) -> dict[str, Artifact]:
    """The vendors' files of `lock` without a digest, by component."""
    parts = {name: entry.artifact for name, entry in lock.components.items() if entry.artifact}
    return {name: artifact for name, artifact in parts.items() if artifact.sha256 is None}


def record(lock: Lock, tell: Tell = lambda _: None) -> Lock:
    """`lock` with the digest of every file of a vendor, each downloaded once for it.

    `tell` is given what happens just now. Raises IngotError at the first file that cannot be had or whose signature is
    not by the key that the lock names.
    """
    digests = {}
    for name, artifact in missing(lock).items():
        with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
            file = Path(folder) / "file"
            tell(f"downloading {artifact.url}")
            digests[name] = _download(artifact.url, file, tell)
            if artifact.signature:
                _verify(artifact, file, Path(folder))
    return _with(lock, digests)


def _with(lock: Lock, digests: Mapping[str, str]) -> Lock:
    """`lock` with digests of components' files, and without what they resolve."""
    components: dict[str, LockedComponent] = dict(lock.components)
    unresolved = dict(lock.unresolved)
    for name, digest in digests.items():
        entry = components[name]
        artifact = entry.artifact.model_copy(update={"sha256": digest}) if entry.artifact else None
        components[name] = entry.model_copy(update={"artifact": artifact})
        rest = [part for part in unresolved.pop(name, "").split(", ") if part not in ("", DIGEST)]
        unresolved |= {name: ", ".join(rest)} if rest else {}
    return lock.model_copy(update={"components": components, "unresolved": unresolved})


def _download(url: str, path: Path, tell: Tell = lambda _: None) -> str:
    """Fetch `url` into `path`; its SHA-256."""
    digest, done = hashlib.sha256(), 0
    try:
        with httpx.stream("GET", url, timeout=60, follow_redirects=True) as answer, path.open("wb") as out:
            answer.raise_for_status()
            total = int(answer.headers.get("Content-Length", 0))
            for chunk in answer.iter_bytes(CHUNK):
                digest.update(chunk)
                out.write(chunk)
                done += len(chunk)
                tell(f"{url}: {done >> 20} of {total >> 20 or '?'} MiB")
    except httpx.HTTPStatusError as error:
        raise IngotError(
            f"{url} answers {error.response.status_code}", hint="mend its address in the catalog"
        ) from None
    except httpx.TransportError as error:
        raise IngotError(f"{url} cannot be read: {error}", hint="recording needs the vendor's host") from None
    return digest.hexdigest()


def _verify(artifact: Artifact, file: Path, folder: Path) -> None:
    """The detached signature of `file` is by the key with the lock's fingerprint."""
    if not artifact.key_fingerprint:
        raise IngotError(
            f"{artifact.url} is signed by a key whose fingerprint nobody has published",
            hint="add the fingerprint and its source to repositories.yml after comparing it with the vendor's",
        )
    _download(artifact.key_url, folder / "key")
    _download(artifact.signature, folder / "signature")
    gpg = ["gpg", "--homedir", str(folder), "--batch", "--quiet"]
    run([*gpg, "--import", folder / "key"], doing=f"reading {artifact.key_url}")
    said = run(
        [*gpg, "--status-fd", "1", "--verify", folder / "signature", file],
        doing=f"checking the signature of {artifact.url}",
    )
    signers = {line.split()[-1] for line in said.splitlines() if " VALIDSIG " in line}
    if artifact.key_fingerprint not in signers:
        raise IngotError(
            f"{artifact.url} is signed by {', '.join(sorted(signers)) or 'nobody'}, not by {artifact.key_fingerprint}",
            hint="nothing was recorded",
        )
