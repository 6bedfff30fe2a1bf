"""Measures containers built by `ingot`: build times from warm caches and after a change, sizes, smoke runs."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ingot.catalog.read import read_catalog
from ingot.console import Progress
from ingot.container import build as containers
from ingot.container import smoke
from ingot.lock import select
from ingot.model.target import ContainerSelection
from ingot.run import run

CATALOG = read_catalog()
LEAF = "fsdp"
# A leaf with Python packages of its own.
LARGE = "megatron-lm"
INSTALLED = 'du -sb "$(python -c "import sys; print(sys.prefix)")"'


def _selection(name: str) -> ContainerSelection:
    return select.container(CATALOG, name, CATALOG.newest_stack, accelerator="cpu")


def _build(name: str) -> dict[str, Any]:
    return containers.build(_selection(name), CATALOG, Progress(quiet=True))


@contextmanager
def _another_date() -> Iterator[None]:
    """Rebuild every layer, with warm caches of apt and pip."""
    with patch.dict(os.environ, {containers.EPOCH: "1"}):
        yield


def building() -> tuple[float, float]:
    """Seconds to build base, PyTorch and a leaf from warm caches, and to rebuild the leaf after its program changed."""
    _build(LEAF)
    with _another_date():
        steps = _build(LEAF)["steps"]
    if any(step["unchanged"] for step in steps):
        raise RuntimeError(f"not every image of {LEAF} was rebuilt: {json.dumps(steps)}")
    whole = sum(step["seconds"] for step in steps)
    _build(LEAF)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "containers")
        shutil.copytree(containers.CONTAINERS, copy)
        with (copy / LEAF / "train.py").open("a") as program:
            program.write("# Changed.\n")
        with patch.object(containers, "CONTAINERS", copy):
            changed = sum(step["seconds"] for step in _build(LEAF)["steps"])
    _build(LEAF)
    return whole, changed


def size() -> float:
    """The size of a leaf, relative to its parent plus the Python packages that it adds."""
    steps = {step["container"]: step for step in _build(LARGE)["steps"]}
    leaf, parent = steps[LARGE], steps[CATALOG.containers[LARGE].parent]
    words = ["docker", "run", "--rm", "--network=none", "--user=0"]
    installed = [int(run([*words, step["tag"], "sh", "-c", INSTALLED]).split()[0]) for step in (leaf, parent)]
    return float(leaf["size_bytes"] / (parent["size_bytes"] + installed[0] - installed[1]))


def runs() -> dict[str, float]:
    """Seconds of each container's smoke run; RuntimeError where one fails."""
    took = {}
    for file in sorted(containers.CONTAINERS.glob(f"*/{smoke.FILE}")):
        name = file.parent.name
        _build(name)
        folder = _selection(name).dir / name
        folder.mkdir(exist_ok=True)
        result = smoke.smoke(_selection(name).tag, smoke.read(file.parent), folder)
        if result.faults:
            raise RuntimeError(f"{name}: {json.dumps(result.faults)}")
        took[name] = result.seconds
    return took
