"""What a command is about is checked once, at the door, and a build that cannot end well is refused there."""

import pytest

from ingot.catalog.read import read_catalog
from ingot.errors import IngotError, UsageError
from ingot.lock import select
from ingot.model.target import ImageSelection

CATALOG = read_catalog()
STACK = CATALOG.newest_stack


def selected(name: str, os_name: str = "ubuntu2404") -> ImageSelection:
    return select.image(CATALOG, CATALOG.target(STACK, os_name, "x86_64"), name)


def test_a_selection_holds_its_own_part_of_the_lock() -> None:
    selection = selected("ec2-cpu")
    assert set(selection.lock.components) <= set(selection.image.parts)
    assert selection.base == "ec2"
    assert selection.tag == "ingot/ec2-cpu:ubuntu2404-x86_64"


def test_what_the_base_image_brings_is_not_built_upon_it() -> None:
    selection = selected("parallelcluster")
    assert {"nvidia_driver", "efa"} <= set(selection.brought)
    assert not set(selection.brought) & set(selection.on_base.image.roles)
    assert not set(selection.brought) & set(selection.on_base.lock.components)


def test_what_a_lock_lacks_is_named_part_by_part_with_the_command_that_records_it() -> None:
    selection = selected("ec2-cpu")
    said = r"ec2-cpu for ubuntu2404-x86_64 is not fully resolved: lustre \(unresolved: its version, "
    with pytest.raises(IngotError, match=said) as caught:
        select.require_complete(selection, selection.lock)
    # A pinned key and the base image are enough.
    assert "docker (" not in caught.value.message
    assert "kernel (" not in caught.value.message
    assert caught.value.place == str(selection.lock_path)
    assert f"ingot lock record --os ubuntu2404 --arch x86_64 --stack {STACK}" in caught.value.hint


def test_a_frozen_build_wants_digests_and_the_name_of_the_base_image() -> None:
    selection = selected("ec2-cpu")
    with pytest.raises(IngotError, match=r"is not frozen: .*docker \(signature: its packages' digests\)") as caught:
        select.require_complete(selection, selection.lock, base="ec2", frozen=True)
    assert "its base image ec2 (its name)" in caught.value.message
    assert "kernel (" not in caught.value.message
    select.require_complete(selected("ec2-cpu", "debian12"), selected("ec2-cpu", "debian12").lock, frozen=True)


def test_an_image_without_the_driver_of_its_accelerator_is_refused() -> None:
    selection = selected("ec2-neuron", "debian13")
    with pytest.raises(IngotError, match="debian13-x86_64 has no neuron: ") as caught:
        select.require_complete(selection, selection.lock)
    assert "--os" in caught.value.hint


def test_a_container_is_of_its_accelerators_system_where_none_is_named() -> None:
    assert select.container(CATALOG, "fsdp", STACK).target.os == "debian13"
    assert select.container(CATALOG, "fsdp", STACK, accelerator="nvidia").target.os == "ubuntu2404"
    with pytest.raises(UsageError, match="no container is built for 'tpu'"):
        select.container(CATALOG, "fsdp", STACK, accelerator="tpu")
