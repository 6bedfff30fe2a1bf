"""NVIDIA's services: fabric manager, IMEX and DCGM."""

from tests.rigs.packages import UNIT, Content, Package, Wanted

# It refuses a driver of another version: https://docs.nvidia.com/datacenter/tesla/fabric-manager-user-guide/ and
# https://docs.nvidia.com/multi-node-nvlink-systems/imex-guide/gettingstarted.html
DAEMON = """#!/bin/sh
# Simulated.
set -eu
if ! grep -qs ' {upstream} ' /proc/driver/nvidia/version; then
  echo "{name}: the loaded driver is not {upstream}" >&2
  exit 1
fi
exec sleep infinity
"""


def service(program: str, unit: str, configuration: str = "") -> Content:
    """A package of a service that refuses to run beside another version of the driver."""

    def content(wanted: Wanted) -> Package:
        # Where systemd looks on both families; https://packages.ubuntu.com lists them below /lib, a link to /usr/lib.
        files = {
            program: DAEMON.format(name=wanted.name, upstream=wanted.upstream),
            f"usr/lib/systemd/system/{unit}": UNIT.format(name=wanted.name, program=f"/{program}"),
        }
        return Package(files | ({configuration: "# Simulated.\n"} if configuration else {}))

    return content


# File lists: https://packages.ubuntu.com, nvidia-fabricmanager-550; the IMEX guide as above;
# https://docs.nvidia.com/datacenter/dcgm/latest/reference/command-line-reference/nv-hostengine.html
PACKAGES = {
    "nvidia-fabricmanager": service(
        "usr/bin/nv-fabricmanager",
        "nvidia-fabricmanager.service",
        "usr/share/nvidia/nvswitch/fabricmanager.cfg",
    ),
    "nvidia-imex": service("usr/bin/nvidia-imex", "nvidia-imex.service", "etc/nvidia-imex/nodes_config.cfg"),
    "datacenter-gpu-manager-4-core": service("usr/bin/nv-hostengine", "nvidia-dcgm.service"),
}
