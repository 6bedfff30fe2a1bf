"""The condition by which fabric manager and IMEX start, on the PCI devices of every known instance type."""

import subprocess
from pathlib import Path

import pytest

from ingot import paths
from ingot.instance_types import describe, read_types

PROGRAM = paths.ROOT / "roles" / "component" / "files" / "nvlink-fabric"
# What runs where the fabric is the machine's, the rack's, or where there is none.
SERVICE = {"fabricmanager": "host", "imex": "rack"}
GPU, SWITCH, NETWORK = "0x030200", "0x068000", "0x020000"


def tree(root: Path, devices: list[tuple[str, str, bytes]]) -> Path:
    """A folder like /sys with PCI devices: `vendor:device`, class, and vital product data."""
    for number, (pci, kind, vpd) in enumerate(devices):
        folder = root / "bus" / "pci" / "devices" / f"0000:{number:02x}:00.0"
        folder.mkdir(parents=True)
        vendor, device = pci.split(":")
        (folder / "vendor").write_text(f"0x{vendor}\n")
        (folder / "device").write_text(f"0x{device}\n")
        (folder / "class").write_text(f"{kind}\n")
        (folder / "vpd").write_bytes(vpd)
    return root


def devices_of(instance_type: str) -> list[tuple[str, str, bytes]]:
    """The devices of an instance type, as the catalog's sources name them."""
    facts = describe(instance_type)
    found = [(pci, GPU, b"") for pci in facts["pci"][:1]] * facts["devices"]
    found += [(pci, SWITCH, b"") for pci in facts["switch_pci"]]
    # Not every source names the switches' device; the class is what counts.
    if facts["nvswitch"] == "host" and not facts["switch_pci"]:
        found.append(("10de:ffff", SWITCH, b""))
    if facts["nvswitch"] == "bridge":
        found.append(("15b3:1021", "0x020700", b"\x82\x10\0\x90SMDL=SW_MNG\0\x78"))
    return [*found, ("1d0f:efa2", NETWORK, b"")]


def said(root: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run([PROGRAM, "--sysfs", root, *words], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize("instance_type", sorted(read_types().types))
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
