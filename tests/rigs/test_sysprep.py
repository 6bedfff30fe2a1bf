"""A machine that goes on logging, as every instance in EC2 does, is sealed without a line of its logs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ingot.lock import file as locks
from tests.rigs.locks import locked
from tests.rigs.places import ask, converge
from tests.rigs.systems import booted, prepared
from tests.rigs.vendors import Vendors

pytestmark = [pytest.mark.docker, pytest.mark.network]

# The images of Ubuntu, Debian and Amazon Linux in EC2 have this folder, so that journald writes below /var.
PERSISTENT = "mkdir -p /var/log/journal; journalctl --flush; test -s /var/log/journal/*/system.journal"
# What says something all the time, as daemons, sudo and Ansible's own modules do.
TALKING = "systemd-run --quiet --unit=talking sh -c 'while :; do logger said; sleep 0.05; done'"
HEARD = "journalctl --quiet --output=cat --unit=talking | wc -l"
LOGS = "find /var/log -type f -size +0"


@contextmanager
def builder(name: str) -> Iterator[str]:
    """A machine with systemd, a persistent journal and rsyslog, on which something logs all the time."""
    with booted(prepared(name, ("rsyslog", "systemd"))) as made:
        ask(made, PERSISTENT)
        ask(made, TALKING)
        ask(made, "timeout 60 sh -c 'until grep -q said /var/log/syslog; do sleep 0.1; done'")
        yield made


@pytest.mark.parametrize("name", ["ubuntu2404", "debian13"])
@pytest.mark.usefixtures("working_in_memory")
def test_a_machine_is_sealed_while_journald_and_rsyslog_write(name: str, tmp_path: Path) -> None:
    vendors = Vendors(tmp_path, "", locked(name).of(["sysprep"]))
    vendors.lock_file.write_text(locks.dump(vendors.lock))
    with builder(name) as host:
        done = converge(host, vendors, "sysprep")
        assert done.returncode == 0, done.stdout[-4000:]
        before = int(ask(host, HEARD))
        ask(host, "sleep 1")
        assert ask(host, LOGS) == ""
        assert int(ask(host, HEARD)) > before
        assert ask(host, "systemctl is-enabled rsyslog") == "enabled"
