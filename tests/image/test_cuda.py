"""CUDA of the lock lies under /usr/local/cuda, and a program finds it without any environment variable."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

from ingot.model.lock import Lock, LockedComponent

CUDA = "/usr/local/cuda"
# Metapackages of CUDA that bring a driver, and NVIDIA's own packages of one.
DRIVERS = re.compile(r"cuda-drivers|nvidia-open(?!cl)|nvidia-driver-\d|libnvidia-compute-\d|kmod-nvidia")


def test_packages_are_those_of_the_lock(drift: dict[str, str]) -> None:
    assert drift == {}


def test_a_program_compiles_links_and_starts_with_the_runtime_of_the_lock(
    host: Host, compiled: Callable[..., str], pin: LockedComponent
) -> None:
    program = compiled("cuda_version.c", flags=f"-I{CUDA}/include -L{CUDA}/lib64 -lcudart")
    assert host.check_output("env -u LD_LIBRARY_PATH %s", program) == ".".join(pin.version.split(".")[:2])


def test_the_loader_knows_one_runtime_only(host: Host) -> None:
    """Two libcudart of one major version on the loader's path: which one a program gets would be chance."""
    lines = host.check_output("ldconfig --print-cache | grep -F libcudart.so.").splitlines()
    assert len({host.check_output("realpath %s", line.split(" => ")[1]) for line in lines}) == 1


def test_the_compiler_is_of_the_lock(host: Host, pin: LockedComponent) -> None:
    if not pin.facts["compiler"]:
        pytest.skip("the lock has no compiler: facts.compiler is false")
    # NVIDIA's own toolkit and its compiler differ in the last number.
    assert f"release {'.'.join(pin.version.split('.')[:2])}," in host.check_output(f"{CUDA}/bin/nvcc --version")


def test_a_login_shell_finds_its_programs(host: Host) -> None:
    assert f"{CUDA}/bin" in host.check_output("env -i PATH=/usr/bin:/bin sh -c '. /etc/profile; echo $PATH'").split(":")


def test_it_brings_no_driver(lock: Lock, installed: dict[str, Any]) -> None:
    """A host's libcuda is of its driver: another driver's, or the compat library, would take its place."""
    driver = lock.components["nvidia_driver"].version if "nvidia_driver" in lock.components else ""
    drivers = {name: each.version for name, each in installed.items() if DRIVERS.match(name)}
    assert {name: version for name, version in drivers.items() if driver not in version} == {}
    assert [name for name in installed if name.startswith("cuda-compat")] == []


def test_a_kernel_compiles(host: Host, pin: LockedComponent, compiled: Callable[..., str]) -> None:
    if not pin.facts["compiler"]:
        pytest.skip("the lock has no compiler: facts.compiler is false")
    cubin = compiled("scale.cu", compiler=f"{CUDA}/bin/nvcc", flags="-arch=sm_80 -cubin")
    assert host.file(cubin).size > 0
