"""Roles on systems where no other test applies them: our own on each, and Debian's for real."""

from pathlib import Path

import pytest
from places import ask, converge, locked, served
from suite import suite
from systems import container, image
from vendors import Vendors

from ingot import lock as locks

pytestmark = [pytest.mark.docker, pytest.mark.network]

OWN = ["efa_exporter", "doctor"]
SIMULATED = ["ubuntu2204", "ubuntu2404", "al2023", "rocky9", "rhel9"]
# The doctor has to find something.
WATCHED = ["node_exporter", *OWN]
# What an image without accelerators has, from Debian's archive.
DEBIANS = ["base", "kernel", "efa", "slurm", "docker", "node_exporter", *OWN]


def proven(host: str, vendors: Vendors, roles: list[str], **facts: object) -> None:
    """Apply roles, again without a change, and ask the suite of finished images."""
    first = converge(host, vendors, *roles, **facts)
    assert first.returncode == 0, first.stdout[-4000:]
    second = converge(host, vendors, *roles, **facts)
    assert "changed=0 " in second.stdout, second.stdout[-4000:]
    # As sysprep does: Debian makes a key when munge is installed.
    ask(host, "rm -f /etc/munge/munge.key")
    verified = suite(host, vendors.lock_file, roles)
    assert verified.returncode == 0, verified.stdout[-4000:]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["debian12", "debian13"])
def test_debian_has_all_of_an_image_without_accelerators(name: str, tmp_path: Path) -> None:
    vendors = Vendors(tmp_path, "", locked(name).of(DEBIANS))
    vendors.lock_file.write_text(locks.dump(vendors.lock))
    with container(image(name)) as host:
        proven(host, vendors, DEBIANS, ingot_roles=DEBIANS)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "roles"), [("al2023", ["aws_cli", "cuda"]), *((name, WATCHED) for name in SIMULATED)])
def test_roles_converge_where_no_other_test_applies_them(name: str, roles: list[str], tmp_path: Path) -> None:
    lock = locked(name).of(roles)
    with served(list(lock.components), lambda: tmp_path) as serve, container(image(name)) as host:
        proven(host, serve(lock), roles)
