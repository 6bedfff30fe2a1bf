"""The verdict on a build: its report, which names by digest the files that it speaks of and never outlives them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ingot import paths
from ingot.sources.download import sha256

REPORT, PAGE = "report.json", "report.html"
DISK, MANIFEST, SBOM, NOTES = "disk.raw", "manifest.json", "sbom.cdx.json", "release-notes.md"
# What a build says of its contents.
SAID = (REPORT, PAGE, MANIFEST, SBOM, NOTES)


def drop(folder: Path) -> None:
    """Remove the report of an earlier build and what else it says of its contents, before anything of it changes."""
    for name in SAID:
        (folder / name).unlink(missing_ok=True)


def identity(path: Path) -> dict[str, Any]:
    """What tells a file from another one: SHA-256, bytes, and the time of its last change in ns since 1970."""
    stat = path.stat()
    return {"sha256": sha256(path), "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def write(folder: Path, report: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Write the report with the identity of each file that it speaks of, by name in `folder`; returns it."""
    whole = {**report, "files": {name: dict(identity) for name, identity in files.items()}}
    paths.write_text(folder / REPORT, json.dumps(whole, indent=1, default=str) + "\n")
    return whole


def read(folder: Path, files: Iterable[str]) -> dict[str, Any] | None:
    """The report in `folder`, if it speaks of all of `files` and each is still the one that was judged."""
    try:
        report: dict[str, Any] = json.loads((folder / REPORT).read_text())
        same = all(_is(folder / name, report["files"][name]) for name in files)
    except (FileNotFoundError, KeyError):
        return None
    return report if same else None


def _is(path: Path, judged: Mapping[str, Any]) -> bool:
    """Whether the file is the one that was judged; it is read only if its time or size tells nothing."""
    stat = path.stat()
    if stat.st_size != judged["bytes"]:
        return False
    return bool(stat.st_mtime_ns == judged["mtime_ns"] or identity(path)["sha256"] == judged["sha256"])
