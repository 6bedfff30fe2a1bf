"""Roles on systems where no other test applies them: our own, the drivers' on systems of dnf, and Debian's for real."""

from pathlib import Path

import pytest
from kernels import with_kernel
from places import converge, locked, served
from suite import suite
from systems import container, image
from vendors import Vendors

from ingot import lock as locks

pytestmark = [pytest.mark.docker, pytest.mark.network]

OWN = ["efa_exporter", "doctor"]
SIMULATED = ["ubuntu2204", "ubuntu2404", "al2023", "rocky9", "rhel9"]
# What an image without accelerators has, from Debian's archive.
DEBIANS = ["base", "kernel", "efa", "slurm", "docker", "node_exporter", *OWN]
slow = pytest.mark.slow


def proven(host: str, vendors: Vendors, roles: list[str], **facts: object) -> None:
    """Apply roles, again without a change, and ask the suite of finished images."""
    first = converge(host, vendors, *roles, **facts)
    assert first.returncode == 0, first.stdout[-4000:]
    second = converge(host, vendors, *roles, **facts)
    assert "changed=0 " in second.stdout, second.stdout[-4000:]
    verified = suite(host, vendors.lock_file, roles)
    assert verified.returncode == 0, verified.stdout[-4000:]


@pytest.mark.parametrize("name", [pytest.param(name, marks=slow) for name in SIMULATED])
def test_our_own_roles_need_no_vendor(name: str, tmp_path: Path) -> None:
    vendors = Vendors(tmp_path, "", locked(name))
    vendors.lock_file.write_text(locks.dump(vendors.lock))
    with container(image(name)) as host:
        proven(host, vendors, OWN)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["debian12", "debian13"])
def test_debian_has_all_of_an_image_without_accelerators(name: str, tmp_path: Path) -> None:
    vendors = Vendors(tmp_path, "", locked(name))
    vendors.lock_file.write_text(locks.dump(vendors.lock))
    with container(image(name)) as host:
        proven(host, vendors, DEBIANS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "roles"),
    [
        ("al2023", ["aws_cli", "cuda"]),
        ("al2023", ["nvidia_driver", "gdrcopy"]),
        ("rocky9", ["nvidia_driver", "gdrcopy"]),
        ("rhel9", ["nvidia_driver", "gdrcopy"]),
    ],
    ids=lambda each: each if isinstance(each, str) else each[0],
)
def test_roles_of_vendors_converge_where_packages_are_of_rpm(name: str, roles: list[str], tmp_path: Path) -> None:
    lock = with_kernel(locked(name))
    with served([*roles, "kernel"], lambda: tmp_path) as serve, container(image(name)) as host:
        proven(host, serve(lock), roles)
