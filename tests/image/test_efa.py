"""libfabric has its EFA provider, Open MPI starts processes, and memory may be registered without limit."""

from collections.abc import Callable

import pytest
from testinfra.host import Host

from ingot.locked import Lock, LockedComponent


def test_packages_are_those_of_the_lock(drift: dict[str, str]) -> None:
    assert drift == {}


def test_libfabric_is_of_the_lock(host: Host, pin: LockedComponent) -> None:
    assert f"libfabric: {pin.version}" in host.check_output("fi_info --version").splitlines()


@pytest.mark.part("provider")
def test_libfabric_has_the_efa_provider(host: Host) -> None:
    assert "efa:" in host.check_output("fi_info --list").splitlines()


def test_libfabric_finds_a_tcp_endpoint(host: Host) -> None:
    assert "provider: tcp" in host.check_output("fi_info --provider tcp")


def test_an_mpi_program_of_two_processes_runs(host: Host, compiled: Callable[..., str]) -> None:
    program = compiled("mpi_hello.c", compiler="mpicc")
    said = host.check_output("mpirun --allow-run-as-root --oversubscribe -n 2 %s", program)
    assert sorted(said.splitlines()) == ["0 of 2", "1 of 2"]


@pytest.mark.machine
def test_a_login_may_lock_any_amount_of_memory(host: Host) -> None:
    """What is registered with the network card counts as locked: a limit there ends a job with ENOMEM."""
    assert host.check_output("su --shell /bin/sh --command %s nobody", "ulimit -H -l") == "unlimited"


@pytest.mark.machine
def test_processes_of_a_node_may_read_each_other_s_memory(host: Host) -> None:
    """libfabric's transport within a node does so."""
    assert host.check_output("cat /proc/sys/kernel/yama/ptrace_scope") == "0"


@pytest.mark.part("kmod")
def test_the_kernel_module_is_made_for_the_image_kernel(host: Host, lock: Lock) -> None:
    release = lock.components["kernel"].facts["release"]
    assert host.check_output("modinfo -k %s -F vermagic efa", release).split()[0] == release
