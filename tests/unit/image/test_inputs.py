"""An image is built again when what it is made of changes, judged again when its suite does, and else left alone."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingot import paths
from ingot.errors import IngotError
from ingot.image.inputs import LOOKUP, SHARED_ROLES
from ingot.lock import file as locks
from ingot.model.lock import Lock
from tests.own_locks import copy_locks
from tests.unit.image.steps import Machine

FOLDERS = ("roles", "plugins", "playbooks", "packer", "containers/disk-tools", "catalog", "ingot/image", "tests/image")
Local = Callable[..., dict[str, Any]]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalog of one's own with the newest stack, and its locks."""
    own = copy_locks(tmp_path / "team")
    monkeypatch.setenv("INGOT_CATALOG", str(own))
    return own


@pytest.fixture
def checkout(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the checkout, for a test to change."""
    copy = tmp_path / "checkout"
    for name in FOLDERS:
        shutil.copytree(paths.ROOT / name, copy / name)
    monkeypatch.setattr(paths, "ROOT", copy)
    return copy


@pytest.fixture
def relock(own: Path) -> Callable[[Callable[[dict[str, Any]], object]], None]:
    """Changes the lock of debian13, as plain data."""
    (path,) = own.glob("locks/*/debian13-x86_64.yml")

    def change(by: Callable[[dict[str, Any]], object]) -> None:
        data = locks.load(path).model_dump(by_alias=True)
        by(data)
        path.write_text(locks.dump(Lock.model_validate(data)))

    return change


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write("\n# A change.\n")


OTHERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a component": lambda lock: lock["components"]["nccl"].update(version="2.99.1"),
    "a package": lambda lock: lock["packages"]["libnccl2"].update(version="2.99.1-1"),
    "a repository": lambda lock: lock["repositories"].update(other={"kind": "apt", "url": "https://example.com/apt"}),
    "a base image": lambda lock: lock["base_images"].update(ec2={"owner": "1" * 12, "name": "other-*"}),
    "the catalog": lambda lock: lock.update(catalog_sha256="0" * 64),
    "an omission": lambda lock: lock["left_out"].update({"dcgm": "another reason"}),
}
OWN: dict[str, Callable[[dict[str, Any]], object]] = {
    "a component": lambda lock: lock["components"]["slurm"].update(version="99.11.1"),
    "a package": lambda lock: lock["packages"]["slurmd"].update(version="99.11.1-1"),
    "a package of the minimal system": lambda lock: lock["packages"]["apt"].update(version="99.1"),
    "a repository": lambda lock: lock["repositories"]["debian"].update(suites=["trixie"]),
    "an omission": lambda lock: lock["left_out"].update({"lustre": "another reason"}),
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_a_change_of_the_lock_that_the_image_does_not_read_leaves_it(
    local: Local, relock: Callable[..., None], change: Callable[[dict[str, Any]], object]
) -> None:
    local()
    relock(change)
    assert local().get("unchanged")


@pytest.mark.parametrize("change", OWN.values(), ids=OWN)
def test_a_change_of_the_lock_that_the_image_reads_builds_it_again(
    local: Local, machine: Machine, relock: Callable[..., None], change: Callable[[dict[str, Any]], object]
) -> None:
    local()
    relock(change)
    assert "unchanged" not in local()
    assert machine.builds == 2


@pytest.mark.parametrize(
    "name", ["roles/nccl/tasks/main.yml", "roles/slurm/README.md", "tests/image/test_nccl.py", "catalog/settings.yml"]
)
def test_a_change_of_files_of_other_images_leaves_it(local: Local, checkout: Path, name: str) -> None:
    local()
    append(checkout / name)
    assert local().get("unchanged")


@pytest.mark.parametrize(
    "name",
    [
        "roles/slurm/tasks/main.yml",
        "roles/component/tasks/install_apt.yml",
        "roles/packages/tasks/main.yml",
        "plugins/lookup/pin.py",
        "playbooks/image.yml",
        "packer/sources.pkr.hcl",
        "containers/disk-tools/make-disk",
        "ingot/image/base.py",
        "ingot/image/disk.py",
    ],
)
def test_a_change_of_files_that_make_the_image_builds_it_again(
    local: Local, machine: Machine, checkout: Path, name: str
) -> None:
    local()
    append(checkout / name)
    assert "unchanged" not in local()
    assert machine.builds == 2


def test_a_change_of_an_images_own_row_builds_it_again_and_of_another_row_leaves_it(
    local: Local, machine: Machine, own: Path
) -> None:
    def write(other: str, *roles: str) -> None:
        row = "platform: parallelcluster, accelerator: cpu, summary: Ours"
        (own / "images.yml").write_text(
            f"images:\n  parallelcluster-cpu: {{{row}, roles: [base, kernel, {', '.join(roles)}]}}\n"
            f"  ours: {{{row}, roles: [base, {other}]}}\n"
        )

    write("docker", "slurm")
    local()
    write("enroot", "slurm")
    assert local().get("unchanged")
    write("enroot", "slurm", "docker")
    assert "unchanged" not in local()
    assert machine.builds == 2


def test_an_image_is_built_again_when_a_component_changes_that_its_roles_look_up_without_having_it(
    local: Local, machine: Machine, own: Path, relock: Callable[..., None]
) -> None:
    row = "platform: parallelcluster, accelerator: cpu, summary: Ours, roles: [base, kernel, nccl_tests]"
    (own / "images.yml").write_text(f"images:\n  parallelcluster-cpu: {{{row}}}\n")
    local()
    relock(OTHERS["a component"])
    assert "unchanged" not in local()
    assert machine.builds == 2


@pytest.mark.parametrize("name", ["conftest.py", "leftovers.py", "test_slurm.py", "test_held.py", "files/hello.c"])
def test_a_changed_suite_judges_the_same_disk_again(local: Local, machine: Machine, checkout: Path, name: str) -> None:
    report = local()
    disk = (machine.folder / "disk.raw").read_text()
    machine.judged.clear()
    append(checkout / "tests" / "image" / name)
    again = local()
    assert (machine.judged, machine.builds) == (["docker", "ssh"], 1)
    assert (machine.folder / "disk.raw").read_text() == disk
    assert {key for key in report if again[key] != report[key]} <= {"finished", "suite_sha256", "files", "seconds"}
    assert local() == {**again, "unchanged": True}


def test_an_image_that_a_changed_suite_refuses_is_built_again(local: Local, machine: Machine, checkout: Path) -> None:
    local()
    append(checkout / "tests" / "image" / "conftest.py")
    machine.fails = "ssh://"
    with pytest.raises(IngotError, match="1 tests fail in the machine"):
        local()
    machine.fails = ""
    assert "unchanged" not in local()
    assert machine.builds == 2


def test_an_image_that_docker_no_longer_has_is_built_again_when_its_suite_changes(
    local: Local, machine: Machine, checkout: Path
) -> None:
    local()
    append(checkout / "tests" / "image" / "conftest.py")
    machine.images.clear()
    local()
    assert machine.builds == 2


def test_the_shared_roles_are_those_that_roles_and_the_play_include() -> None:
    files = [*paths.ROOT.glob("roles/*/*/*.yml"), *paths.ROOT.glob("playbooks/**/*.yml")]
    included = {name for file in files for name in re.findall(r"^ +name: ingot\.ml\.(\w+)$", file.read_text(), re.M)}
    assert included == set(SHARED_ROLES)


def test_lookups_of_the_lock_are_found_where_roles_have_them() -> None:
    found = {name for file in paths.ROOT.glob("roles/lustre/**/*.yml") for name in LOOKUP.findall(file.read_text())}
    assert found == {"lustre", "kernel"}
