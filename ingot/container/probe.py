"""Turns a container's root file system into what says whether it goes with a host; it is run inside the container.

Standard library only, and only files are read. The first NCCL that is found is the one that the framework loads.
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
    """The versions of the network interface that the first library of the patterns names as symbols."""
    for path in (found for pattern in patterns for found in sorted(root.glob(pattern))):
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return sorted({int(number) for number in re.findall(rb"ncclNetPlugin_v(\d+)", content)})
    return []


def probe(folder: str | Path = "/") -> dict[str, Any]:
    """The manifest, the framework's packages of NVIDIA, and the interfaces between NCCL and its plugin."""
    root = Path(folder)
    manifest = root / MANIFEST
    named = [path.name.removesuffix(".dist-info").split("-") for path in root.glob(f"{PYTHON}/nvidia_*.dist-info")]
    return {
        "manifest": json.loads(manifest.read_text()) if manifest.is_file() else None,
        "wheels": {name.replace("_", "-"): version for name, version in sorted(named)},
        "interfaces": {"nccl": _interfaces(root, NCCL), "aws_ofi_nccl": _interfaces(root, PLUGIN)},
    }


if __name__ == "__main__":
    print(json.dumps(probe()))
