"""Roles on systems where no other test applies them: our own on each, and Debian's for real."""

from pathlib import Path

import pytest
from places import ask, converge, locked, served
from suite import suite
from systems import container, image
from vendors import Vendors

from ingot import lock as locks
from ingot.fetch import fetch_wheels
from ingot.models import Arch

pytestmark = [pytest.mark.docker, pytest.mark.network, pytest.mark.usefixtures("working_in_memory")]

OWN = ["efa_exporter", "doctor"]
SIMULATED = ["ubuntu2204", "ubuntu2404", "al2023", "rocky9", "rhel9"]
# The doctor has to find something.
WATCHED = ["node_exporter", *OWN]
# What an image without accelerators has, from Debian's archive.
DEBIANS = ["base", "kernel", "efa", "slurm", "docker", "node_exporter", *OWN]
# What it has for GPUs, from the same archive and, on Debian 12, from the Python package index.
OF_GPUS = ["base", "kernel", "nvidia_driver", "cuda", "nccl"]
# What compiles nothing, neither while it is installed nor when the suite asks: an emulated processor takes long for it.
FEW = ["base", *WATCHED]
AARCH64 = {
    "ubuntu2404": ["aws_cli", "imex", "nvidia_container_toolkit", *WATCHED],
    "al2023": ["aws_cli", *WATCHED],
}


def proven(host: str, vendors: Vendors, roles: list[str]) -> None:
    """Apply roles as an image has them, again without a change, and ask the suite of finished images."""
    given = {"manifest_image": "rig", "manifest_inputs_sha256": "0" * 64, "ingot_roles": roles}
    for part in ([*roles, "manifest"], ["sysprep"]):
        first = converge(host, vendors, *part, **given)
        assert first.returncode == 0, first.stdout[-4000:]
        second = converge(host, vendors, *part, **given)
        assert "changed=0 " in second.stdout, second.stdout[-4000:]
    verified = suite(host, vendors.lock_file, [*roles, "manifest", "sysprep"])
    assert verified.returncode == 0, verified.stdout[-4000:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arch", "roles"),
    [
        ("debian12", "x86_64", DEBIANS),
        ("debian13", "x86_64", DEBIANS),
        ("debian13", "aarch64", FEW),
        ("debian12", "x86_64", OF_GPUS),
        ("debian13", "x86_64", OF_GPUS),
    ],
    ids=["debian12", "debian13", "debian13-aarch64", "debian12-gpus", "debian13-gpus"],
)
def test_debian_has_what_its_archive_has(name: str, arch: Arch, roles: list[str], tmp_path: Path) -> None:
    vendors = Vendors(tmp_path, "", locked(name, arch).of([*roles, "kernel"]))
    vendors.lock_file.write_text(locks.dump(vendors.lock))
    # As a builder brings them along: pip in a container does not know where this machine gets packages.
    wheels = fetch_wheels(vendors.lock)
    with container(image(name, arch), f"--volume={wheels}:/dev/shm/ingot-wheels:ro") as host:
        proven(host, vendors, roles)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "roles"), [("al2023", ["aws_cli", "cuda"]), *((name, WATCHED) for name in SIMULATED)])
def test_roles_converge_where_no_other_test_applies_them(name: str, roles: list[str], tmp_path: Path) -> None:
    lock = locked(name).of(roles)
    with served(list(lock.components), lambda: tmp_path) as serve, container(image(name)) as host:
        proven(host, serve(lock), roles)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "roles"), list(AARCH64.items()), ids=list(AARCH64))
def test_roles_converge_on_aarch64(name: str, roles: list[str], tmp_path: Path) -> None:
    lock = locked(name, "aarch64").of(roles)
    with served(list(lock.components), lambda: tmp_path) as serve, container(image(name, "aarch64")) as host:
        assert ask(host, "uname -m") == "aarch64"
        proven(host, serve(lock), roles)
