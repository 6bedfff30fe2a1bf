"""Reads what takes the space and the boot time of a system; runs inside it, under its own Python.

Uses only the standard library, and only reads. `python3 - space` prints the bytes of each package and of the folders
that no package owns; `python3 - boot` waits for the boot to end and prints what systemd says of it.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# Not on the disk, or there only while the image is made.
UNSEEN = ("/proc", "/sys", "/dev", "/run", "/tmp")
# Files that no package owns are counted by folder, this many names deep; smaller folders are counted together.
DEPTH = 3
SMALL_BYTES = 1 << 20
BLOCK = 512
RPM_FILES = "[%{NAME}\t%{FILENAMES}\n]"
DPKG = Path("/var/lib/dpkg/info")
UNITS = {"d": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000001}
TIME = re.compile(r"(\d+(?:\.\d+)?)(d|h|min|s|ms|us)\b")
CHAIN = re.compile(r"^[^\w]*(?P<unit>[\w@:.\\-]+\.\w+)(?: @(?P<at>[^+]+?))?(?: \+(?P<took>.+))?$")
# Units that took less are summed up in the time of the boot.
SLOW_SECONDS = 1.0


def seconds(text: str) -> float:
    """A span of time as systemd writes it: `1min 2.345s`."""
    return round(sum(float(count) * UNITS[unit] for count, unit in TIME.findall(text)), 3)


def owned() -> Iterator[tuple[str, str]]:
    """(path, package) of every file of a package."""
    if DPKG.is_dir():
        for listing in DPKG.glob("*.list"):
            package = listing.name[: -len(".list")].split(":")[0]
            for line in listing.read_text(errors="replace").splitlines():
                yield line, package
        return
    done = subprocess.run(["rpm", "-qa", "--qf", RPM_FILES], capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        package, _, path = line.partition("\t")
        yield path, package


def packages_of(owners: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Packages by the real path of their files: `/lib` may lead to `/usr/lib`."""
    real: dict[str, str] = {}
    found = {}
    for path, package in owners:
        folder, _, name = path.rpartition("/")
        if folder not in real:
            real[folder] = str(Path(folder or "/").resolve()).rstrip("/")
        found[f"{real[folder]}/{name}"] = package
    return found


def space() -> dict[str, dict[str, int]]:
    """Bytes on disk by package, and by folder of the files that no package owns; hard links count once."""
    owners = packages_of(owned())
    packages: dict[str, int] = {}
    folders: dict[str, int] = {}
    seen = set()
    for folder, below, names in os.walk("/"):
        prefix = folder.rstrip("/")
        below[:] = [name for name in below if f"{prefix}/{name}" not in UNSEEN]
        for path in (f"{prefix}/{name}" for name in names):
            try:
                stat = Path(path).lstat()
            except OSError:  # gone since
                continue
            if stat.st_nlink > 1 and (stat.st_dev, stat.st_ino) in seen:
                continue
            seen.add((stat.st_dev, stat.st_ino))
            package = owners.get(path)
            table, key = (packages, package) if package else (folders, "/".join(prefix.split("/")[: DEPTH + 1]) or "/")
            table[key] = table.get(key, 0) + stat.st_blocks * BLOCK
    large = {name: size for name, size in folders.items() if size >= SMALL_BYTES}
    return {"packages": packages, "folders": {**large, "other files": sum(folders.values()) - sum(large.values())}}


def _said(*words: str) -> list[str]:
    env = {**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_URLIFY": "0"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=env)
    return (done.stdout or done.stderr).splitlines()


def chain_of(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The units of `systemd-analyze critical-chain`, the last first: when each was up, and how long it took."""
    found = []
    for line in lines:
        match = CHAIN.match(line)
        if match and (match["at"] or match["took"]):
            at, took = (seconds(match[key] or "") for key in ("at", "took"))
            found.append({"unit": match["unit"], "at": at, "took": took})
    return found


def stages_of(line: str) -> dict[str, float]:
    """The stages in the first line of `systemd-analyze time`: `5.1s (kernel) + 38.2s (userspace) = …`."""
    return {match[2]: seconds(match[1]) for match in re.finditer(r"([\d.a-z ]+?) \((\w+)\)", line)}


def boot() -> dict[str, Any]:
    """Where the time of the boot went, and which units failed; waits until the boot has ended."""
    _said("systemctl", "is-system-running", "--wait")
    line = next(iter(_said("systemd-analyze", "time")), "")
    slow = {}
    for row in _said("systemd-analyze", "blame", "--no-pager"):
        taken, _, unit = row.strip().rpartition(" ")
        if seconds(taken) >= SLOW_SECONDS:
            slow[unit] = seconds(taken)
    failed = [row.split()[0] for row in _said("systemctl", "list-units", "--failed", "--plain", "--no-legend") if row]
    chain = chain_of(_said("systemd-analyze", "critical-chain", "--no-pager"))
    return {"systemd": line, "stages": stages_of(line), "chain": chain, "slow": slow, "failed": failed}


if __name__ == "__main__":
    print(json.dumps({"space": space, "boot": boot}[sys.argv[1]]()))
