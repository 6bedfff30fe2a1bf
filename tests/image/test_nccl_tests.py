"""NCCL's tests are where AWS' own images have them, and start with the NCCL and MPI of the image."""

from typing import Any

import pytest
from testinfra.host import Host

from ingot.model.lock import Lock, LockedComponent

PREFIX = "/opt/nccl-tests"


@pytest.fixture(scope="module")
def programs(host: Host) -> list[str]:
    names: list[str] = host.check_output(f"ls {PREFIX}/build/").split()
    return names


def test_they_are_of_the_lock(host: Host, pin: LockedComponent, whole_lock: Lock, brought: dict[str, Any]) -> None:
    versions = {name: whole_lock.components[name].version for name in ("cuda", "nccl")}
    versions |= {name: part.version for name, part in brought.items() if name in versions}
    lines = host.file(f"{PREFIX}/version").content_string.splitlines()
    assert lines[0] == pin.version
    assert lines[1:3] == [f"{name} {version}" for name, version in versions.items()]


def test_there_is_code_for_each_gpu_that_the_toolkit_knows(host: Host, whole_lock: Lock) -> None:
    built = host.file(f"{PREFIX}/version").content_string
    gpus = str(whole_lock.components["cuda"].facts["gencode"]).split()
    assert [gpu for gpu in gpus if f"code=sm_{gpu}" not in built.split("\n")[3]] == [] != gpus


def test_the_collectives_are_there_and_nothing_else(programs: list[str]) -> None:
    assert {"all_reduce_perf", "all_gather_perf", "reduce_scatter_perf", "alltoall_perf"} <= set(programs)
    assert [name for name in programs if not name.endswith("_perf")] == []


def test_the_loader_finds_all_that_they_need(host: Host, programs: list[str]) -> None:
    """Without LD_LIBRARY_PATH; libcuda alone comes with a driver."""
    missing: dict[str, Any] = {}
    for name in programs:
        lines = host.check_output(f"env -u LD_LIBRARY_PATH ldd {PREFIX}/build/{name}").splitlines()
        lacking = [line.split()[0] for line in lines if "not found" in line and "libcuda.so" not in line]
        missing |= {name: lacking} if lacking else {}
    assert missing == {}


@pytest.mark.machine
@pytest.mark.gpu
def test_gpus_of_this_machine_reduce(host: Host) -> None:
    said = host.check_output(f"{PREFIX}/build/all_reduce_perf -b 8 -e 8M -f 4 -g $(nvidia-smi -L | wc -l)")
    assert "Out of bounds values : 0 OK" in said
