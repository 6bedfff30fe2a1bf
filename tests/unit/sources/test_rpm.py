"""Of a repository with an unsigned index, only packages that the pinned key has signed are recorded.

The packages have the layout of rpm's, with a header and a signature before it; the rig's, which rpm itself has made and
signed, are in `rigs/test_vendor_repositories.py`.
"""

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingot.errors import IngotError
from ingot.model.lock import Repository, VendorPackage
from ingot.sources.rpm import DSA, EPOCH, MAGIC, NAME, PAYLOAD_SHA256, RELEASE, VERSION, check_packages
from tests.serving import Folder, answering
from tests.signing import Key

STRING, NUMBER, BINARY = 6, 4, 7
PATH = "docker-ce.rpm"


def header(fields: dict[int, str | int | bytes]) -> bytes:
    """A header of rpm's: an index, 16 bytes per entry, and the values."""
    index, values = b"", b""
    for tag, value in sorted(fields.items()):
        values += b"\0" * (-len(values) % 4)
        if isinstance(value, str):
            kind, count, stored = STRING, 1, value.encode() + b"\0"
        elif isinstance(value, int):
            kind, count, stored = NUMBER, 1, struct.pack(">I", value)
        else:
            kind, count, stored = BINARY, len(value), value
        index += struct.pack(">4I", tag, kind, len(values), count)
        values += stored
    return MAGIC + struct.pack(">2I", len(index) // 16, len(values)) + index + values


def package(key: Key | None, content: bytes = b"content", **other: str) -> bytes:
    """A package that `key` has signed, if any; `other` is what its header says about itself instead of the truth."""
    said = {"name": "docker-ce", "version": "29.8.1", "digest": hashlib.sha256(content).hexdigest(), **other}
    main = header(
        {NAME: said["name"], VERSION: said["version"], RELEASE: "1.el9", EPOCH: 3, PAYLOAD_SHA256: said["digest"]}
    )
    signatures = header({DSA: key.detached(main, armored=False)} if key else {})
    return b"\0" * 96 + signatures + b"\0" * (-len(signatures) % 8) + main + content


@pytest.fixture
def key(tmp_path: Path) -> Iterator[Key]:
    """The vendor's key."""
    with Key(tmp_path / "key", "ed25519") as made:
        yield made


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Key]:
    """Another one."""
    with Key(tmp_path / "other", "ed25519") as made:
        yield made


def check(folder: Path, key: Key, content: bytes, *, version: str = "3:29.8.1-1.el9") -> None:
    """Check a package that the vendor's host has and whose digest the index names."""
    (folder / PATH).write_bytes(content)
    (folder / "key.asc").write_bytes(key.public)
    file = VendorPackage(version=version, path=PATH, size=len(content), sha256=hashlib.sha256(content).hexdigest())
    with answering(lambda *words: Folder(*words, directory=str(folder))) as url:
        row = Repository(kind="rpm", url=url, key_url=f"{url}/key.asc", key_fingerprint=key.fingerprint)
        check_packages("docker_rpm", row, {"docker-ce": file}, lambda _: None)


def test_a_package_that_the_key_has_signed_passes(tmp_path: Path, key: Key) -> None:
    check(tmp_path, key, package(key))


def test_a_package_that_nobody_or_another_has_signed_is_refused(tmp_path: Path, key: Key, other: Key) -> None:
    with pytest.raises(IngotError, match="is not signed"):
        check(tmp_path, key, package(None))
    with pytest.raises(IngotError, match="a package of docker_rpm is signed by nobody"):
        check(tmp_path, key, package(other))


def test_a_signed_package_is_refused_as_another_one_and_with_other_content(tmp_path: Path, key: Key) -> None:
    for content in (
        package(key, name="docker-ce-cli"),
        package(key, version="20.10.0"),
        package(key) + b"more",
        package(key, digest="0" * 64),
    ):
        with pytest.raises(IngotError, match="or its content is not its own"):
            check(tmp_path, key, content)


def test_what_is_no_package_is_refused(tmp_path: Path, key: Key) -> None:
    for content in (b"", b"<html>not found</html>", package(key)[:150]):
        with pytest.raises(IngotError, match="is not a package of rpm"):
            check(tmp_path, key, content)
