"""A browser on the head node shows the cluster's metrics; nobody else reaches Grafana before its password is set."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

from ingot.model.lock import LockedComponent

UNIT = "grafana-server.service"


def test_it_is_of_the_lock(installed: dict[str, Any], pin: LockedComponent) -> None:
    found = [installed[name].version for name in ("grafana", "grafana-enterprise") if name in installed]
    assert [version.partition("-")[0] for version in found] == [pin.version]


def test_it_has_a_dashboard_of_the_prometheus_beside_it(host: Host) -> None:
    dashboard = json.loads(host.file("/usr/share/ingot/dashboards/cluster.json").content_string)
    source = host.file("/etc/grafana/provisioning/datasources/ingot.yml").content_string
    assert {f"uid: {panel['datasource']['uid']}" in source for panel in dashboard["panels"]} == {True}
    assert "/usr/share/ingot/dashboards" in host.file("/etc/grafana/provisioning/dashboards/ingot.yml").content_string


def test_it_starts_at_boot(unit_files: dict[str, str]) -> None:
    assert unit_files.get(UNIT) == "enabled"


def test_it_listens_where_the_role_says(host: Host) -> None:
    settings = host.file(f"/etc/systemd/system/{UNIT}.d/ingot.conf").content_string
    assert "Environment=GF_SERVER_HTTP_ADDR=" in settings


@pytest.mark.booted
def test_it_runs(host: Host, eventually: Callable[..., None]) -> None:
    eventually(lambda: host.run(f"systemctl is-active {UNIT}").rc == 0, within=60, what="Grafana is active")
