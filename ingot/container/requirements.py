"""Pins the Python packages of containers: resolves their `requirements*.in` to exact versions.

A container is resolved after its parent, whose versions constrain it. `left-out-ACCELERATOR.txt` of a container lists
packages that it and its children do not get. If the base has NCCL, the lock's version overrides the framework's
requirement, since a container has one NCCL; a newer NCCL has all versioned symbols of an older one.
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

# Only wheels.
COMPILE = [
    sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--upgrade", "--only-binary", ":all:", "--generate-hashes",
    "--no-header", "--no-annotate",
]  # fmt: skip
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)
NCCL = re.compile(r"nvidia-nccl-cu\d+")


def sources(catalog: Catalog, folder: Path) -> Iterator[tuple[str, Path]]:
    """Each container and requirements file below `folder`, in the order in which to resolve them."""
    names = sorted(catalog.containers, key=lambda name: (len(lineage(name, catalog)), name))
    yield from ((name, file) for name in names for file in sorted((folder / name).glob("requirements*.in")))


def pins(path: Path) -> dict[str, str]:
    """The exact version of each package in a resolved list; empty if there is no list."""
    return dict(PIN.findall(path.read_text())) if path.exists() else {}


def renew(name: str, source: Path, catalog: Catalog) -> dict[str, tuple[str | None, str | None]]:
    """Resolve `source` of the container `name` again; returns the changes by package."""
    if importlib.util.find_spec("uv") is None:
        raise IngotError("uv is not installed; it resolves Python packages", hint="run `make setup`")
    resolved = source.with_suffix(".txt")
    before = pins(resolved)
    accelerator = source.stem.rpartition("-")[2]
    systems = {str(variant): row for variant, row in catalog.container_systems.items()}
    # A list for all variants is resolved for the oldest Python, and so fits all.
    system = systems.get(accelerator) or min(systems.values(), key=lambda row: Version(row.python))
    options: list[str | Path] = ["--python-version", system.python, "--python-platform", system.platform]
    lists = (source.parents[1] / ancestor / f"left-out-{accelerator}.txt" for ancestor in lineage(name, catalog))
    options += next((["--excludes", path] for path in lists if path.exists()), [])
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as overrides:
        if pin := _nccl_of_base(name, accelerator, system.os, catalog):
            overrides.write(f"{pin}\n")
            overrides.flush()
            options += ["--overrides", overrides.name]
        run([*COMPILE, *options, source, "--output-file", resolved], doing=f"resolving {source}")
    return changed(before, pins(resolved))


def _nccl_of_base(name: str, accelerator: str, os_name: str, catalog: Catalog) -> str:
    """The exact requirement of the lock's NCCL; empty if the base of the container `name` has none."""
    base = catalog.containers[lineage(name, catalog)[-1]]
    if not any("nccl" in roles for variant, roles in base.roles.items() if variant == accelerator):
        return ""
    entry = locks.load(locks.path_of(Target(catalog.newest_stack, os_name, LOCAL_ARCH))).components["nccl"]
    return f"nvidia-nccl-cu{entry.facts['cuda_major']}=={entry.version}"


def nccl(path: Path) -> str:
    """The version of NCCL in a resolved list; empty if it has none."""
    return next((version for name, version in pins(path).items() if NCCL.fullmatch(name)), "")
