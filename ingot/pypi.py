"""Asks the Python package index, through pip and in the way that is set up, for versions and digests of wheels."""

import json
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from ingot import origins
from ingot.errors import IngotError
from ingot.locked import Wheel
from ingot.run import run

# glibc 2.36 is Debian 12's; pip matches each tag exactly, so all that such a system accepts are named.
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(36, 4, -1)]
PLATFORMS += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def target() -> list[str]:
    """The options that make pip choose wheels for the image instead of for this machine."""
    return ["--only-binary=:all:", *(word for platform in PLATFORMS for word in ("--platform", platform))]


@cache
def versions(name: str) -> list[str]:
    """All released versions of `name` that have a wheel for x86_64 Linux, newest first; of a mirror those it has."""
    words = [*PIP, "index", "versions", name, *target()]
    try:
        printed = run(words, env=origins.pip_environment(), doing=f"asking for the versions of {name}")
    except IngotError as error:
        if origins.mirror() and "No matching distribution" in str(error):
            return []
        raise
    for line in printed.splitlines():
        if line.startswith("Available versions: "):
            return line.removeprefix("Available versions: ").split(", ")
    raise IngotError(f"the package index lists no version of {name}")


def _found(name: str, version: str) -> dict[str, Any]:
    """What pip would download for `name` at `version`: `url` and `archive_info` of its installation report."""
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        asked = ["install", "--dry-run", "--quiet", "--ignore-installed", "--no-deps", "--report", "-"]
        report = run(
            [*PIP, *asked, "--target", folder, *target(), f"{name}=={version}"],
            env=origins.pip_environment(),
            doing=f"asking for the wheel of {name} {version}",
        )
    found: dict[str, Any] = json.loads(report)["install"][0]["download_info"]
    return found


def address(name: str, version: str) -> str:
    """Where the index has the wheel of `name` at `version`."""
    return str(_found(name, version)["url"])


def wheel(name: str, version: str) -> Wheel:
    """The wheel of `name` at `version` with the SHA-256 that the index publishes."""
    download = _found(name, version)
    digest = download.get("archive_info", {}).get("hashes", {}).get("sha256")
    if digest is None:
        raise IngotError(f"the package index publishes no SHA-256 of {name} {version}")
    return Wheel(version=version, filename=Path(download["url"]).name, sha256=digest)
