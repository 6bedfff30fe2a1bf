"""Roles converged on aarch64, for real: every program in the container is Arm's, run by QEMU's user emulation."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ask, converge, locked
from suite import suite
from systems import container, gateway, image
from vendors import Vendors, serving

pytestmark = [pytest.mark.docker, pytest.mark.network, pytest.mark.slow]

EMULATION = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")
# A vendor's repository, with what is held and gated, and vendors' files.
ROLES = ["fabricmanager", "aws_cli", "node_exporter"]


@pytest.fixture(scope="module", autouse=True)
def emulation() -> None:
    """Skip where the kernel does not run Arm's programs, or nothing says to mmdebstrap that it does."""
    if EMULATION.exists() and shutil.which("arch-test"):
        return
    pytest.skip(
        "the kernel hands no aarch64 program to QEMU, or arch-test is missing: "
        "apt-get install qemu-user-static binfmt-support arch-test; "
        "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc; update-binfmts --enable qemu-aarch64"
    )


@pytest.fixture(scope="module", params=["ubuntu2404", "al2023"])
def vendors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendors]:
    """What the lock of a system names for the roles on aarch64."""
    lock = locked(request.param, "aarch64")
    with serving(lock, ROLES, tmp_path_factory.mktemp("rig") / "vendors", gateway()) as made:
        yield made


def test_roles_converge_on_aarch64_and_a_second_time_change_nothing(vendors: Vendors) -> None:
    with container(image(vendors.lock.os, "aarch64")) as host:
        assert ask(host, "uname -m") == "aarch64"
        first = converge(host, vendors, *ROLES)
        assert first.returncode == 0, first.stdout[-6000:]
        second = converge(host, vendors, *ROLES)
        assert "changed=0 " in second.stdout, second.stdout
        verified = suite(host, vendors.lock_file, ROLES)
        assert verified.returncode == 0, verified.stdout
        assert "passed" in verified.stdout
