"""The AWS command line is of the lock, the only one there, and on everybody's path."""

import pytest
from testinfra.host import Host

from ingot.model.lock import LockedComponent

FOLDER = "/usr/local/aws-cli"


def test_it_is_of_the_lock(host: Host, pin: LockedComponent) -> None:
    said = host.check_output("/usr/local/bin/aws --version").split()
    assert said[0] == f"aws-cli/{pin.version}"


def test_no_other_version_and_nothing_of_its_bundle_is_there(host: Host, pin: LockedComponent) -> None:
    found = host.check_output(f"find {FOLDER} -mindepth 1 -maxdepth 2 -printf '%P\\n'").split()
    assert sorted(found) == ["v2", f"v2/{pin.version}", "v2/current"]


def test_people_find_it(host: Host) -> None:
    assert host.check_output("bash -l -c %s", "command -v aws") == "/usr/local/bin/aws"


def test_bash_completes_its_commands(host: Host) -> None:
    host.check_output("test -x /usr/local/bin/aws_completer")
    assert "aws_completer" in host.check_output("bash -c '. /etc/bash_completion.d/ingot-aws; complete -p aws'")


@pytest.mark.parametrize("home", ["/root", "/home/*"])
def test_nobody_has_credentials(host: Host, home: str) -> None:
    assert host.run(f"ls -d {home}/.aws").stdout == ""
