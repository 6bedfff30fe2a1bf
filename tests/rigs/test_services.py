"""A service listens when its role has converged on a running machine, or the role says why it does not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ingot import paths
from tests.rigs.locks import locked
from tests.rigs.pci import devices_of, sees, tree
from tests.rigs.places import ask, converge
from tests.rigs.systems import booted, docker, gateway, image
from tests.rigs.vendors import Vendors, serving

pytestmark = [pytest.mark.docker, pytest.mark.network]

# role: its service, and the file that says the port which it listens on.
SERVICES = {
    "node_exporter": ("prometheus-node-exporter", "vars"),
    "efa_exporter": ("ingot-efa-exporter", "defaults"),
    "prometheus": ("prometheus", "vars"),
    "grafana": ("grafana-server", "vars"),
}
MORE = ["node_exporter", "prometheus", "grafana"]
# Tells systemd when it listens, so that it is systemd who refuses it.
SAYS_READY = ["efa_exporter"]
every = pytest.mark.parametrize(
    "role", [pytest.param(role, marks=[pytest.mark.slow] if role in MORE else []) for role in SERVICES]
)
# systemd says that a program has started, or with one that never says that it is ready, that it has not.
BROKEN = "[Service]\nExecStart=\nExecStart=/bin/sh -c 'echo out of order >&2; exit 3'\n"


@pytest.fixture(scope="module")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendors]:
    """The simulated vendors of what they bring."""
    lock = locked("ubuntu2404")
    with serving(
        lock,
        [each for each in SERVICES if each in lock.components],
        tmp_path_factory.mktemp("rig") / "vendors",
        gateway(),
    ) as made:
        yield made


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """A container that runs systemd, and has a device of EFA."""
    with booted(image("ubuntu2404"), sees(tree(tmp_path, devices_of("p5.48xlarge")))) as made:
        yield made


def service(role: str) -> tuple[str, int]:
    """The unit of a role, and its port."""
    unit, folder = SERVICES[role]
    said = yaml.safe_load((paths.ROOT / "roles" / role / folder / "main.yml").read_text())
    return unit, said[f"{role}_port"]


def refused(unit: str) -> str:
    """What systemd says when it has not started a unit."""
    return f"Job for {unit}.service failed"


@every
def test_a_taken_port_is_named_and_the_next_run_starts_the_service(vendors: Vendors, host: str, role: str) -> None:
    unit, port = service(role)
    checked = converge(host, vendors, role, check=True)
    assert checked.returncode == 0, checked.stdout
    ask(host, f"systemd-run --quiet --unit=other python3 -m http.server {port}")
    ask(host, f"until ss -tlnH sport = :{port} | grep -q .; do :; done")
    for _ in range(2):
        done = converge(host, vendors, role)
        assert done.returncode != 0, done.stdout
        assert (f"port {port} of 127.0.0.1 is taken" if role not in SAYS_READY else refused(unit)) in done.stdout
    ask(host, "systemctl stop other")
    done = converge(host, vendors, role)
    assert done.returncode == 0, done.stdout
    assert ask(host, f"systemctl is-active {unit}") == "active"
    assert ask(host, f"ss -tlnH sport = :{port}")
    again = converge(host, vendors, role)
    assert "changed=0 " in again.stdout, again.stdout


@every
@pytest.mark.slow
def test_a_service_that_ends_at_once_is_named_and_the_next_run_starts_it(
    vendors: Vendors, host: str, role: str
) -> None:
    unit, port = service(role)
    folder = f"/etc/systemd/system/{unit}.service.d"
    docker("exec", "-i", host, "sh", "-euc", f"mkdir -p {folder}; cat >{folder}/broken.conf", stdin=BROKEN)
    done = converge(host, vendors, role)
    assert done.returncode != 0, done.stdout
    said = f"{unit}.service does not listen on port {port} of" if role not in SAYS_READY else refused(unit)
    assert said in done.stdout, done.stdout
    ask(host, f"rm {folder}/broken.conf")
    done = converge(host, vendors, role)
    assert done.returncode == 0, done.stdout
    assert ask(host, f"systemctl is-active {unit}") == "active"
