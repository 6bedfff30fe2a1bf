"""The suite notices what only root can use, and what a sealed image has kept of the machine that made it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingot.lock import file as locks
from tests.image.leftovers import EXAMPLES
from tests.rigs.locks import locked, with_entry
from tests.rigs.places import ask, converge
from tests.rigs.suite import suite
from tests.rigs.systems import container, docker, image
from tests.rigs.vendors import Vendors

pytestmark = [pytest.mark.docker, pytest.mark.network]

# Who upgrades a machine by itself holds both for minutes (apt-daily.service).
LOCKED = """import fcntl, time
files = [open(f"/var/lib/dpkg/{name}", "w") for name in ("lock-frontend", "lock")]
for file in files:
    fcntl.lockf(file, fcntl.LOCK_EX)
open("/locked", "w").close()
time.sleep(20)
"""


@pytest.fixture
def host() -> Iterator[str]:
    """A container that nothing has started in."""
    with container(image("debian13")) as name:
        yield name


@pytest.fixture
def vendors(tmp_path: Path) -> Vendors:
    """The lock of the container, of which no vendor is asked."""
    made = Vendors(tmp_path, "", locked("debian13").of(["sysprep"]))
    made.lock_file.write_text(locks.dump(made.lock))
    return made


@pytest.mark.parametrize(
    "closes",
    [
        "chmod 0600 /usr/local/lib/libnccl.so.2",
        "chmod 0700 /usr/local/lib",
        "chmod 0600 /usr/share/ingot/lock.json",
        "chmod 0744 /usr/local/bin/program",
    ],
)
def test_what_only_root_can_use_fails_the_suite(host: str, vendors: Vendors, closes: str) -> None:
    ask(host, "mkdir -p /usr/share/ingot; touch /usr/share/ingot/lock.json /usr/local/bin/program")
    ask(host, "chmod 0755 /usr/local/bin/program; cp /lib/x86_64-linux-gnu/libm.so.6 /usr/local/lib/libnccl.so.2")
    ask(host, "ldconfig")
    done = suite(host, vendors.lock_file, ["sysprep"], ["users"])
    assert done.returncode == 0, done.stdout
    ask(host, closes)
    done = suite(host, vendors.lock_file, ["sysprep"], ["users"])
    assert done.returncode == 1, done.stdout
    assert closes.rpartition(" ")[2] in done.stdout


@pytest.mark.usefixtures("working_in_memory")
def test_sysprep_removes_all_that_the_suite_looks_for_and_the_suite_sees_each(host: str, vendors: Vendors) -> None:
    ask(host, "".join(f"mkdir -p $(dirname {path}); echo planted >{path}\n" for path in EXAMPLES))
    done = suite(host, vendors.lock_file, ["sysprep"])
    assert [path for path in EXAMPLES if path not in done.stdout] == []
    done = converge(host, vendors, "sysprep")
    assert done.returncode == 0, done.stdout[-4000:]
    assert ask(host, f"ls -1d {' '.join(EXAMPLES)} 2>/dev/null || true") == ""


@pytest.mark.slow
def test_the_suite_waits_for_who_else_installs_packages(host: str, tmp_path: Path) -> None:
    lock = with_entry(locked("debian13"), "kernel", packages=["bash"], hold=True).of(["kernel"])
    vendors = Vendors(tmp_path, "", lock)
    vendors.lock_file.write_text(locks.dump(lock))
    ask(host, "apt-mark hold bash; apt-get update -qq; apt-get install -qq --yes python3 systemd >/dev/null")
    docker("exec", "--detach", host, "python3", "-c", LOCKED)
    ask(host, "until [ -e /locked ]; do sleep 0.1; done")
    done = suite(host, vendors.lock_file, ["kernel"], ["held"])
    assert done.returncode == 0, done.stdout[-4000:]
