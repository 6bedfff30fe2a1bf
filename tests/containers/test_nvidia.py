"""The variant for NVIDIA has what its lock says, loads it and trains.

Its roles install from simulated vendors on a system that presents itself as Ubuntu 24.04; its Python packages are real.
There is no GPU, so it trains on CPUs.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ingot.catalog.read import read_catalog
from ingot.container import build as containers
from ingot.container import buildkit, smoke
from ingot.model.system import ContainerImage
from ingot.model.target import Target, container_tag
from tests.artifacts import docker
from tests.commandline import Completed, ingot_process
from tests.rigs import own_stack
from tests.rigs.systems import bare, gateway
from tests.rigs.vendors import Vendors, serving

pytestmark = [pytest.mark.docker, pytest.mark.network, pytest.mark.slow]

ROLES = ["cuda", "nccl", "gdrcopy", "efa", "aws_ofi_nccl", "nccl_tests"]
# What only a host of the lock has.
HOST = ["kernel", "nvidia_driver"]
NAMES = [name for name, row in read_catalog().containers.items() if "nvidia" in row.accelerators]
TRAINED = [name for name in NAMES if (containers.CONTAINERS / name / smoke.FILE).exists()]
# torch.cuda.nccl.version() would be the version that torch was compiled with.
FACTS = """import ctypes, json, torch
path = next(line.split()[-1] for line in open("/proc/self/maps") if "libnccl.so" in line)
number = ctypes.c_int()
assert ctypes.CDLL(path).ncclGetVersion(ctypes.byref(number)) == 0
print(json.dumps([torch.__version__, torch.version.cuda, number.value, torch.cuda.is_available()]))
"""
Ingot = Callable[..., Completed]


@dataclass(frozen=True)
class Stack:
    """A stack of simulated vendors, and how to run `ingot` with it."""

    vendors: Vendors
    lock: Path
    ingot: Ingot


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack; its containers are removed afterwards, because they have the names of real ones."""
    folder = tmp_path_factory.mktemp("nvidia")
    started = bare("ubuntu2404")
    digest = docker("image", "inspect", "--format", "{{.Id}}", started)
    simulated = ContainerImage(image=f"simulated/ubuntu@{digest}")
    lock = own_stack.whole("ubuntu2404").model_copy(update={"container_image": simulated})
    system = containers.system_tag(lock, simulated.image)
    tags = [system, *(container_tag(name, "nvidia", Target(lock.stack, lock.os, lock.arch)) for name in NAMES)]
    with serving(lock, [*ROLES, *HOST], folder / "vendors", gateway()) as vendors:
        own_stack.write(vendors, folder / "own")

        def run(*words: str) -> Completed:
            return ingot_process(*words, "--stack", own_stack.NAME, "--json", own=folder / "own")

        # No registry has it under this digest, so it is built here; all else is done by the product.
        buildkit.build(
            containers.CONTAINERS / containers.SYSTEM, containers.DOCKERFILE, system, {"IMAGE": started},
            log=folder / "system.log",
        )  # fmt: skip
        try:
            yield Stack(vendors, folder / "own" / "locks" / own_stack.NAME / f"{lock.key}.yml", run)
        finally:
            there = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split()
            docker("rmi", *(tag for tag in tags if tag in there))


def built(stack: Stack, name: str) -> dict[str, Any]:
    """Build a container; returns the report."""
    done = stack.ingot("container", name, "--accelerator", "nvidia")
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_the_base_has_what_the_lock_says_and_nothing_of_a_machine(stack: Stack) -> None:
    tag = built(stack, "base")["tag"]
    manifest = json.loads(docker("run", "--rm", tag, "cat", "/usr/share/ingot/manifest.json"))
    lock = stack.vendors.lock
    for name in ROLES[:-1]:
        assert manifest["observed"][name] == lock.components[name].version, name
    assert "libnccl-net" in docker("run", "--rm", tag, "/sbin/ldconfig", "-p")
    assert docker("run", "--rm", tag, "sh", "-c", "ls -d /usr/src/gdrdrv* /var/lib/dkms/gdrdrv 2>/dev/null; true") == ""


def test_nccls_own_tests_are_there(stack: Stack) -> None:
    tag = built(stack, "nccl-tests")["tag"]
    assert "all_reduce_perf" in docker("run", "--rm", tag, "ls", "/opt/nccl-tests/build")


def test_pytorch_loads_the_nccl_of_the_lock(stack: Stack) -> None:
    report = built(stack, "fsdp")
    version = stack.vendors.lock.components["nccl"].version
    assert report["nccl"] == f"{version} in base and in the requirements"
    torch, cuda, nccl, gpu = json.loads(docker("run", "--rm", report["tag"], "python", "-c", FACTS))
    assert (torch.split("+")[0], cuda[:3], gpu) == ("2.15.0", "13.", False)
    major, minor, patch = map(int, version.split("."))
    assert nccl == major * 10000 + minor * 100 + patch


@pytest.mark.parametrize("name", TRAINED)
def test_it_trains_on_cpus_where_there_is_no_gpu(stack: Stack, name: str) -> None:
    done = stack.ingot("smoke", name, "--accelerator", "nvidia")
    assert done.returncode == 0, done.stderr


def test_it_goes_with_a_host_of_its_lock(stack: Stack) -> None:
    tag = built(stack, "fsdp")["tag"]
    done = ingot_process("pair", stack.lock, tag, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    states = {row["what"]: row["state"] for row in json.loads(done.stdout)["compared"]}
    assert (states["driver, CUDA"], states["libfabric"]) == ("fits", "fits"), states
