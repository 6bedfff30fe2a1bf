"""What gathers and shows metrics: programs of Prometheus' projects in archives, Grafana's packages, DCGM's exporter."""

from collections.abc import Callable
from pathlib import Path

from ingot.model.lock import Lock, LockedComponent
from tests.rigs.packages import UNIT, Artifact, Content, Package, Wanted, package_file, tarball

# As those of https://github.com/prometheus/common/blob/main/version/info.go say it. The rig's promtool accepts what
# begins as a configuration does. What serves metrics or shows them answers on its port.
PROGRAM = """#!/bin/sh
# Simulated.
set -eu
if [ "${{1-}}" = --version ]; then
  echo "{name}, version {version} (branch: HEAD, revision: simulated)"
  exit
fi
if [ "${{1-}} ${{2-}}" = "check config" ]; then
  grep -q '^scrape_configs:' "$3"
  exit
fi
exec python3 {serves}
"""
METRICS = """-c 'from http.server import *
class Metrics(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"node_exporter_build_info{{version=\\"{version}\\"}} 1\\nnode_memory_MemTotal_bytes 1\\n")
HTTPServer(("", 9100), Metrics).serve_forever()'"""
SERVES = "-m http.server {where}"
WHERE = {
    "prometheus": "9090 --bind 127.0.0.1",
    "grafana": "3000 --bind 127.0.0.1",
    "promtool": "",
}
# Places: https://github.com/grafana/grafana/tree/main/packaging, of which deb and rpm differ in one.
GRAFANA = {
    "usr/share/grafana/conf/sample.ini": "; Simulated.\n",
    "usr/share/grafana/conf/defaults.ini": "; Simulated.\n",
}
DEFAULTS = {"apt": "etc/default/grafana-server", "rpm": "etc/sysconfig/grafana-server"}
# https://github.com/grafana/grafana/blob/main/packaging/deb/control/postinst, and rpm's beside it
MADE = """getent group grafana >/dev/null || groupadd --system grafana
getent passwd grafana >/dev/null || useradd --system --gid grafana --home-dir /usr/share/grafana grafana
mkdir -p /etc/grafana /var/log/grafana /var/lib/grafana
if [ ! -d /etc/grafana/provisioning ]; then
  mkdir -p /etc/grafana/provisioning/dashboards /etc/grafana/provisioning/datasources
fi
test -e /etc/grafana/grafana.ini || cp /usr/share/grafana/conf/sample.ini /etc/grafana/grafana.ini
chown -Rh root:grafana /etc/grafana/*
find /etc/grafana -type f -exec chmod 640 {} ';'
"""


def _program(name: str, version: str) -> str:
    serves = SERVES.format(where=WHERE[name]) if name in WHERE else METRICS.format(version=version)
    return PROGRAM.format(name=name, version=version, serves=serves)


def programs(*names: str) -> Artifact:
    """An archive of programs, of https://github.com/prometheus."""

    def make(entry: LockedComponent, _: Lock, file: Path, __: Callable[[str, Path], None]) -> None:
        files = {name: _program(name, entry.version) for name in names}
        tarball(file, {"LICENSE": "Simulated.\n", "NOTICE": "Simulated.\n"} | files)

    return make


def _grafana(entry: LockedComponent, lock: Lock, file: Path, run: Callable[[str, Path], None]) -> None:
    """The free edition as a package of Debian, the enterprise one as an rpm."""
    wanted = (
        Wanted("grafana", entry.version, "apt", lock)
        if file.suffix == ".deb"
        else Wanted("grafana-enterprise", f"{entry.version}-1", "rpm", lock)
    )
    unit = UNIT.format(name="Grafana", program="/usr/sbin/grafana-server")
    files = GRAFANA | {"usr/sbin/grafana-server": _program("grafana", entry.version)}
    files |= {"usr/lib/systemd/system/grafana-server.service": unit, DEFAULTS[wanted.kind]: "# Simulated.\n"}
    needs = ["adduser"] if wanted.kind == "apt" else []
    package_file(wanted, Package(files, needs=needs, scripts={"postinst": MADE}), file, run)


def _dcgm_exporter(_: Wanted) -> Package:
    """Its unit and files: https://github.com/NVIDIA/dcgm-exporter/tree/main/packaging."""
    unit = UNIT.format(name="exporter", program="/usr/bin/dcgm-exporter -f /etc/dcgm-exporter/default-counters.csv")
    files = {
        "usr/bin/dcgm-exporter": "#!/bin/sh\n# Simulated.\nexec sleep infinity\n",
        "etc/dcgm-exporter/default-counters.csv": "# Simulated.\n",
        "usr/lib/systemd/system/nvidia-dcgm-exporter.service": unit,
    }
    return Package(files)


ARTIFACTS: dict[str, Artifact] = {
    "node_exporter": programs("node_exporter"),
    "prometheus": programs("prometheus", "promtool"),
    "grafana": _grafana,
}
PACKAGES: dict[str, Content] = {"datacenter-gpu-manager-exporter": _dcgm_exporter}
