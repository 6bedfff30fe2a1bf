"""Pins the Python packages of the containers: resolves what their `requirements*.in` ask for into exact versions.

Each is resolved after those of the container that it is FROM, which constrain it; what `left-out-ACCELERATOR.txt` of a
container names is in neither it nor those FROM it. Where the base has NCCL, the lock's version stands whatever a
framework requires: one NCCL is in a container, and its functions are versioned, a newer one has those of an older.
"""

import importlib.util
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from packaging.version import Version

from ingot.catalog.catalog import Catalog
from ingot.catalog.names import lineage
from ingot.errors import IngotError
from ingot.lock import file as locks
from ingot.lock.diff import changed
from ingot.model.target import Target
from ingot.model.types import LOCAL_ARCH
from ingot.run import run

# Wheels alone.
COMPILE = [
    sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--upgrade", "--only-binary", ":all:", "--generate-hashes",
    "--no-header", "--no-annotate",
]  # fmt: skip
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)
NCCL = re.compile(r"nvidia-nccl-cu\d+")


def sources(catalog: Catalog, folder: Path) -> Iterator[tuple[str, Path]]:
    """The container and the file of everything to resolve below `folder`, in the order in which to do it."""
    names = sorted(catalog.containers, key=lambda name: (len(lineage(name, catalog)), name))
    yield from ((name, file) for name in names for file in sorted((folder / name).glob("requirements*.in")))


def pins(path: Path) -> dict[str, str]:
    """The exact version of each package in a resolved list, nothing where there is none."""
    return dict(PIN.findall(path.read_text())) if path.exists() else {}


def renew(name: str, source: Path, catalog: Catalog) -> dict[str, tuple[str | None, str | None]]:
    """Resolve `source`, of the container `name`, anew; what has changed, by package."""
    if importlib.util.find_spec("uv") is None:
        raise IngotError("uv is not installed, which resolves Python packages", hint="run `make setup`")
    resolved = source.with_suffix(".txt")
    before = pins(resolved)
    accelerator = source.stem.rpartition("-")[2]
    systems = {str(each): row for each, row in catalog.container_systems.items()}
    # What is of no variant goes with the oldest Python of them, and so with all.
    system = systems.get(accelerator) or min(systems.values(), key=lambda row: Version(row.python))
    words: list[str | Path] = ["--python-version", system.python, "--python-platform", system.platform]
    lists = (source.parents[1] / each / f"left-out-{accelerator}.txt" for each in lineage(name, catalog))
    words += next((["--excludes", path] for path in lists if path.exists()), [])
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as instead:
        if pin := _nccl_of_base(name, accelerator, system.os, catalog):
            instead.write(f"{pin}\n")
            instead.flush()
            words += ["--overrides", instead.name]
        run([*COMPILE, *words, source, "--output-file", resolved], doing=f"resolving {source}")
    return changed(before, pins(resolved))


def _nccl_of_base(name: str, accelerator: str, os_name: str, catalog: Catalog) -> str:
    """The exact requirement of the lock's NCCL, empty where what the container `name` is made from has none."""
    base = catalog.containers[lineage(name, catalog)[-1]]
    if not any("nccl" in roles for each, roles in base.roles.items() if each == accelerator):
        return ""
    entry = locks.load(locks.path_of(Target(catalog.newest_stack, os_name, LOCAL_ARCH))).components["nccl"]
    return f"nvidia-nccl-cu{entry.facts['cuda_major']}=={entry.version}"


def nccl(path: Path) -> str:
    """The version of NCCL that a resolved list brings, empty where it brings none."""
    return next((version for name, version in pins(path).items() if NCCL.fullmatch(name)), "")
