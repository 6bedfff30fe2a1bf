"""Reads the facts of a container that decide whether it fits a host; runs inside the container.

Uses only the standard library, and only reads files. The first NCCL found is the one that the framework loads.
"""

import json
import mmap
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MANIFEST = "usr/share/ingot/manifest.json"
PYTHON = "opt/ingot/venv/lib/python3*/site-packages"
NCCL = (f"{PYTHON}/nvidia/nccl/lib/libnccl.so.2", "usr/lib/*-linux-gnu/libnccl.so.2", "usr/lib64/libnccl.so.2")
PLUGIN = ("opt/amazon/*ofi-nccl/lib*/libnccl-net*.so", "opt/amazon/*ofi-nccl/lib*/*/libnccl-net*.so")


def _interfaces(root: Path, patterns: Iterable[str]) -> list[int]:
    """The versions of the network interface among the symbols of the first library that matches."""
    for path in (found for pattern in patterns for found in sorted(root.glob(pattern))):
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return sorted({int(number) for number in re.findall(rb"ncclNetPlugin_v(\d+)", content)})
    return []


def probe(folder: str | Path = "/") -> dict[str, Any]:
    """The manifest, NVIDIA's Python packages, and the interface versions of NCCL and its plugin."""
    root = Path(folder)
    manifest = root / MANIFEST
    packages = [path.name.removesuffix(".dist-info").split("-") for path in root.glob(f"{PYTHON}/nvidia_*.dist-info")]
    return {
        "manifest": json.loads(manifest.read_text()) if manifest.is_file() else None,
        "wheels": {name.replace("_", "-"): version for name, version in sorted(packages)},
        "interfaces": {"nccl": _interfaces(root, NCCL), "aws_ofi_nccl": _interfaces(root, PLUGIN)},
    }


if __name__ == "__main__":
    print(json.dumps(probe()))
