"""Our own roles converge on every system, and Debian's roles on the real Debian."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ingot.lock import file as locks
from ingot.model.lock import Lock
from ingot.model.types import Arch
from ingot.sources.fetch import fetch_wheels
from tests.rigs.later import first
from tests.rigs.locks import locked
from tests.rigs.places import ask, converged_twice, served
from tests.rigs.suite import suite
from tests.rigs.systems import SYSTEMS, container, image
from tests.rigs.vendors import Vendors

pytestmark = [pytest.mark.docker, pytest.mark.network, pytest.mark.usefixtures("working_in_memory")]

# The doctor has to find something.
WATCHED = ["node_exporter", "efa_exporter", "doctor"]
# What an image for GPUs has from Debian's archive and, on Debian 12, from the Python package index.
DEBIANS = ["base", "kernel", "nvidia_driver", "cuda", "nccl", "efa", "slurm", "docker", *WATCHED]
# What is compiled for a kernel, which comes first.
COMPILED = ["kernel", "nvidia_driver", "gdrcopy"]
# On an emulated processor nothing that compiles, neither while it is installed nor when the suite asks, and not base,
# whose packages take twenty minutes to configure there.
# What takes longest comes first, but for the third: workers begin with two rows each.
ROWS: list[tuple[str, Arch, list[str]]] = [
    ("debian12", "x86_64", DEBIANS),
    ("debian13", "x86_64", DEBIANS),
    ("rhel9", "x86_64", ["base", *COMPILED, *WATCHED]),
    ("debian13", "aarch64", WATCHED),
    ("ubuntu2404", "aarch64", ["aws_cli", "imex", "nvidia_container_toolkit", *WATCHED]),
    ("al2023", "aarch64", ["aws_cli", *WATCHED]),
    ("al2023", "x86_64", ["base", *COMPILED, "aws_cli", "efa", "cuda", "nccl", "nccl_tests", *WATCHED]),
    ("rocky9", "x86_64", ["base", *COMPILED, *WATCHED]),
    ("ubuntu2204", "x86_64", WATCHED),
    ("ubuntu2404", "x86_64", WATCHED),
]


def proven(host: str, vendors: Vendors, roles: list[str]) -> None:
    """Apply roles as an image has them, again without a change, and ask the suite of finished images."""
    real = SYSTEMS[vendors.lock.os].real
    given: dict[str, Any] = {"manifest_image": "rig", "manifest_inputs_sha256": "0" * 64, "ingot_roles": roles}
    # Another system has its base image's packages; the role base is applied all the same.
    parts = {} if real else vendors.lock.base_images["ec2"].brings
    brought = {name: part.model_dump(exclude_defaults=True) for name, part in parts.items()}
    converged_twice(host, vendors, *roles, **given)
    converged_twice(host, vendors, "manifest", **given, ingot_without=list(brought), ingot_brought=brought)
    converged_twice(host, vendors, "sysprep", **given)
    image = [*roles, "manifest", "sysprep"]
    # A kernel of simulated vendors has nothing to boot by.
    files = [role for role in image if role != "kernel" or real]
    target = "local" if real else "ami"
    verified = suite(host, vendors.lock_file, image, files, f"--target={target}")
    assert verified.returncode == 0, verified.stdout[-4000:]


def own_kernel(lock: Lock) -> Lock:
    """`lock` with a base image that has no kernel, so that a machine has the lock's."""
    row = lock.base_images["ec2"]
    brings = {name: part for name, part in row.brings.items() if name != "kernel"}
    return lock.model_copy(
        update={"base_images": {**lock.base_images, "ec2": row.model_copy(update={"brings": brings})}}
    )


@contextmanager
def place(name: str, arch: Arch, roles: list[str], folder: Path) -> Iterator[tuple[str, Vendors]]:
    """A container of a system, and what is served to it: Debian has its own archive, the others simulated vendors."""
    if SYSTEMS[name].real:
        vendors = Vendors(folder, "", locked(name, arch).of([*roles, "kernel"]))
        vendors.lock_file.write_text(locks.dump(vendors.lock))
        # As a builder brings them along: pip in a container does not know where this machine gets packages.
        wheels = fetch_wheels(vendors.lock)
        with container(image(name, arch), f"--volume={wheels}:/dev/shm/ingot-wheels:ro") as host:
            yield host, vendors
        return
    lock = (own_kernel(first(locked(name, arch))) if "kernel" in roles else locked(name, arch)).of(roles)
    with served(list(lock.components), lambda: folder) as serve, container(image(name, arch)) as host:
        if "kernel" in roles:
            # As on an image: no kernel but the lock's. The rig's, whose headers that one is built of, is a second one.
            ask(host, "rm -r /lib/modules/*")
        yield host, serve(lock)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "arch", "roles"), ROWS, ids=[f"{name}-{arch}" for name, arch, _ in ROWS])
def test_roles_converge_where_no_other_test_applies_them(
    name: str, arch: Arch, roles: list[str], tmp_path: Path
) -> None:
    with place(name, arch, roles, tmp_path) as (host, vendors):
        assert ask(host, "uname -m") == arch
        proven(host, vendors, roles)
