"""The subnet manager of NVLink is of the lock; fabric manager starts it, and loads its module before."""

from testinfra.host import Host

from ingot.model.lock import LockedComponent


def test_packages_are_those_of_the_lock(drift: dict[str, str]) -> None:
    assert drift == {}


def test_fabric_manager_loads_its_module_first(host: Host, pin: LockedComponent) -> None:
    settings = host.file("/etc/systemd/system/nvidia-fabricmanager.service.d/ingot-nvlsm.conf").content_string
    assert f"modprobe {pin.facts['module']}" in settings
