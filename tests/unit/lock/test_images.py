"""IMAGES.txt says which images a change of a lock reaches: those that are made of what has changed, and no others."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.errors import IngotError
from ingot.lock import file as locks
from ingot.lock import images
from ingot.model.lock import Lock

CATALOG = read_catalog()
STACK = CATALOG.newest_stack
KEY = "debian12-x86_64"
Edit = Callable[[Callable[[Lock], dict[str, Any]]], None]


def lines(stack: str = STACK) -> dict[str, str]:
    """The lines that the locks of a stack give: the digest by image, system and architecture."""
    rows = (line.rpartition(" ") for line in images.text(CATALOG, stack).splitlines() if line[0] != "#")
    return {name: digest for name, _, digest in rows}


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """Change a field of a lock, in a copy of all locks that stands in their place."""
    shutil.copytree(paths.LOCKS, tmp_path / "locks")
    monkeypatch.setattr(paths, "LOCKS", tmp_path / "locks")

    def changed(update: Callable[[Lock], dict[str, Any]]) -> None:
        path = paths.lock_dir(STACK) / f"{KEY}.yml"
        lock = locks.load(path)
        path.write_text(locks.dump(lock.model_copy(update=update(lock))))

    return changed


def component(name: str, **update: Any) -> Callable[[Lock], dict[str, Any]]:
    """Another version or text of a component."""
    return lambda lock: {"components": {**lock.components, name: lock.components[name].model_copy(update=update)}}


def reached(edit: Edit, update: Callable[[Lock], dict[str, Any]]) -> set[str]:
    """The lines that a change of the lock changes."""
    before = lines()
    edit(update)
    after = lines()
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def with_component(*names: str) -> set[str]:
    """The lines of the images of the lock that have one of the components."""
    rows = CATALOG.images.items()
    system, arch = KEY.split("-")
    return {f"{image} {system} {arch}" for image, row in rows if {*names} & {*row.parts}} & lines().keys()


@pytest.mark.parametrize("stack", CATALOG.stacks)
def test_the_checkout_has_the_lines_of_its_locks(stack: str) -> None:
    assert images.path_of_images(stack).read_text() == images.text(CATALOG, stack)
    images.check(CATALOG, stack)


def test_lines_are_sorted_and_leave_out_images_that_a_system_cannot_have() -> None:
    names = list(lines())
    assert names == sorted(names)
    assert f"parallelcluster-cpu {KEY.replace('-', ' ')}" in names
    # Neither has Neuron's packages, nor EKS its images.
    assert not [name for name in names if "neuron debian" in name or name.startswith("eks rocky9")]


@pytest.mark.parametrize("name", ["slurm", "nccl", "base"])
def test_another_version_of_a_component_reaches_the_images_that_have_it(edit: Edit, name: str) -> None:
    assert reached(edit, component(name, version="9")) == with_component(name) != set()


def test_another_package_reaches_the_images_whose_components_bring_it(edit: Edit) -> None:
    munge = locks.load(paths.lock_dir(STACK) / f"{KEY}.yml").packages["munge"]
    assert munge.by == ["slurm"]

    def newer(lock: Lock) -> dict[str, Any]:
        return {"packages": {**lock.packages, "munge": munge.model_copy(update={"version": "9"})}}

    assert reached(edit, newer) == with_component("slurm")


def test_another_wheel_reaches_the_images_whose_components_unpack_it(edit: Edit) -> None:
    def newer(lock: Lock) -> dict[str, Any]:
        name = lock.components["nccl"].wheels[0]
        return {"wheels": {**lock.wheels, name: lock.wheels[name].model_copy(update={"sha256": "0" * 64})}}

    assert reached(edit, newer) == with_component("nccl")


def test_another_reason_reaches_no_image(edit: Edit) -> None:
    assert reached(edit, component("slurm", why="Because.")) == set()


@pytest.mark.parametrize("spoil", ["lock", "line", "seal", "gone"])
def test_what_does_not_go_together_is_refused(edit: Edit, spoil: str) -> None:
    path = images.path_of_images(STACK)
    text = path.read_text()
    first = text.splitlines()[2]
    if spoil == "lock":
        edit(component("slurm", version="9"))
    elif spoil == "line":
        path.write_text(text.replace(first, f"{first[:-1]}{'1' if first[-1] == '0' else '0'}"))
    elif spoil == "seal":
        path.write_text(text.replace("# Seal: ", "# Seal: 0"))
    else:
        path.unlink()
    with pytest.raises(IngotError, match="have changed") as caught:
        images.check(CATALOG, STACK)
    assert caught.value.place == str(path)
    images.write(CATALOG, STACK)
    images.check(CATALOG, STACK)


def test_an_image_that_is_changed_in_the_catalog_is_noticed(tmp_path: Path) -> None:
    copy = shutil.copytree(paths.CATALOG, tmp_path / "catalog")
    rows = copy / "images.yml"
    rows.write_text(rows.read_text().replace("summary: ", "summary: Now, ") + "# a remark\n")
    images.check(read_catalog(copy), STACK)
    rows.write_text(rows.read_text().replace("      - slurm\n", "", 1))
    with pytest.raises(IngotError, match="have changed"):
        images.check(read_catalog(copy), STACK)


def test_a_team_s_images_are_not_of_ingot_s_stacks(tmp_path: Path) -> None:
    own = tmp_path / "team"
    own.mkdir()
    row = "{platform: ec2, accelerator: cpu, summary: Ours., roles: [base]}"
    (own / "images.yml").write_text(f"images:\n  ours: {row}\n")
    images.check(read_catalog(own=own), STACK)
