"""The CloudWatch agent is of the lock and waits for a configuration."""

import re
from typing import Any

import pytest
from testinfra.host import Host

from ingot.model.lock import LockedComponent

HOME = "/opt/aws/amazon-cloudwatch-agent"


def test_it_is_of_the_lock(pin: LockedComponent, installed: dict[str, Any]) -> None:
    assert re.fullmatch(rf"(\d+:)?{re.escape(pin.version)}(-.*)?", installed["amazon-cloudwatch-agent"].version)


def test_its_program_is_on_the_path(host: Host) -> None:
    assert host.check_output("readlink -f /usr/bin/amazon-cloudwatch-agent-ctl").startswith(f"{HOME}/bin/")


@pytest.mark.sealed
def test_it_does_not_start_without_a_configuration(host: Host, unit_files: dict[str, str]) -> None:
    assert unit_files.get("amazon-cloudwatch-agent.service") == "disabled"
    assert host.run(
        f"ls {HOME}/etc/*.toml {HOME}/etc/*.json {HOME}/etc/amazon-cloudwatch-agent.d/*"
    ).stdout.split() in (
        [],
        [f"{HOME}/etc/common-config.toml"],
    )
