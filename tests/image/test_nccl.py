"""A NCCL program compiles, links and starts with the NCCL of the lock, without LD_LIBRARY_PATH or LD_PRELOAD."""

from collections.abc import Callable

from testinfra.host import Host

from ingot.model.lock import LockedComponent

CUDA = "/usr/local/cuda"


def test_packages_are_those_of_the_lock(drift: dict[str, str]) -> None:
    assert drift == {}


def test_a_program_compiles_links_and_starts_with_the_nccl_of_the_lock(
    as_user: Callable[[str], str], compiled: Callable[..., str], pin: LockedComponent
) -> None:
    program = compiled("nccl_version.c", flags=f"-I{CUDA}/include -L{CUDA}/lib64 -lnccl -lcudart")
    assert as_user(f"env -u LD_LIBRARY_PATH {program}") == pin.version


def test_the_loader_knows_one_nccl_only(host: Host) -> None:
    lines = host.check_output("ldconfig --print-cache | grep -F libnccl.so.").splitlines()
    assert len({host.check_output("realpath %s", line.split(" => ")[1]) for line in lines}) == 1
