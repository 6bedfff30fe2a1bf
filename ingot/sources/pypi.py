"""Queries the Python package index for versions and digests of wheels, through pip and its configuration."""

import json
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from ingot.errors import IngotError
from ingot.model.lock import Wheel
from ingot.model.types import Arch
from ingot.run import run
from ingot.sources import origins

# glibc 2.36 is Debian 12's. pip matches each tag exactly, so all that such a system accepts are listed: from the oldest
# glibc with wheels for an architecture (PEP 600), and the older names.
NEWEST = 36
OLDEST: dict[Arch, int] = {"x86_64": 5, "aarch64": 17}
NAMED: dict[Arch, list[str]] = {
    "x86_64": ["manylinux2014", "manylinux2010", "manylinux1"],
    "aarch64": ["manylinux2014"],
}
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def target(arch: Arch) -> list[str]:
    """The options that make pip choose wheels for the image instead of for this machine."""
    tags = [*(f"manylinux_2_{minor}" for minor in range(NEWEST, OLDEST[arch] - 1, -1)), *NAMED[arch]]
    return ["--only-binary=:all:", *(word for tag in tags for word in ("--platform", f"{tag}_{arch}"))]


@cache
def versions(name: str, arch: Arch) -> list[str]:
    """All released versions of `name` that have a wheel for Linux on `arch`, newest first; a mirror may have fewer."""
    command = [*PIP, "index", "versions", name, *target(arch)]
    try:
        printed = run(command, env=origins.pip_environment(), doing=f"listing the versions of {name}")
    except IngotError as error:
        if origins.mirror() and "No matching distribution" in str(error):
            return []
        raise
    for line in printed.splitlines():
        if line.startswith("Available versions: "):
            return line.removeprefix("Available versions: ").split(", ")
    raise IngotError(f"the package index lists no version of {name}")


def _download_info(name: str, version: str, arch: Arch) -> dict[str, Any]:
    """The `url` and `archive_info` of pip's installation report for `name` at `version`."""
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        options = ["install", "--dry-run", "--quiet", "--ignore-installed", "--no-deps", "--report", "-"]
        report = run(
            [*PIP, *options, "--target", folder, *target(arch), f"{name}=={version}"],
            env=origins.pip_environment(),
            doing=f"finding the wheel of {name} {version}",
        )
    info: dict[str, Any] = json.loads(report)["install"][0]["download_info"]
    return info


def address(name: str, version: str, arch: Arch) -> str:
    """The address of the wheel of `name` at `version`."""
    return str(_download_info(name, version, arch)["url"])


def wheel(name: str, version: str, arch: Arch) -> Wheel:
    """The wheel of `name` at `version` for `arch` with the SHA-256 that the index publishes."""
    download = _download_info(name, version, arch)
    digest = download.get("archive_info", {}).get("hashes", {}).get("sha256")
    if digest is None:
        raise IngotError(f"the package index has no SHA-256 of {name} {version}")
    return Wheel(version=version, filename=Path(download["url"]).name, sha256=digest)
