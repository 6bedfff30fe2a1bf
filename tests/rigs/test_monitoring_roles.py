"""What gathers and shows metrics, converged against simulated vendors; its settings are checked by real programs."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import yaml
from suite import suite
from systems import container, docker, gateway, image, prepared
from systems import converge as run_play
from vendors import Vendors, serving

from ingot import lock as locks
from ingot import paths

pytestmark = [pytest.mark.docker, pytest.mark.network]

ROLES = ["node_exporter", "prometheus", "grafana", "dcgm_exporter"]
OTHERS = ["ubuntu2204"]
NAMES = ["ubuntu2404", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
PROGRAMS = {"node_exporter": "node_exporter", "prometheus": "promtool"}

Make = Callable[[str], tuple[Vendors, str]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Vendors]]:
    """The vendors of a system's lock, served once."""
    made: dict[str, Vendors] = {}
    with ExitStack() as stack:

        def serve(name: str) -> Vendors:
            if name not in made:
                lock = locks.load(paths.LOCKS / "2026.11" / f"{name}-x86_64.yml")
                folder = tmp_path_factory.mktemp("rig") / "vendors"
                made[name] = stack.enter_context(serving(lock, ROLES, folder, gateway()))
            made[name].faults.clear()
            return made[name]

        yield serve


@pytest.fixture
def place(served: Callable[[str], Vendors]) -> Iterator[Make]:
    """Vendors of a system, and a container that presents itself as it."""
    with ExitStack() as stack:
        yield lambda name: (served(name), stack.enter_context(container(image(name))))


def converge(host: str, vendors: Vendors, *roles: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    """Apply roles; what Ansible says."""
    play = vendors.folder / "play.yml"
    play.write_text("- hosts: all\n  roles:\n" + "".join(f"    - ingot.ml.{role}\n" for role in roles))
    return run_play(host, play, vendors.lock_file, {}, *(["--check", "--diff"] if check else []))


def ask(host: str, script: str) -> str:
    """What a shell in the container says."""
    return docker("exec", host, "sh", "-euc", script).strip()


@pytest.mark.parametrize("name", NAMES)
def test_what_watches_a_cluster_is_as_the_lock_has_it_and_a_second_time_changes_nothing(place: Make, name: str) -> None:
    vendors, host = place(name)
    # Without what needs a repository that is not there yet.
    checked = converge(host, vendors, *ROLES[:-1], check=True)
    assert checked.returncode == 0, checked.stdout
    ask(host, "test ! -e /usr/local/bin/promtool && test ! -e /etc/prometheus && test ! -e /etc/grafana")
    first = converge(host, vendors, *ROLES)
    assert first.returncode == 0, first.stdout
    assert ask(host, "find /dev/shm/ingot-files -mindepth 1") == ""
    second = converge(host, vendors, *ROLES)
    assert "changed=0 " in second.stdout, second.stdout
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

    ports = of("prometheus", "vars/main.yml")["prometheus_exporters"]
    assert isinstance(ports, dict)
    assert ports["efa"] == of("efa_exporter", "defaults/main.yml")["efa_exporter_port"]


@pytest.mark.parametrize("fault", ["altered", pytest.param(404, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "role", ["node_exporter", *(pytest.param(role, marks=pytest.mark.slow) for role in ("prometheus", "grafana"))]
)
def test_a_file_that_is_not_the_locks_is_refused_and_the_next_run_succeeds(
    place: Make, role: str, fault: int | str
) -> None:
    vendors, host = place("ubuntu2404")
    artifact = vendors.lock.components[role].artifact
    assert artifact
    file = artifact.url.rpartition("/")[2]
    vendors.faults[file] = [fault] * 9
    done = converge(host, vendors, role)
    assert done.returncode != 0
    assert file in done.stdout
    assert ask(host, "find /dev/shm/ingot-files /usr/local/bin /etc/grafana -mindepth 1 2>/dev/null | cat") == ""
    vendors.faults.clear()
    assert converge(host, vendors, role).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("role", PROGRAMS)
def test_another_version_replaces_a_program(place: Make, role: str) -> None:
    vendors, host = place("ubuntu2404")
    program = f"/usr/local/bin/{PROGRAMS[role]}"
    ask(host, f"printf '#!/bin/sh\\necho {PROGRAMS[role]}, version 1.0.0 now\\n' >{program} && chmod +x {program}")
    assert converge(host, vendors, role).returncode == 0
    assert f"version {vendors.lock.components[role].version} " in ask(host, f"{program} --version")
