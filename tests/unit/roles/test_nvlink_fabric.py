"""The condition by which fabric manager and IMEX start, on the PCI devices of every known instance type."""

import subprocess
from pathlib import Path

import pytest

from ingot import paths
from ingot.catalog.instance_types import describe
from tests.rigs.pci import GPU, NAMES, devices_of, tree

PROGRAM = paths.ROOT / "roles" / "component" / "files" / "nvlink-fabric"
# What runs where the fabric is the machine's, the rack's, or where there is none.
SERVICE = {"fabricmanager": "host", "imex": "rack"}


def said(root: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run([PROGRAM, "--sysfs", root, *words], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize("instance_type", NAMES)
def test_each_instance_type_starts_the_services_that_the_catalog_names(instance_type: str, tmp_path: Path) -> None:
    root = tree(tmp_path, devices_of(instance_type))
    services = describe(instance_type)["services"]
    expected = next((SERVICE[name] for name in services if name in SERVICE), "none")
    assert said(root) == (0, expected)
    assert {word: said(root, word)[0] == 0 for word in ("host", "rack")} == {
        word: word == expected for word in ("host", "rack")
    }


def test_an_ordinary_network_card_of_the_same_maker_is_no_fabric(tmp_path: Path) -> None:
    root = tree(tmp_path, [("15b3:1021", "0x020700", b"SMDL=ConnectX-7"), ("10de:2901", GPU, b"")])
    assert said(root) == (0, "none")


def test_where_a_card_does_not_say_what_it_is_fabric_manager_is_to_find_out(tmp_path: Path) -> None:
    root = tree(tmp_path, [("15b3:1021", "0x020700", b"")])
    vpd = root / "bus/pci/devices/0000:00:00.0/vpd"
    vpd.unlink()
    assert said(root) == (0, "none")
    vpd.mkdir()
    done = subprocess.run([PROGRAM, "--sysfs", root, "host"], capture_output=True, text=True, check=False)
    assert (done.returncode, "vpd" in done.stderr) == (0, True)


def test_a_machine_without_pci_has_none(tmp_path: Path) -> None:
    assert said(tmp_path) == (0, "none")
    assert said(tmp_path, "host") == (1, "")
