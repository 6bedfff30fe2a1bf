"""Checks that a vendor's key has signed a package of rpm, without rpm.

The header of a package names it and has the digest of its content; the signature, in a header before it, is of that
header. https://rpm-software-management.github.io/rpm/manual/format_v4.html
"""

import base64
import hashlib
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ingot.errors import IngotError
from ingot.model.lock import Repository, VendorPackage
from ingot.sources.signatures import Keyring, Tell, download

LEAD = 96
MAGIC = b"\x8e\xad\xe8\x01\0\0\0\0"
# https://rpm-software-management.github.io/rpm/manual/tags.html
NAME, VERSION, RELEASE, EPOCH, PAYLOAD_SHA256 = 1000, 1001, 1002, 1003, 5092
# Signatures of the header alone, best first; those of old packages are of header and content.
OPENPGP, RSA, DSA = 278, 268, 267
INT32, STRINGS = 4, (6, 8)


def check_packages(source: str, repository: Repository, files: Mapping[str, VendorPackage], tell: Tell) -> None:
    """Download packages of the repository `source`; IngotError unless each is the index's and signed by the key."""
    keyring = Keyring(repository.key_url, repository.key_fingerprint, f"a package of {source}")
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        for name, file in files.items():
            url = f"{repository.url.rstrip('/')}/{file.path}"
            place = Path(folder) / "package.rpm"
            if (got := download(url, place, tell)) != file.sha256:
                raise IngotError(
                    f"{url} does not match its digest: expected {file.sha256}, got {got}", hint="nothing was recorded"
                )
            _check(place, url, (name, file.version), keyring)


def _check(place: Path, url: str, wanted: tuple[str, str], keyring: Keyring) -> None:
    content = place.read_bytes()
    try:
        signatures, end = _header(content, LEAD)
        start = end + -end % 8
        fields, end = _header(content, start)
        signature = next((signatures[tag] for tag in (OPENPGP, RSA, DSA) if tag in signatures), b"")
    except (ValueError, struct.error):
        raise IngotError(f"{url} is not a package of rpm", hint="nothing was recorded") from None
    epoch = f"{fields[EPOCH]!s}:" if fields.get(EPOCH, "0") != "0" else ""
    named = (str(fields.get(NAME)), f"{epoch}{fields.get(VERSION)!s}-{fields.get(RELEASE)!s}")
    if named != wanted or fields.get(PAYLOAD_SHA256) != hashlib.sha256(content[end:]).hexdigest():
        raise IngotError(f"{url} is {' '.join(named)}, or its content is not its own", hint="nothing was recorded")
    if not signature:
        raise IngotError(f"{url} is not signed", hint="nothing was recorded")
    header, detached = place.with_name("header"), place.with_name("signature")
    header.write_bytes(content[start:end])
    detached.write_bytes(base64.b64decode(signature) if isinstance(signature, str) else signature)
    keyring.check(header, detached)


def _header(content: bytes, at: int) -> tuple[dict[int, str | bytes], int]:
    """The fields of the header that begins at `at`, as far as they are of use here, and where it ends."""
    if content[at : at + 8] != MAGIC:
        raise ValueError("no header")
    entries, size = struct.unpack_from(">2I", content, at + 8)
    index, values = at + 16, at + 16 + 16 * entries
    fields: dict[int, str | bytes] = {}
    for tag, kind, offset, count in struct.iter_unpack(">4I", content[index:values]):
        place = values + offset
        if kind in STRINGS:
            fields[tag] = content[place : content.index(b"\0", place)].decode(errors="replace")
        elif kind == INT32:
            (number,) = struct.unpack_from(">I", content, place)
            fields[tag] = str(number)
        else:
            fields[tag] = content[place : place + count]
    return fields, values + size
