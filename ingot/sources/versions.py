"""The version order of Debian and rpm, and whether what one package provides satisfies another's need.

`apt`: https://www.debian.org/doc/debian-policy/ch-controlfields.html#version and deb-version(7); `rpm`:
https://rpm-software-management.github.io/rpm/man/rpm-version.7. Both families write `epoch:version-release`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

Kind = Literal["apt", "rpm"]
# Sorts like its version.
Key = tuple[Any, ...]
EPOCH = re.compile(r"(?:([0-9]+):)?(.*)", re.DOTALL)
RPM_PARTS = re.compile(r"[0-9]+|[A-Za-z]+|[~^]")


def _parts(version: str, last: bool) -> tuple[int, str, str]:
    """Epoch, version and release; the release follows the last hyphen, or the first."""
    match = EPOCH.fullmatch(version)
    assert match is not None
    name, _, release = match[2].rpartition("-") if last and "-" in match[2] else match[2].partition("-")
    return int(match[1] or 0), name, release


def _letter(char: str) -> int:
    """A tilde sorts before the end (0), letters before other characters."""
    return -1 if char == "~" else ord(char) if char.isalpha() else ord(char) + 256


def _deb(text: str) -> Key:
    """Alternating text and numbers; a missing number is 0."""
    pairs = re.findall(r"([^0-9]*)([0-9]*)", text or "0")
    return tuple((*map(_letter, letters), 0, int(digits or 0)) for letters, digits in pairs)


def _rpm(text: str) -> Key:
    """Tilde, end, caret, letters and numbers sort in this order; other characters only separate them."""
    order = {"~": (0,), "^": (2,)}
    parts = RPM_PARTS.findall(text)
    return (*(order.get(p) or ((4, int(p)) if p.isdigit() else (3, p)) for p in parts), (1,))


@cache
def _deb_key(version: str) -> Key:
    epoch, name, release = _parts(version, last=True)
    return epoch, _deb(name), _deb(release)


@cache
def _rpm_key(version: str) -> Key:
    epoch, name, release = _parts(version, last=False)
    return epoch, _rpm(name), _rpm(release)


KEYS: dict[Kind, Callable[[str], Key]] = {"apt": _deb_key, "rpm": _rpm_key}


@dataclass(frozen=True)
class Relation:
    """A need or provision of a package: a name and its versions (`sign` consists of `<`, `=` and `>`)."""

    name: str
    sign: str = ""
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.sign} {self.version}".rstrip()


def fulfils(kind: Kind, provided: Relation, needed: Relation) -> bool:
    """Whether the two, which have the same name, have a version in common.

    Without a version rpm provides all of them and Debian none. rpm compares releases only if both have one.
    """
    if not needed.sign:
        return True
    if not provided.sign:
        return kind == "rpm"
    texts = provided.version, needed.version
    if kind == "rpm" and not all("-" in text for text in texts):
        texts = texts[0].partition("-")[0], texts[1].partition("-")[0]
    one, other = map(KEYS[kind], texts)
    if one == other:
        return not set(provided.sign).isdisjoint(needed.sign)
    below, above = (provided, needed) if one < other else (needed, provided)
    return ">" in below.sign or "<" in above.sign
