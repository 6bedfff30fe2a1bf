"""What gathers and shows metrics is the lock's, and the real Prometheus accepts its settings."""

import pytest
import yaml

from ingot import paths
from tests.rigs.locks import locked
from tests.rigs.places import Make, ask, converge, converged_twice
from tests.rigs.suite import suite
from tests.rigs.systems import container, docker, prepared

pytestmark = [pytest.mark.docker, pytest.mark.network]

ROLES = ["node_exporter", "prometheus", "grafana", "dcgm_exporter"]
OTHERS = ["ubuntu2204", "al2023", "rocky9", "rhel9"]
NAMES = ["ubuntu2404", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
PROGRAMS = {"node_exporter": "node_exporter", "prometheus": "promtool"}


@pytest.mark.parametrize("name", NAMES)
def test_what_watches_a_cluster_is_as_the_lock_has_it_and_a_second_time_changes_nothing(place: Make, name: str) -> None:
    vendors, host = place(locked(name))
    # Without what needs a repository that is not there yet.
    checked = converge(host, vendors, *ROLES[:-1], check=True)
    assert checked.returncode == 0, checked.stdout
    ask(host, "test ! -e /usr/local/bin/promtool && test ! -e /etc/prometheus && test ! -e /etc/grafana")
    converged_twice(host, vendors, *ROLES)
    assert ask(host, "find /dev/shm/ingot-files -mindepth 1") == ""
    verified = suite(host, vendors.lock_file, ROLES)
    assert verified.returncode == 0, verified.stdout
    # What is simulated accepts more than what is real does.
    settings = ask(host, "cat /etc/prometheus/prometheus.yml")
    with container(prepared("ubuntu2404", ("prometheus",))) as real:
        docker("exec", "-i", real, "promtool", "check", "config", "/dev/stdin", stdin=settings + "\n")


def test_prometheus_reads_the_ports_that_exporters_serve() -> None:
    def of(role: str, file: str) -> dict[str, object]:
        found: dict[str, object] = yaml.safe_load((paths.ROOT / "roles" / role / file).read_text())
        return found

    gathers = of("prometheus", "vars/main.yml")
    ports = gathers["prometheus_exporters"]
    assert isinstance(ports, dict)
    assert ports["efa"] == of("efa_exporter", "defaults/main.yml")["efa_exporter_port"]
    assert ports["node"] == of("node_exporter", "vars/main.yml")["node_exporter_port"]
    for role, file in (("prometheus", "prometheus.service"), ("grafana", "datasource.yml")):
        assert f"127.0.0.1:{gathers['prometheus_port']}\n" in (paths.ROOT / "roles" / role / "files" / file).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("role", PROGRAMS)
def test_another_version_replaces_a_program(place: Make, role: str) -> None:
    vendors, host = place(locked("ubuntu2404"))
    program = f"/usr/local/bin/{PROGRAMS[role]}"
    ask(host, f"printf '#!/bin/sh\\necho {PROGRAMS[role]}, version 1.0.0 now\\n' >{program} && chmod +x {program}")
    assert converge(host, vendors, role).returncode == 0
    assert f"version {vendors.lock.components[role].version} " in ask(host, f"{program} --version")
