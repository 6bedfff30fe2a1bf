"""On a running system of Red Hat's family the role base changes what it says and nothing else, and the suite of
finished images finds a machine that is whole.

sshd, chronyd and systemd are real, under the names that this family has for their units.
"""

from typing import Any

import pytest

from tests.rigs.locks import locked
from tests.rigs.places import Serve, ask, converged, converged_twice
from tests.rigs.suite import suite
from tests.rigs.systems import booted, docker, image

pytestmark = [pytest.mark.docker, pytest.mark.network]

ROLES = ["base"]
# As on an instance, whose base image brings the system and its kernel.
BROUGHT: dict[str, dict[str, str]] = {"base": {}, "kernel": {}}
MANIFEST: dict[str, Any] = {"manifest_image": "rig", "manifest_inputs_sha256": "0" * 64}
MANIFEST |= {"ingot_roles": ROLES, "ingot_without": list(BROUGHT), "ingot_brought": BROUGHT}


@pytest.mark.parametrize(
    "name", ["rocky9", *(pytest.param(each, marks=pytest.mark.slow) for each in ("al2023", "rhel9"))]
)
def test_a_running_machine_is_configured_and_described_as_it_is(serve: Serve, name: str) -> None:
    vendors = serve(locked(name).of(ROLES))
    with booted(image(name)) as host:
        before = ask(host, "systemctl show --property=MainPID --value sshd.service; rpm -qa | sort")
        # What somebody logs in by has not been started anew, but reads its settings again.
        converged_twice(host, vendors, "base")
        after = ask(host, "systemctl show --property=MainPID --value sshd.service; rpm -qa | sort")
        assert before.splitlines()[0] == after.splitlines()[0] != "0"
        assert "Reloaded sshd.service" in docker("exec", host, "journalctl", "--unit=sshd.service", "--no-pager")
        assert "\ngcc-c++-" in after
        converged(host, vendors, "manifest", **MANIFEST)
        # A container is no finished image and no machine, and may not set the clock.
        options = ["--target=instance", "-k", "not unit_has_failed and not clock", "-rf"]
        assert ask(host, "systemctl is-enabled chronyd.service") == "enabled"
        verified = suite(host, vendors.lock_file, [*ROLES, "manifest"], ["base", "machine", "manifest"], *options)
        assert verified.returncode == 0, verified.stdout[-4000:]
