"""Docker's own packages. Programs say their version and no more, daemons wait: nothing of it runs containers.

File lists and what packages need: docker/docker-ce-packaging, deb/common/rules and control, rpm/SPECS/docker-ce.spec;
docker/containerd-packaging, debian/rules and control.
"""

from tests.rigs.packages import Content, Package, Wanted

PROGRAM = """#!/bin/sh
# Simulated.
set -eu
case ${{1-}} in
  --version) echo "Docker version {upstream}, build simulated"; exit ;;
esac
case $0 in
  */dockerd | */containerd) exec sleep infinity ;;
  *) echo "{name} is simulated: it runs nothing" >&2; exit 1 ;;
esac
"""
UNIT = """[Unit]
Description=Simulated {name}

[{section}]
{line}

[Install]
WantedBy={target}
"""
DAEMON = {"section": "Service", "line": "ExecStart=/usr/bin/dockerd -H fd://", "target": "multi-user.target"}
SOCKET = {"section": "Socket", "line": "ListenStream=/run/docker.sock", "target": "sockets.target"}
CONTAINERD = {"section": "Service", "line": "ExecStart=/usr/bin/containerd", "target": "multi-user.target"}
# What debhelper adds to a package with units; a package of rpm leaves it to the system's presets.
ENABLE = "deb-systemd-helper enable {units} >/dev/null\n"


def _package(programs: list[str], units: dict[str, dict[str, str]], needs: list[str] | None = None) -> Content:
    def content(wanted: Wanted) -> Package:
        # The epoch, and what comes behind: 5:29.8.1-1~ubuntu.24.04~noble.
        words = {"name": wanted.name, "upstream": wanted.upstream}
        files = {f"usr/{path}": PROGRAM.format(**words) for path in programs}
        files |= {f"usr/lib/systemd/system/{name}": UNIT.format(name=name, **unit) for name, unit in units.items()}
        package = Package(files, needs=(needs or []) if wanted.kind == "apt" else [])
        if units and wanted.kind == "apt":
            package.scripts["postinst"] = ENABLE.format(units=" ".join(units))
        return package

    return content


PACKAGES = {
    "docker-ce": _package(
        ["bin/dockerd", "bin/docker-proxy", "bin/docker-init"],
        {"docker.service": DAEMON, "docker.socket": SOCKET},
        ["containerd.io", "docker-ce-cli", "iptables", "nftables"],
    ),
    "docker-ce-cli": _package(["bin/docker"], {}),
    "containerd.io": _package(
        ["bin/containerd", "bin/containerd-shim-runc-v2", "bin/ctr", "bin/runc"], {"containerd.service": CONTAINERD}
    ),
    "docker-buildx-plugin": _package(["libexec/docker/cli-plugins/docker-buildx"], {}),
    "docker-compose-plugin": _package(["libexec/docker/cli-plugins/docker-compose"], {}),
    # Amazon Linux has its own, in three packages.
    "docker": _package(
        ["bin/docker", "bin/dockerd", "bin/docker-proxy"], {"docker.service": DAEMON, "docker.socket": SOCKET}
    ),
    "containerd": _package(
        ["bin/containerd", "bin/containerd-shim-runc-v2", "bin/ctr"], {"containerd.service": CONTAINERD}
    ),
    "runc": _package(["bin/runc"], {}),
}
