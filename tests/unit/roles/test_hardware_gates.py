"""The conditions by which services start, as roles write them, on the PCI devices of every known instance type."""

import subprocess
from pathlib import Path

import pytest
import yaml

from ingot import paths
from ingot.catalog.instance_types import describe, read_families
from tests.rigs.pci import NAMES, devices_of, tree

FAMILIES = read_families().families


def of(role: str, file: str) -> dict[str, object]:
    """A role's file of variables."""
    found: dict[str, object] = yaml.safe_load((paths.ROOT / "roles" / role / file).read_text())
    return found


HAS_NVIDIA = str(of("component", "defaults/main.yml")["component_has_nvidia"])
UNIT = (paths.ROOT / "roles" / "efa_exporter" / "templates" / "ingot-efa-exporter.service.j2").read_text()
HAS_EFA = next(line.partition("=")[2] for line in UNIT.splitlines() if line.startswith("ExecCondition="))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_for_nvidia_starts_where_its_gpus_are_and_efas_exporter_where_an_efa_is(
    name: str, tmp_path: Path
) -> None:
    root = tree(tmp_path, devices_of(name))

    def holds(condition: str) -> bool:
        assert "/sys/" in condition
        words = ["sh", "-c", condition.replace("/sys/", f"{root}/")]
        return subprocess.run(words, check=False).returncode == 0

    nvidia = describe(name)["accelerator"] == "nvidia"
    assert (holds(HAS_NVIDIA), holds(HAS_EFA)) == (nvidia, describe(name)["efa"] > 0)


def test_the_neuron_driver_is_loaded_for_the_devices_that_it_drives() -> None:
    drives = {f"1d0f:{device}" for device in of("neuron", "vars/main.yml")["neuron_devices"]}  # type: ignore[attr-defined]
    pci = {name: set(family.pci) for name, family in FAMILIES.items() if family.accelerator == "neuron"}
    # Its last driver is older than the lock's.
    assert {name for name, ids in pci.items() if not ids <= drives} == {"inf1"}
    others = {each for family in FAMILIES.values() if family.accelerator != "neuron" for each in family.pci}
    assert drives & others == set()
