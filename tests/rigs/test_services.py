"""Services of roles on a machine that runs systemd: started and listening after converge, or an error that says why."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pci import devices_of, sees, tree
from places import ask, converge, locked
from systems import booted, docker, gateway, image
from vendors import Vendors, serving

pytestmark = [pytest.mark.docker, pytest.mark.network]

# role: its service, and the port that it listens on.
SERVICES = {
    "node_exporter": ("prometheus-node-exporter", 9100),
    "efa_exporter": ("ingot-efa-exporter", 9109),
    "prometheus": ("prometheus", 9090),
    "grafana": ("grafana-server", 3000),
}
MORE = ["prometheus", "grafana"]
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


@every
def test_a_taken_port_is_named_and_the_next_run_starts_the_service(vendors: Vendors, host: str, role: str) -> None:
    unit, port = SERVICES[role]
    checked = converge(host, vendors, role, check=True)
    assert checked.returncode == 0, checked.stdout
    ask(host, f"systemd-run --quiet --unit=other python3 -m http.server {port}")
    ask(host, f"until ss -tlnH sport = :{port} | grep -q .; do :; done")
    for _ in range(2):
        done = converge(host, vendors, role)
        assert done.returncode != 0, done.stdout
        assert unit in done.stdout
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
    unit, _ = SERVICES[role]
    folder = f"/etc/systemd/system/{unit}.service.d"
    docker("exec", "-i", host, "sh", "-euc", f"mkdir -p {folder}; cat >{folder}/broken.conf", stdin=BROKEN)
    done = converge(host, vendors, role)
    assert done.returncode != 0, done.stdout
    assert unit in done.stdout
    ask(host, f"rm {folder}/broken.conf")
    done = converge(host, vendors, role)
    assert done.returncode == 0, done.stdout
    assert ask(host, f"systemctl is-active {unit}") == "active"
