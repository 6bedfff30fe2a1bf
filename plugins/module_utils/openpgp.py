"""Reads the public keys in a text: an ASCII-armoured file, or a page of documentation with keys in it.

Needs no keyring and no program, so that a key can be judged before anything trusts it. Version 4 keys only, which
package vendors use.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import html
import re
import textwrap
from collections.abc import Iterator

BEGIN, END = "-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"
ARMOR = re.compile(rf"{BEGIN}\s*?\n(.*?){END}", re.DOTALL)
TAG = re.compile(r"</?[A-Za-z][^<>]*>")
PUBLIC_KEY = 6
VERSION = 4


def _packets(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(tag, body, whole packet) of each packet, RFC 4880 section 4.2; ValueError if the data is truncated."""
    at = 0
    while at < len(data):
        head = data[at]
        if not head & 0x80:
            raise ValueError("not an OpenPGP packet")
        new = head & 0x40
        tag = head & 0x3F if new else (head & 0x3C) >> 2
        if new and data[at + 1] < 192:
            size, begin = data[at + 1], at + 2
        elif new and data[at + 1] < 224:
            size, begin = ((data[at + 1] - 192) << 8) + data[at + 2] + 192, at + 3
        elif new and data[at + 1] == 255:
            size, begin = int.from_bytes(data[at + 2 : at + 6], "big"), at + 6
        elif not new and head & 3 < 3:
            length = 1 << (head & 3)
            size, begin = int.from_bytes(data[at + 1 : at + 1 + length], "big"), at + 1 + length
        else:
            raise ValueError("a packet of unknown length")
        if begin + size > len(data):
            raise ValueError("the data ends within a packet")
        yield tag, data[begin : begin + size], data[at : begin + size]
        at = begin + size


def _checksum(data: bytes) -> str:
    """CRC-24 as in the last line of an armour, RFC 4880 section 6.1."""
    crc = 0xB704CE
    for byte in data:
        crc ^= byte << 16
        for _bit in range(8):
            crc = (crc << 1) ^ (0x1864CFB if crc & 0x800000 else 0)
    return base64.b64encode((crc & 0xFFFFFF).to_bytes(3, "big")).decode()


def _unarmored(block: str) -> bytes:
    """The bytes in an armour; ValueError if they do not match its checksum."""
    # Headers end with an empty line; the checksum's line begins with =.
    lines = re.split(r"\n[ \t]*\n", block)[-1].split()
    data = base64.b64decode("".join(line for line in lines if not line.startswith("=")), validate=True)
    if any(line != f"={_checksum(data)}" for line in lines if line.startswith("=")):
        raise ValueError("wrong checksum")
    return data


def _armored(data: bytes) -> str:
    """A key as a file that apt, dnf and gpg read."""
    lines = textwrap.wrap(base64.b64encode(data).decode(), 64)
    return "\n".join([BEGIN, "", *lines, f"={_checksum(data)}", END, ""])


def _blocks(text: str) -> list[str]:
    """The armours in a text, without the markup of a page around and within them."""
    plain = html.unescape(TAG.sub("", text)) if TAG.search(text) else text
    return ARMOR.findall(plain.replace("\r\n", "\n"))


def keys(text: str) -> dict[str, str]:
    """The public keys in `text`, each as a file of its own: fingerprint -> armoured key with its subkeys and user IDs.

    Empty if there are none, or if one of them is damaged.
    """
    found: dict[str, bytes] = {}
    for block in _blocks(text):
        fingerprint = ""
        try:
            for tag, body, packet in _packets(_unarmored(block)):
                if tag == PUBLIC_KEY and body and body[0] == VERSION:
                    hashed = b"\x99" + len(body).to_bytes(2, "big") + body
                    fingerprint = hashlib.sha1(hashed).hexdigest().upper()
                    found[fingerprint] = b""
                elif tag == PUBLIC_KEY:
                    fingerprint = ""
                if fingerprint:
                    found[fingerprint] += packet
        except (binascii.Error, IndexError, ValueError):
            return {}
    return {fingerprint: _armored(data) for fingerprint, data in found.items()}
