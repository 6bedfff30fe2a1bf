"""The AWS command line and the agents of Systems Manager and CloudWatch are those of the lock, and the only ones."""

import pytest

from tests.rigs.locks import locked
from tests.rigs.places import Make, ask, converge, converged_twice
from tests.rigs.suite import suite
from tests.rigs.systems import SYSTEMS, docker
from tests.rigs.vendors import Vendors

pytestmark = [pytest.mark.docker, pytest.mark.network]

ROLES = ["aws_cli", "ssm_agent", "cloudwatch_agent"]
OTHERS = ["ubuntu2204", "rocky9", "rhel9"]
NAMES = ["ubuntu2404", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
CLI = "/usr/local/aws-cli"
# In the place of snapd's program, for the one thing that is asked of it.
SNAP = '#!/bin/sh\nset -eu\n[ "$*" = "remove amazon-ssm-agent" ]\nrm -r /snap/amazon-ssm-agent\n'


def put(host: str, path: str, text: str) -> None:
    """A program in the container."""
    docker("exec", "-i", host, "sh", "-euc", f"cat > {path}; chmod 0755 {path}", stdin=text)


def there(host: str, vendors: Vendors) -> str:
    """What is there of the roles: files, packages, and what was fetched."""
    known = "dpkg-query -W -f '${Package}\\n'" if SYSTEMS[vendors.lock.os].kind == "apt" else "rpm -qa"
    places = "/usr/local/aws-cli /usr/local/bin /dev/shm /opt/aws -mindepth 1"
    return ask(host, f"{known} | grep '^amazon' || true; find {places} ! -type d 2>/dev/null || true")


@pytest.mark.parametrize("name", NAMES)
def test_the_roles_install_what_the_lock_has_and_a_second_time_change_nothing(place: Make, name: str) -> None:
    vendors, host = place(locked(name))
    put(host, "/usr/local/sbin/snap", SNAP)
    docker("exec", host, "mkdir", "-p", "/snap/amazon-ssm-agent/current", f"{CLI}/v2/2.0.0/dist")
    docker("exec", host, "ln", "-s", f"{CLI}/v2/2.0.0", f"{CLI}/v2/current")
    converged_twice(host, vendors, *ROLES)
    assert ask(host, "ls /dev/shm/ingot-files") == ""
    verified = suite(host, vendors.lock_file, ROLES)
    assert verified.returncode == 0, verified.stdout
    assert "passed" in verified.stdout


@pytest.mark.slow
def test_check_mode_leaves_everything_as_it_is(place: Make) -> None:
    vendors, host = place(locked("ubuntu2404"))
    before = there(host, vendors)
    checked = converge(host, vendors, "aws_cli", "cloudwatch_agent", check=True)
    assert checked.returncode == 0, checked.stdout
    assert "changed=0 " not in checked.stdout
    assert there(host, vendors) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "left",
    [
        pytest.param("mkdir -p {own}/dist {prefix}/unpacked/aws", id="while it copied"),
        pytest.param("mkdir -p {own}/dist && ln -s {own} {prefix}/v2/current", id="before its links"),
    ],
)
def test_half_an_installation_of_the_command_line_is_replaced(place: Make, left: str) -> None:
    vendors, host = place(locked("ubuntu2404"))
    version = vendors.lock.components["aws_cli"].version
    docker("exec", host, "sh", "-euc", left.format(prefix=CLI, own=f"{CLI}/v2/{version}"))
    done = converge(host, vendors, "aws_cli")
    assert done.returncode == 0, done.stdout
    assert ask(host, "aws --version").startswith(f"aws-cli/{version} ")
    assert ask(host, f"ls {CLI}") == "v2"
