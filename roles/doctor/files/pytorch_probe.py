"""Says, as JSON, what the Python that runs it gets for NCCL, its network plugin and PyTorch.

`ingot-doctor --pytorch` runs it twice, with the Python of the job: as `loader` before PyTorch has brought a library of
its own along, and as `torch`. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# What NCCL opens where NCCL_NET_PLUGIN is not set, and what aws-ofi-nccl calls its own.
PLUGINS = ("libnccl-net.so", "libnccl-net-ofi.so")


def opened(name: str) -> str | None:
    """The path of a library that is loaded by now, or None."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    paths = [line.split(maxsplit=5)[5] for line in lines if line.count(" ") >= 5 and "/" in line]
    return next((path for path in paths if Path(path).name.startswith(name)), None)


def nccl_version(path: str) -> str | None:
    """What the library answers: 23102 -> 2.31.2; up to 2.8 the digits were fewer (src/nccl.h.in of NVIDIA/nccl)."""
    number = ctypes.c_int()
    if ctypes.CDLL(path).ncclGetVersion(ctypes.byref(number)) != 0:
        return None
    code = number.value
    major, rest = divmod(code, 10000) if code >= 10000 else divmod(code, 1000)
    return f"{major}.{rest // 100}.{rest % 100}"


def loaded(names: Iterable[str]) -> tuple[str | None, str | None, str | None]:
    """The first of the libraries that the loader finds, as (name, path, None), or why it opens none.

    The reason is the loader's own sentence; one about a library that another one needs says more than that there is
    none of the name.
    """
    reasons: dict[str, str] = {}
    for name in names:
        try:
            ctypes.CDLL(name)
        except OSError as error:
            reasons[name] = str(error)
            continue
        return name, opened(Path(name).name), None
    told = next((name for name, why in reasons.items() if not why.startswith(name)), next(iter(reasons), None))
    return told, None, reasons.get(told) if told else None


def plugins(environment: Mapping[str, str]) -> list[str]:
    """The names by which NCCL opens its network plugin: those of NCCL_NET_PLUGIN alone where it is set.

    https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html
    """
    named = environment.get("NCCL_NET_PLUGIN", "")
    if not named:
        return list(PLUGINS)
    return [named] if "/" in named or ".so" in named else [f"libnccl-net-{named}.so", named]


def of_loader() -> dict[str, Any]:
    """What a program finds by the loader's own paths and LD_LIBRARY_PATH."""
    name, path, reason = loaded(["libnccl.so.2"])
    plugin, plugin_path, plugin_reason = loaded(plugins(os.environ))
    return {
        "nccl_of_loader": nccl_version(name) if name and not reason else None,
        "nccl_path": path,
        "plugin_path": plugin_path,
        "plugin_name": plugin,
        "plugin_reason": plugin_reason,
    }


def of_torch() -> dict[str, Any]:
    """What PyTorch is, and what it has brought along."""
    try:
        import torch
    except Exception as error:  # whatever a broken installation raises is what a person needs to read
        return {"torch": None, "torch_error": f"{type(error).__name__}: {error}"}
    has_cuda = torch.cuda.is_available()
    path = opened("libnccl.so")
    return {
        "torch": torch.__version__,
        "torch_cuda": torch.version.cuda,
        "torch_gpus": torch.cuda.device_count() if has_cuda else 0,
        "torch_cudnn": torch.backends.cudnn.version() if has_cuda else None,
        "torch_nccl": nccl_version(path) if path else None,
        "torch_nccl_path": path,
        "torch_backends": [
            name
            for name in ("nccl", "gloo", "mpi")
            if torch.distributed.is_available() and getattr(torch.distributed, f"is_{name}_available")()
        ],
    }


if __name__ == "__main__":
    about = {"loader": of_loader, "torch": of_torch}[sys.argv[1]]()
    json.dump({"python": platform.python_version(), "python_path": sys.executable, **about}, sys.stdout)
