"""Filter: the fingerprints of the primary keys in an OpenPGP key file."""

from __future__ import annotations

DOCUMENTATION = r"""
name: key_fingerprints
author: Ingot (!UNKNOWN)
short_description: Fingerprints of the primary keys in an OpenPGP key file
description:
  - Reads an ASCII-armoured key file without a keyring or a program, so that a key can be checked before it is trusted.
  - Supports version 4 keys, which package vendors use.
options:
  _input:
    description: The file's text.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse a key that is not the pinned one
  ansible.builtin.assert:
    that: key.content | ingot.ml.key_fingerprints == [pinned]
"""

RETURN = r"""
_value:
  description: The fingerprints in the file's order, 40 capital hexadecimal digits each; empty if it is not a key file.
  type: list
  elements: str
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterator

ARMOR = re.compile(r"-----BEGIN PGP PUBLIC KEY BLOCK-----\s*?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL)
PUBLIC_KEY = 6
VERSION = 4


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, body) of each packet, RFC 4880 section 4.2; ValueError if the data is truncated."""
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
        yield tag, data[begin : begin + size]
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
    lines = block.rpartition("\n\n")[2].split()
    data = base64.b64decode("".join(line for line in lines if not line.startswith("=")), validate=True)
    if any(line != f"={_checksum(data)}" for line in lines if line.startswith("=")):
        raise ValueError("wrong checksum")
    return data


def key_fingerprints(text: str) -> list[str]:
    """The fingerprints of the primary keys in `text`."""
    fingerprints = []
    for block in ARMOR.findall(text.replace("\r\n", "\n")):
        try:
            packets = list(_packets(_unarmored(block)))
        except (binascii.Error, IndexError, ValueError):
            return []
        for tag, key in packets:
            if tag == PUBLIC_KEY and key and key[0] == VERSION:
                hashed = b"\x99" + len(key).to_bytes(2, "big") + key
                fingerprints.append(hashlib.sha1(hashed).hexdigest().upper())
    return fingerprints


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """By name."""
        return {"key_fingerprints": key_fingerprints}
