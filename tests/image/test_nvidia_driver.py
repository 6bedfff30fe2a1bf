"""The NVIDIA driver of the lock is built for the image's kernel and loads as far as the hardware allows."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

from ingot.model.lock import LockedComponent


@pytest.fixture(scope="module")
def modules(host: Host, release: str) -> dict[str, dict[str, str]]:
    """What modinfo says of every nvidia module of the image's kernel: name -> vermagic, version."""
    text = host.check_output(f"modinfo $(find /lib/modules/{release} -name 'nvidia*.ko*' ! -path '*/kernel/*')")
    facts: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key == "filename":
            module = facts.setdefault(value.strip().rsplit("/", 1)[-1].split(".")[0], {})
        elif key in ("vermagic", "version", "license"):
            module[key] = value.strip()
    return facts


def test_packages_are_those_of_the_lock(drift: dict[str, str]) -> None:
    assert drift == {}


def test_packages_are_held(pin: LockedComponent, installed: dict[str, Any]) -> None:
    assert [name for name in pin.packages if name in installed and not installed[name].held] == []


def test_the_module_of_the_lock_is_there(modules: dict[str, Any], pin: LockedComponent) -> None:
    assert pin.facts["module_name"] in modules


def test_every_module_is_made_for_the_image_kernel(modules: dict[str, Any], release: str) -> None:
    assert {name: facts["vermagic"].split()[0] for name, facts in modules.items()} == dict.fromkeys(modules, release)


def test_every_module_is_of_the_driver_version(modules: dict[str, Any], pin: LockedComponent) -> None:
    versions = {name: facts["version"] for name, facts in modules.items() if "version" in facts}
    assert pin.facts["module_name"] in versions
    assert versions == dict.fromkeys(versions, pin.version)


def test_modules_are_of_the_flavour_of_the_lock(modules: dict[str, Any], pin: LockedComponent) -> None:
    licence = modules[str(pin.facts["module_name"])]["license"]
    assert (licence == "NVIDIA") == (pin.facts["module"] == "closed")


def test_the_name_nvidia_leads_to_it(host: Host, release: str, pin: LockedComponent) -> None:
    shown = host.check_output("modprobe --set-version %s --show-depends nvidia", release)
    # Debian leads there by a command, `install nvidia modprobe -i MODULE`, others by the file's name.
    assert re.search(rf"\b{pin.facts['module_name']}\b", shown)


@pytest.mark.parametrize("library", ["libcuda.so.1", "libnvidia-ml.so.1"])
def test_programs_find_the_library_of_the_same_version(host: Host, pin: LockedComponent, library: str) -> None:
    """Debian's CUDA brings libraries of another driver along; against this module they fail to initialise."""
    found = host.check_output("ldconfig --print-cache | grep -F %s", library).split()[-1]
    assert host.check_output("realpath %s", found).endswith(f"{library.removesuffix('.1')}.{pin.version}")


def test_the_other_flavour_is_there_where_the_gpu_chooses(
    host: Host, release: str, pin: LockedComponent, unit_files: dict[str, str]
) -> None:
    if pin.facts["module"] != "auto":
        pytest.skip(f"the image has one flavour: facts.module is {pin.facts['module']}")
    assert unit_files.get("ingot-nvidia-flavour.service") == "enabled"
    closed = f"/lib/modules/{release}/ingot-nvidia-closed/nvidia.ko*"
    assert host.check_output(f"modinfo -F license {closed}") == "NVIDIA"
    assert host.check_output(f"modinfo -F version {closed}") == pin.version
    assert host.check_output(f"modinfo -F vermagic {closed}").split()[0] == release


def test_dkms_has_the_driver_once_and_nothing_half_built(host: Host, release: str, pin: LockedComponent) -> None:
    lines = host.check_output("dkms status -k %s | grep ^nvidia", release).splitlines()
    states = {line.split(",")[0]: line.rpartition(": ")[2] for line in lines}
    ahead = {f"nvidia-closed/{pin.version}": "built"} if pin.facts["module"] == "auto" else {}
    assert states == {f"{pin.facts['dkms']}/{pin.version}": "installed", **ahead}


def test_nouveau_is_kept_out(host: Host) -> None:
    rules = host.check_output("modprobe --showconfig | grep -w nouveau; true").splitlines()
    assert "blacklist nouveau" in rules


def test_it_is_loaded_for_a_gpu_and_not_at_every_boot(host: Host) -> None:
    """Loading it in vain makes every boot of a machine without a GPU longer, by 20 s where it is emulated."""
    assert host.run("grep -rhs ^nvidia /etc/modules /etc/modules-load.d /usr/lib/modules-load.d").stdout == ""


@pytest.mark.machine
@pytest.mark.no_gpu
def test_without_a_gpu_the_module_loads_and_finds_no_device(host: Host) -> None:
    """The kernel links a module before it asks for hardware: this error says that every symbol was found."""
    tried = host.run("dmesg --clear; modprobe nvidia")
    assert tried.rc != 0
    assert "No such device" in tried.stderr
    log = host.check_output("dmesg")
    assert "NVRM: No NVIDIA GPU found" in log
    assert "Unknown symbol" not in log


@pytest.mark.booted
@pytest.mark.no_gpu
def test_without_a_gpu_its_units_are_inactive_not_failed(host: Host, unit_files: dict[str, str]) -> None:
    units = [unit for unit in unit_files if unit.startswith("nvidia-") and unit.endswith(".service")]
    assert "nvidia-persistenced.service" in units
    states = {unit: host.run("systemctl is-active %s", unit).stdout.strip() for unit in units if "@" not in unit}
    assert states == dict.fromkeys(states, "inactive")


def test_the_persistence_daemon_starts_where_there_is_a_gpu(unit_files: dict[str, str]) -> None:
    assert unit_files.get("nvidia-persistenced.service") == "enabled"


@pytest.mark.gpu
@pytest.mark.machine
def test_the_gpu_answers_with_the_driver_of_the_lock(
    host: Host, pin: LockedComponent, eventually: Callable[..., None]
) -> None:
    versions = host.check_output("nvidia-smi --query-gpu=driver_version --format=csv,noheader").split()
    assert versions
    assert set(versions) == {pin.version}
    active = "systemctl is-active nvidia-persistenced.service"
    eventually(lambda: host.run(active).rc == 0, within=30, what="the persistence daemon is active")
