"""Turns a node, as a training job finds it, into facts, and what is known to be right for them.

Standard library only, Python 3.9 or later. Files are read below a folder; the job's own Python is run for the rest.
"""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROBE = str(Path(__file__).with_name("pytorch_probe.py"))
# Variables that change what PyTorch, NCCL, libfabric or the loader do.
WATCHED = re.compile(
    r"(NCCL|FI|OFI|RDMAV|CUDA|TORCH|PYTORCH|NEURON|OMP|MKL|LD)_\w+|PYTHONPATH|PATH|NVIDIA_VISIBLE_DEVICES"
)
# Docker's own, too little for data loaders and NCCL: https://docs.docker.com/reference/cli/docker/container/run/
SMALL_SHM_MIB = 64
MIB = 1024**2


def _text(path: Path) -> str | None:
    """A file's text without the space around it, or None where it is not there or unreadable."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def _limit(name: int) -> int | str:
    soft = resource.getrlimit(name)[0]
    return "unlimited" if soft == resource.RLIM_INFINITY else soft


def _meminfo(root: Path) -> dict[str, int]:
    """/proc/meminfo as numbers: kB, or pieces where it counts pieces."""
    return {
        name: int(value) for name, value in re.findall(r"(?m)^([^:\n]+):\s*(\d+)", _text(root / "proc/meminfo") or "")
    }


def _shm_mib(root: Path) -> int | None:
    try:
        found = os.statvfs(root / "dev/shm")
    except OSError:
        return None
    return found.f_blocks * found.f_frsize // MIB


def _driver_version(root: Path) -> str | None:
    # NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.126.20  Release Build ...
    text = _text(root / "proc/driver/nvidia/version") or ""
    found = re.search(r"NVRM version:.*?\s(\d+\.\d+(?:\.\d+)*)\s", text)
    return found.group(1) if found else None


def _gpus(root: Path) -> list[str]:
    """The models of the GPUs that the driver has."""
    texts = [_text(path) or "" for path in sorted(root.glob("proc/driver/nvidia/gpus/*/information"))]
    return [found.group(1).strip() for text in texts for found in [re.search(r"Model:(.*)", text)] if found]


def _on_bus(root: Path, vendor: str, kind: str) -> int:
    """How many PCI devices of a vendor are there whose class or device begins with `kind`, driver or not."""
    found = 0
    for path in root.glob("sys/bus/pci/devices/*"):
        texts = [_text(path / name) or "" for name in ("class", "device")]
        found += _text(path / "vendor") == vendor and any(text.startswith(kind) for text in texts)
    return found


def efa_devices(root: Path = Path("/")) -> list[str]:
    """The names of the RDMA devices that the module efa drives."""
    devices = sorted(root.glob("sys/class/infiniband/*"))
    return [path.name for path in devices if (path / "device/driver").resolve().name == "efa"]


def of_node(root: Path = Path("/")) -> dict[str, Any]:
    """What files and limits say: hardware, drivers that run, and room."""
    memory, gpus, devices = _meminfo(root), _gpus(root), efa_devices(root)
    usable = len(os.sched_getaffinity(0))
    return {
        "hostname": socket.gethostname(),
        "kernel": _text(root / "proc/sys/kernel/osrelease"),
        "processors": os.cpu_count(),
        "processors_usable": usable,
        "memory_mib": memory.get("MemTotal", 0) // 1024,
        "huge_pages": memory.get("HugePages_Total", 0),
        "huge_pages_free": memory.get("HugePages_Free", 0),
        "shm_mib": _shm_mib(root),
        "memlock": _limit(resource.RLIMIT_MEMLOCK),
        "open_files": _limit(resource.RLIMIT_NOFILE),
        "gpus": len(gpus),
        "gpu_models": sorted(set(gpus)),
        # Class 03 is a display controller; EFA's devices are efa0, efa1 …
        "gpus_on_bus": _on_bus(root, "0x10de", "0x03"),
        "efa_on_bus": _on_bus(root, "0x1d0f", "0xefa"),
        "nvidia_driver_loaded": _driver_version(root),
        "gdrdrv_loaded": _text(root / "sys/module/gdrdrv/version"),
        "efa_devices": len(devices),
        "efa_loaded": _text(root / "sys/module/efa/version"),
        "neuron_devices": len(list(root.glob("dev/neuron[0-9]*"))),
    }


def probed(python: str, about: str) -> dict[str, Any]:
    """What the job's Python says; an empty answer where it cannot be run, with the reason."""
    try:
        done = subprocess.run([python, PROBE, about], capture_output=True, text=True, check=False)
    except OSError as error:
        return {f"{about}_error": f"{python}: {error.strerror}"}
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        return {f"{about}_error": f"{python}: {last}"}
    # A library may print while it is loaded; the answer comes last.
    try:
        answer: dict[str, Any] = json.loads((done.stdout.splitlines() or [""])[-1])
    except ValueError:
        return {f"{about}_error": f"{python}: no answer"}
    return answer


def gathered(
    python: str,
    instance_type: str | None,
    details: dict[str, Any],
    observed: dict[str, str | None],
    root: Path = Path("/"),
) -> dict[str, Any]:
    """All facts of this node, by name."""
    on_disk = ("cuda", "nccl", "aws_ofi_nccl", "gdrcopy")
    return {
        "instance_type": instance_type,
        **of_node(root),
        **{name: observed.get(name) for name in on_disk},
        **{name: details.get(name) for name in ("efa_installer", "libfabric", "open_mpi")},
        **probed(python, "loader"),
        **probed(python, "torch"),
    }


def expected(lock: dict[str, Any], found: dict[str, Any]) -> dict[str, str]:
    """What the facts should be, as far as the lock knows it: name -> version. What is not there has no version."""
    components: dict[str, dict[str, Any]] = lock["components"]

    def version(name: str) -> Any:
        return components.get(name, {}).get("version")

    efa = components.get("efa", {}).get("facts") or {}
    wanted = {name: version(name) for name in ("cuda", "nccl", "aws_ofi_nccl", "gdrcopy")}
    wanted["nccl_of_loader"] = version("nccl")
    if found["gpus"] or found.get("gpus_on_bus"):
        wanted["nvidia_driver_loaded"] = version("nvidia_driver")
        wanted["gdrdrv_loaded"] = version("gdrcopy")
    if found["efa_devices"] or found.get("efa_on_bus"):
        wanted["efa_loaded"] = efa.get("efa_kmod")
    # An installer's libfabric says 2.6.0amzn1.0, the file on disk 2.6.0.
    wanted["libfabric"] = (re.match(r"\d+(?:\.\d+)*", efa.get("libfabric", "")) or [None])[0]
    return {name: value for name, value in wanted.items() if value is not None}


def hardware_faults(found: dict[str, Any], machine: Mapping[str, Any]) -> list[str]:
    """Sentences on devices that the instance type or the PCI bus has and no driver drives."""
    said = []
    name = found.get("instance_type") or "this machine"
    gpus = machine.get("devices", 0) if machine.get("accelerator") == "nvidia" else 0
    # A container may have been given some of them.
    given = os.environ.get("NVIDIA_VISIBLE_DEVICES", "all") in ("all", "") or not found["gpus"]
    if given and found["gpus"] < max(gpus, found.get("gpus_on_bus") or 0):
        source = f"{name} has {gpus}" if gpus else f"the PCI bus has {found['gpus_on_bus']}"
        loaded = "" if found.get("nvidia_driver_loaded") else "; no driver is loaded"
        said.append(f"{source} GPUs, the driver has {found['gpus']}{loaded}")
    on_bus = found.get("efa_on_bus") or 0
    if found["efa_devices"] < on_bus:
        said.append(f"the PCI bus has {on_bus} EFA devices, the module efa drives {found['efa_devices']}")
    elif machine.get("efa") and not found["efa_devices"]:
        said.append(f"{name} can have {machine['efa']} EFA interfaces, this one has none: NCCL uses TCP between nodes")
    if machine.get("accelerator") == "neuron" and found.get("neuron_devices", 0) < machine["devices"]:
        said.append(f"{name} has {machine['devices']} Neuron devices, the driver has {found.get('neuron_devices', 0)}")
    return said


def faults(
    lock: dict[str, Any],
    found: dict[str, Any],
    environment: Mapping[str, str],
    machine: Mapping[str, Any] | None = None,
) -> list[str]:
    """Sentences on the facts that will stop or slow training; `machine` is what the instance type must have."""
    wanted = expected(lock, found)
    said = hardware_faults(found, machine or {})
    said += [
        f"{name} is {found.get(name) or 'absent'}, declared is {value}"
        for name, value in wanted.items()
        if found.get(name) != value
    ]
    said += [f"{name.partition('_')[0]} cannot be asked: {found[name]}" for name in found if name.endswith("_error")]
    if found["efa_devices"] and found["memlock"] != "unlimited":
        said.append(
            f"memlock is {found['memlock']} bytes: EFA cannot pin the memory that it sends, which wants unlimited"
        )
    if found["shm_mib"] is not None and found["shm_mib"] <= SMALL_SHM_MIB:
        said.append(
            f"/dev/shm has {found['shm_mib']} MiB: data loaders and NCCL need more; give the container --shm-size"
        )
    if found["processors_usable"] < found["processors"]:
        said.append(
            f"only {found['processors_usable']} of {found['processors']} processors may be used: see --cpu-bind"
        )
    if found["efa_devices"] and wanted.get("aws_ofi_nccl") and not found.get("plugin_path"):
        reason = found.get("plugin_reason")
        what = f"the loader cannot open {found.get('plugin_name') or 'libnccl-net.so'}: {reason}" if reason else ""
        said.append(f"{what or 'the loader finds no libnccl-net.so'}: NCCL would use TCP instead of EFA")
    if found.get("torch") and found.get("torch_cuda") and not environment.get("CUDA_VISIBLE_DEVICES"):
        if found["torch_gpus"] != found["gpus"]:
            said.append(f"torch sees {found['torch_gpus']} GPUs, the driver has {found['gpus']}")
        if "nccl" not in found["torch_backends"]:
            said.append("torch is built for CUDA but has no NCCL")
    return said


def watched(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that a job's behaviour hangs on."""
    return {name: value for name, value in sorted(environment.items()) if WATCHED.fullmatch(name)}


def examine(
    lock: dict[str, Any],
    details: dict[str, Any],
    observed: dict[str, str | None],
    instance_type: str | None,
    python: str,
    machine: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Facts, what they should be, the environment and what is wrong, as data."""
    found = gathered(python, instance_type, details, observed)
    return {
        "facts": found,
        "expected": expected(lock, found),
        "environment": watched(os.environ),
        "rank": os.environ.get("SLURM_PROCID") or os.environ.get("RANK"),
        "faults": faults(lock, found, os.environ, machine),
    }


def table(result: dict[str, Any]) -> list[str]:
    """The lines that a person reads."""
    rows = []
    for name, value in result["facts"].items():
        wanted = result["expected"].get(name)
        shown = ", ".join(map(str, value)) if isinstance(value, list) else "-" if value in (None, "") else str(value)
        rows.append((name, shown, "" if wanted is None else "ok" if value == wanted else f"declared is {wanted}"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join(row[column].ljust(widths[column]) for column in range(3)).rstrip() for row in rows]
    return [*lines, "", *(f"{name}={value}" for name, value in result["environment"].items())]


if __name__ == "__main__":
    sys.exit("this is a part of ingot-doctor")
