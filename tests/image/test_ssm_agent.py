"""The agent of Systems Manager is of the lock, starts at boot, and has not registered before."""

import re
from typing import Any

import pytest
from testinfra.host import Host

from ingot.model.lock import LockedComponent


def test_it_is_of_the_lock(pin: LockedComponent, installed: dict[str, Any]) -> None:
    assert re.fullmatch(rf"(\d+:)?{re.escape(pin.version)}(-.*)?", installed["amazon-ssm-agent"].version)


def test_it_starts_at_boot(unit_files: dict[str, str]) -> None:
    assert unit_files.get("amazon-ssm-agent.service") == "enabled"


def test_there_is_no_second_agent(host: Host) -> None:
    assert not host.file("/snap/amazon-ssm-agent").exists


@pytest.mark.sealed
def test_it_has_not_registered(host: Host) -> None:
    """What it keeps of a registration, of which each machine has its own."""
    assert host.run("ls -A /var/lib/amazon/ssm /var/lib/amazon/ssm/Vault/Store").stdout.split() in ([], ["Vault"])
