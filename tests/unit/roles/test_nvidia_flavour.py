"""Which flavour of NVIDIA's module a machine takes, by the PCI devices of every known instance type."""

import subprocess
from pathlib import Path

import pytest

from ingot import paths
from ingot.catalog.instance_types import family as family_facts
from ingot.catalog.instance_types import read_families
from tests.rigs.pci import GPU, NAMES, SWITCH, devices_of, tree

PROGRAM = paths.ROOT / "roles" / "nvidia_driver" / "files" / "nvidia-flavour"


def said(root: Path) -> str:
    """What the program says of a tree of PCI devices."""
    done = subprocess.run([PROGRAM, "--sysfs", root], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize("instance_type", NAMES)
def test_each_instance_type_takes_the_flavour_that_the_catalog_names(instance_type: str, tmp_path: Path) -> None:
    family = family_facts(instance_type)
    expected = family.module if family.module in ("open", "closed") else family.module_of_eks
    assert said(tree(tmp_path, devices_of(instance_type))) == (expected or "none")


@pytest.mark.parametrize(
    ("instance_type", "flavour"),
    [
        ("p3dn.24xlarge", "closed"),
        ("p4d.24xlarge", "open"),
        ("p5.48xlarge", "open"),
        ("p6-b200.48xlarge", "open"),
        ("g5.xlarge", "closed"),
        ("trn1.32xlarge", "none"),
        ("hpc7a.96xlarge", "none"),
    ],
)
def test_the_types_that_people_ask_about(instance_type: str, flavour: str, tmp_path: Path) -> None:
    assert said(tree(tmp_path, devices_of(instance_type))) == flavour


def test_every_nvidia_gpu_of_the_catalog_is_known_by_its_id() -> None:
    gpus = {name: family for name, family in read_families().families.items() if family.accelerator == "nvidia"}
    assert [name for name, family in gpus.items() if not family.pci and "pci" not in family.unknown] == []


def test_p3_with_16_gb_takes_the_closed_one_as_well(tmp_path: Path) -> None:
    assert said(tree(tmp_path, [("10de:1db1", GPU, b"")] * 8)) == "closed"


def test_a_gpu_that_is_not_known_takes_the_open_one_and_a_switch_alone_none(tmp_path: Path) -> None:
    assert said(tree(tmp_path / "new", [("10de:ffff", GPU, b"")])) == "open"
    assert said(tree(tmp_path / "switch", [("10de:22a3", SWITCH, b"")])) == "none"


def test_one_gpu_that_only_the_closed_one_drives_decides(tmp_path: Path) -> None:
    assert said(tree(tmp_path, [("10de:1db5", GPU, b""), ("10de:2330", GPU, b"")])) == "closed"
