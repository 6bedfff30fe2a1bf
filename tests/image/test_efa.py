"""libfabric has its EFA provider, Open MPI starts processes, and memory may be registered without limit."""

import re
from collections.abc import Callable

import pytest
from testinfra.host import Host

from ingot.model.lock import LockedComponent

INSTALLED = "/opt/amazon/efa_installed_packages"


@pytest.fixture
def login(host: Host) -> Callable[..., str]:
    """What a command says after a login, which is when AWS' own programs are on the PATH."""
    return lambda command, *words: host.check_output("sh -l -c %s", host.backend.quote(command, *words))


def test_packages_are_those_of_the_lock(drift: dict[str, str]) -> None:
    assert drift == {}


def test_the_installer_is_of_the_lock(host: Host, pin: LockedComponent) -> None:
    """It says so when it is through; a version alone would be there of one that was interrupted, too."""
    if pin.artifact is None:
        pytest.skip("the packages are the distribution's")
    assert host.file(INSTALLED).content_string.startswith(f"# EFA installer version: {pin.version}\n")
    assert not host.file("/opt/amazon/.efa-unfinished").exists


def test_libfabric_is_of_the_lock(login: Callable[..., str], pin: LockedComponent) -> None:
    version = str(pin.facts.get("libfabric", pin.version)).split("-")[0]
    assert f"libfabric: {version}" in login("fi_info --version").splitlines()


def test_libfabric_has_the_efa_provider(host: Host, login: Callable[..., str]) -> None:
    """Before 2.1 only a machine with a device lists it: https://github.com/ofiwg/libfabric/pull/10794"""
    [version] = re.findall(r"^libfabric: (\d+)\.(\d+)", login("fi_info --version"), re.MULTILINE)
    if tuple(map(int, version)) >= (2, 1):
        assert "efa:" in login("fi_info --list").splitlines()
    else:
        [library] = re.findall(r"^\s*libfabric\.so\.1 .*=> (\S+)$", host.check_output("ldconfig -p"), re.MULTILINE)
        assert "libefa.so.1" in host.check_output("ldd %s", library)


def test_libfabric_finds_a_tcp_endpoint(login: Callable[..., str]) -> None:
    assert "provider: tcp" in login("fi_info --provider tcp")


def test_there_is_one_libfabric(host: Host) -> None:
    """Open MPI, and the plugin of NCCL, would take the first of several."""
    found = host.check_output("ldconfig -p").splitlines()
    assert len([line for line in found if line.split()[:1] == ["libfabric.so.1"]]) == 1


def test_an_mpi_program_of_two_processes_runs(login: Callable[..., str], compiled: Callable[..., str]) -> None:
    program = compiled("mpi_hello.c", compiler=login("command -v mpicc"))
    said = login("mpirun --allow-run-as-root --oversubscribe -n 2 %s", program)
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
def test_the_kernel_module_is_made_for_the_image_kernel(host: Host, release: str) -> None:
    assert host.check_output("modinfo -k %s -F vermagic efa", release).split()[0] == release
