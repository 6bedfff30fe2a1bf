"""AWS Neuron is of one release of the SDK; its module is built for the image's kernel and loads where a device is."""

import json
from typing import Any

import pytest
from testinfra.host import Host

from ingot.catalog.instance_types import read_families
from ingot.model.lock import LockedComponent

DRIVEN = sorted(
    {
        device
        for family in read_families().families.values()
        for device in family.pci
        # The first Inferentia is not driven any more: neuron-inferentia-1 in the catalog.
        if family.accelerator == "neuron" and family.generation != "inferentia"
    }
)


def test_packages_are_those_of_the_lock(drift: dict[str, str]) -> None:
    assert drift == {}


def test_packages_are_held(pin: LockedComponent, installed: dict[str, Any]) -> None:
    assert [name for name in pin.packages if not installed[name].held] == []


def test_the_release_of_the_sdk_is_written_down(host: Host, pin: LockedComponent, installed: dict[str, Any]) -> None:
    written = json.loads(host.check_output("cat /usr/share/ingot/neuron.json"))
    assert written == {"version": pin.version, "packages": {name: installed[name].version for name in pin.packages}}


def test_the_module_is_made_for_the_image_kernel(host: Host, pin: LockedComponent, release: str) -> None:
    said = host.check_output(f"modinfo -k {release} -F vermagic {pin.facts['module_name']}")
    assert said.split()[0] == release


@pytest.mark.parametrize("device", DRIVEN)
def test_a_device_brings_its_module(host: Host, pin: LockedComponent, release: str, device: str) -> None:
    """udev asks for the module of each device's alias; so it loads where there is a device, and only there."""
    vendor, number = device.upper().split(":")
    alias = f"pci:v0000{vendor}d0000{number}sv00000000sd00000000bc08sc80i00"
    assert host.check_output(f"modprobe --set-version {release} --resolve-alias {alias}") == pin.facts["module_name"]


def test_it_is_not_loaded_at_every_boot(host: Host) -> None:
    assert host.run("grep -rhs ^neuron /etc/modules /etc/modules-load.d /usr/lib/modules-load.d").stdout == ""


def test_users_may_open_its_devices(host: Host) -> None:
    assert 'MODE="0666"' in host.check_output("grep -rhs 'KERNEL==\"neuron' /etc/udev/rules.d /usr/lib/udev/rules.d")


@pytest.mark.parametrize("library", ["libnrt.so.1", "libnccom.so.2"])
def test_programs_find_the_libraries(host: Host, library: str) -> None:
    assert f"=> /opt/aws/neuron/lib/{library}" in host.check_output("/sbin/ldconfig --print-cache")


def test_people_find_the_tools(host: Host) -> None:
    assert host.check_output("bash -l -c %s", "command -v neuron-ls") == "/opt/aws/neuron/bin/neuron-ls"


def test_nothing_of_cuda_is_there(host: Host, installed: dict[str, Any], brought: dict[str, Any]) -> None:
    if "nvidia_driver" in brought:
        pytest.skip("the platform's base image is one for all accelerators, and brings NVIDIA's driver")
    assert [name for name in installed if name.startswith(("cuda-", "nvidia-", "libnccl"))] == []
    assert not host.file("/usr/local/cuda").exists
