"""A role installs on a stock system from its vendor's own hosts, its tests pass, and a second run changes nothing."""

from pathlib import Path

import pytest

from ingot import paths
from ingot.lock import file as locks
from tests.galaxy import NEEDS
from tests.real.hosts import require, stock, vendors_of
from tests.rigs.suite import suite
from tests.rigs.systems import STACK, run_playbook

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.docker, pytest.mark.network]

SYSTEMS = ["ubuntu2404", "al2023", "rocky9", "debian13"]


def _lock(name: str) -> Path:
    return paths.LOCKS / STACK / f"{name}-x86_64.yml"


# A platform is in the lock, but no role.
CASES = [
    (name, role)
    for name in SYSTEMS
    for role in locks.load(_lock(name)).components
    if (paths.ROOT / "roles" / role).is_dir()
]


@pytest.mark.parametrize(("name", "role"), CASES)
def test_a_role_installs_on_a_stock_system(name: str, role: str, tmp_path: Path) -> None:
    lock = locks.load(_lock(name))
    roles = [*NEEDS.get(role, []), role]
    require(*(host for needed in roles for host in vendors_of(lock, needed)))
    mine = tmp_path / "lock.yml"
    mine.write_text(_lock(name).read_text())
    play = tmp_path / "play.yml"
    play.write_text("- hosts: all\n  roles:\n" + "".join(f"    - ingot.ml.{needed}\n" for needed in roles))
    with stock(lock) as host:
        first = run_playbook(host, play, mine)
        assert first.returncode == 0, first.stdout[-6000:] + first.stderr[-2000:]
        second = run_playbook(host, play, mine)
        assert "changed=0 " in second.stdout, second.stdout[-6000:]
        # No role seals the machine that it is applied to.
        judged = suite(host, mine, [role], None, "-m", "not sealed")
        assert judged.returncode == 0, judged.stdout[-6000:]
