"""One image, booted with the PCI devices of one instance type after another: systemd says what started.

The image presents itself as Ubuntu 24.04, its packages are simulated, its modules are compiled for a real kernel, which
does not run here; systemd, conditions, udev's aliases and depmod are real. No condition asks DMI.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingot.catalog.instance_types import describe
from tests.rigs.kernels import with_kernel
from tests.rigs.locks import DRIVER, locked, with_driver
from tests.rigs.pci import BEYOND, devices_of, sees, tree
from tests.rigs.places import ask, converged
from tests.rigs.simulated.driver import LICENCES
from tests.rigs.systems import booted, container, docker, gateway, image
from tests.rigs.vendors import serving

# The table of all types is in tests/unit/roles/test_hardware_gates.py.
pytestmark = [pytest.mark.docker, pytest.mark.network, pytest.mark.slow]

FLAVOUR = "ingot-nvidia-flavour"
# What a GPU of NVIDIA's wants, and what a fabric between several.
GPU = {"nvidia-persistenced", "nvidia-dcgm", "nvidia-dcgm-exporter", "nvidia-cdi-refresh", "gdrcopy"}
FABRIC = {"fabricmanager": "nvidia-fabricmanager", "imex": "nvidia-imex"}
EFA = "ingot-efa-exporter"
NEED_DRIVER = {"gdrcopy", "nvidia-cdi-refresh", "nvidia-dcgm", *FABRIC.values()}
UNITS = sorted({FLAVOUR, EFA, *GPU, *FABRIC.values()})
ROLES = ["nvidia_driver", "gdrcopy", "fabricmanager", "nvlsm", "imex", "dcgm", "dcgm_exporter"]
ROLES += ["nvidia_container_toolkit", "efa_exporter"]
PARTS = ROLES[:-1]
# instance type: module, service of the fabric.
TYPES: dict[str, tuple[str, str]] = {
    "p3": ("closed", ""),
    "p4d.24xlarge": ("open", "fabricmanager"),
    "p5.48xlarge": ("open", "fabricmanager"),
    "p6-b200.48xlarge": ("open", "fabricmanager"),
    "p6e-gb200": ("open", "imex"),
    "g5.xlarge": ("closed", ""),
    "trn1.32xlarge": ("", ""),
    "trn2.48xlarge": ("", ""),
    "hpc7a.96xlarge": ("", ""),
    "c5n.large": ("", ""),
}
# A container runs on its host's kernel, and loads no modules into it.
KERNEL = """printf '#!/bin/sh\\necho {release}\\n' >/usr/local/bin/uname
printf '#!/bin/sh\\necho "$@" >>/run/modprobe\\n' >/usr/local/sbin/modprobe
chmod +x /usr/local/bin/uname /usr/local/sbin/modprobe
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, release: str) -> Iterator[str]:
    """The image with all that is gated by hardware."""
    lock = with_kernel(with_driver(locked("ubuntu2404"), "auto", DRIVER))
    given = {"kernel": lock.components["kernel"]}
    folder = tmp_path_factory.mktemp("rig") / "vendors"
    with serving(lock, PARTS, folder, gateway(), given=given) as vendors, container(image("ubuntu2404")) as host:
        converged(host, vendors, *ROLES)
        ask(host, KERNEL.format(release=release))
        name = docker("commit", host).strip()
    try:
        yield name
    finally:
        docker("rmi", name)


def states(host: str) -> dict[str, dict[str, str]]:
    """unit -> what systemd says of it."""
    wanted = "Id,ActiveState,Result,ExecMainStartTimestampMonotonic,UnitFileState"
    shown = ask(host, f"systemctl show --property {wanted} {' '.join(f'{unit}.service' for unit in UNITS)}")
    rows = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.split("\n\n")]
    return {row["Id"].removesuffix(".service"): row for row in rows}


def expected(name: str) -> set[str]:
    """The units whose program starts on an instance type, by the catalog."""
    module, fabric = TYPES[name]
    efa = 0 if name in BEYOND else describe(name)["efa"]
    return {FLAVOUR} | (GPU if module else set()) | ({FABRIC[fabric]} if fabric else set()) | ({EFA} if efa else set())


@pytest.mark.parametrize("name", TYPES)
def test_an_instance_type_gets_its_module_and_its_services_and_no_others(
    made: str, release: str, name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    module, _ = TYPES[name]
    with booted(made, sees(tree(tmp_path, devices_of(name)))) as host:
        found = states(host)
        started = {unit for unit, row in found.items() if row["ExecMainStartTimestampMonotonic"] != "0"}
        record_property("started", json.dumps(sorted(started)))
        assert started == expected(name), found
        # Each is enabled; what has nothing to do was asked, and has not failed.
        assert {row["UnitFileState"] for row in found.values()} == {"enabled"}
        asked = {(row["ActiveState"], row["Result"]) for unit, row in found.items() if unit not in started}
        assert asked <= {("inactive", "exec-condition")}
        # What asks for the loaded driver says that there is none in this kernel; all else runs, or has done its work.
        assert {unit for unit in started if found[unit]["Result"] != "success"} <= NEED_DRIVER
        flavour = ask(host, f"modinfo -k {release} -F license nvidia")
        assert flavour == LICENCES[module or "open"]
        options = ask(host, "cat /run/modprobe.d/ingot-nvidia.conf 2>/dev/null || true")
        assert options == ("options nvidia NVreg_EnableGpuFirmware=0" if name.startswith("g5.") else "")
        loaded = ask(host, "cat /run/modprobe 2>/dev/null || true").splitlines()
        assert ("gdrdrv" in loaded) == bool(module)
