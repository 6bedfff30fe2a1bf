"""Reads a text file that a user names, whatever it holds: of bounded size, in any usual encoding."""

import codecs
import json
from pathlib import Path
from typing import Any

from ingot.errors import IngotError

LARGEST = 64 << 20
# Longer marks first: UTF-32's begins as UTF-16's does.
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_text(path: Path, largest: int = LARGEST) -> str:
    """The text of a file, with newlines as Python has them; IngotError if it has none or is too large."""
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except FileNotFoundError:
        raise IngotError("there is no such file", place=str(path)) from None
    except IsADirectoryError:
        raise IngotError("cannot be read: it is a folder", place=str(path), hint="name a file in it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise IngotError(f"cannot be read: {reason}", place=str(path)) from None
    if len(data) > largest:
        raise IngotError(f"cannot be read: it has more than {largest >> 20} MiB", place=str(path))
    text = decoded(data)
    if text is None:
        raise IngotError("cannot be read: not a text file", place=str(path))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path, what: str = "a manifest", hint: str = "") -> Any:
    """The data of a JSON file; IngotError if there is none, or it is nested too deeply."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise IngotError(f"not {what}: {reason}", place=str(path), hint=hint) from None


def decoded(data: bytes) -> str | None:
    """The text of some bytes: by their mark, else UTF-8, else Latin-1; None if they are no text."""
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "")
    if not encoding and b"\0" in data:
        # PowerShell writes UTF-16 without a mark: every other byte of plain text is zero.
        odd, even = data[1::2].count(0), data[::2].count(0)
        encoding = "utf-16-le" if odd > len(data) // 4 and not even else "utf-16-be" if even > len(data) // 4 else "-"
    try:
        text = data.decode(encoding or "utf-8") if encoding != "-" else None
    except UnicodeDecodeError:
        text = None if encoding else data.decode("latin-1")
    return None if text is None or "\0" in text else text
