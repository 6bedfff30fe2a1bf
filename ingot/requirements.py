"""Pins the Python packages of the containers: resolves what their `requirements*.in` ask for into exact versions.

Each is resolved after those of the container that it is FROM, which constrain it; what `left-out-ACCELERATOR.txt` of a
container names is in neither it nor those FROM it, and what its `instead-ACCELERATOR.txt` pins stands whatever others
require.
"""

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.version import Version

from ingot.catalog import Catalog, lineage
from ingot.diff import changed
from ingot.errors import IngotError
from ingot.run import run

# Wheels alone.
COMPILE = [
    sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--upgrade", "--only-binary", ":all:", "--generate-hashes",
    "--no-header", "--no-annotate",
]  # fmt: skip
# What a list beside the requirements is to uv.
LISTS = {"left-out": "--excludes", "instead": "--overrides"}
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
    for kind, option in LISTS.items():
        lists = (source.parents[1] / each / f"{kind}-{accelerator}.txt" for each in lineage(name, catalog))
        words += next(([option, path] for path in lists if path.exists()), [])
    run([*COMPILE, *words, source, "--output-file", resolved], doing=f"resolving {source}")
    return changed(before, pins(resolved))


def nccl(path: Path) -> str:
    """The version of NCCL that a resolved list brings, empty where it brings none."""
    return next((version for name, version in pins(path).items() if NCCL.fullmatch(name)), "")
