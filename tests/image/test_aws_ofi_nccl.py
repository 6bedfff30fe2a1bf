"""NCCL finds the plugin by which it uses EFA, and its tuner, by name; there is one of them, of the lock's version."""

import pytest
from testinfra.host import Host

from ingot.model.lock import LockedComponent

HOME = "/opt/amazon/ofi-nccl/"


@pytest.fixture
def linked(host: Host) -> dict[str, str]:
    """Every library of the plugin that the linker finds: name -> file."""
    lines = host.check_output("ldconfig -p").splitlines()
    found = ((line.split()[0], line.split()[-1]) for line in lines if " => " in line)
    return {name: file for name, file in found if name.startswith(("libnccl-net", "libnccl-tuner", "libnccl-ofi"))}


@pytest.mark.parametrize(
    "names", [("libnccl-net.so", "libnccl-net-ofi.so"), ("libnccl-tuner-ofi.so", "libnccl-ofi-tuner.so")], ids=str
)
def test_nccl_finds_it_by_name(linked: dict[str, str], names: tuple[str, ...]) -> None:
    """By a name that it looks for by itself, or at `ofi` of NCCL_NET_PLUGIN and NCCL_TUNER_PLUGIN; releases differ."""
    found = [linked[name] for name in names if name in linked]
    assert found
    assert all(file.startswith(HOME) for file in found)


def test_the_plugin_is_of_the_lock(host: Host, linked: dict[str, str], pin: LockedComponent) -> None:
    """The plugin logs its version when NCCL loads it."""
    said = host.check_output("grep -aoE 'aws-ofi-nccl [0-9]+(\\.[0-9]+)+' %s", linked["libnccl-net-ofi.so"])
    assert set(said.splitlines()) == {f"aws-ofi-nccl {pin.version}"}


def test_it_is_a_plugin_for_nccl(host: Host, linked: dict[str, str]) -> None:
    assert host.run("grep -aqE 'ncclNetPlugin_v[0-9]+' %s", linked["libnccl-net-ofi.so"]).rc == 0


def test_there_is_one_plugin(host: Host) -> None:
    """Which of several NCCL loads would depend on the order of folders."""
    places = host.check_output("find / -xdev -name 'libnccl-net-ofi.so' -printf '%h\\n'")
    assert len(places.splitlines()) == 1
