"""An image keeps no kernel but the lock's: the base image's goes, though it is the one that runs."""

from pathlib import Path

import pytest

from ingot.lock import file as locks
from tests.rigs.later import first, newer
from tests.rigs.locks import locked
from tests.rigs.places import ask, converge
from tests.rigs.systems import container, gateway, image
from tests.rigs.vendors import Vendors, serving

pytestmark = [pytest.mark.docker, pytest.mark.network, pytest.mark.slow, pytest.mark.usefixtures("working_in_memory")]

KERNELS = "cd /lib/modules; ls; ls /boot | sed -n 's/^vmlinuz-//p'"
# As its base image runs: the newest of another kind, with what brings the next one.
OTHER = """export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --yes --no-install-recommends linux-image-amd64 >/dev/null
printf '#!/bin/sh\\necho %s\\n' "$(ls /lib/modules)" >/usr/local/bin/uname
chmod +x /usr/local/bin/uname
uname -r
"""


def test_the_kernel_that_runs_goes_from_debian(tmp_path: Path) -> None:
    vendors = Vendors(tmp_path, "", locked("debian13").of(["kernel"]))
    vendors.lock_file.write_text(locks.dump(vendors.lock))
    release = vendors.lock.components["kernel"].facts["release"]
    with container(image("debian13")) as host:
        other = ask(host, OTHER).splitlines()[-1]
        done = converge(host, vendors, "kernel")
        assert done.returncode == 0, done.stdout[-4000:]
        assert sorted(ask(host, KERNELS).split()) == sorted([other, release] * 2)
        done = converge(host, vendors, "sysprep", sysprep_only_kernel=True)
        assert done.returncode == 0, done.stdout[-4000:]
        assert ask(host, KERNELS).split() == [release, release]
        assert "linux-image-amd64" not in ask(host, "dpkg-query -W -f '${Package}\\n'").split()


@pytest.mark.parametrize("name", ["ubuntu2404", "rocky9"])
def test_the_kernel_that_a_rollback_leaves_goes(tmp_path: Path, name: str) -> None:
    old = first(locked(name))
    with serving(old, ["kernel"], tmp_path / "vendors", gateway()) as vendors, container(image(name)) as host:
        before, after = vendors.lock, vendors.publish(newer(old, "kernel"))
        for lock in (after, before):
            vendors.lock_file.write_text(locks.dump(lock))
            done = converge(host, vendors, "kernel")
            assert done.returncode == 0, done.stdout[-4000:]
        there = ask(host, KERNELS).split()
        assert {lock.components["kernel"].facts["release"] for lock in (before, after)} <= set(there)
        done = converge(host, vendors, "sysprep", sysprep_only_kernel=True)
        assert done.returncode == 0, done.stdout[-4000:]
        left = set(ask(host, KERNELS).split())
        assert after.components["kernel"].facts["release"] not in left
        assert before.components["kernel"].facts["release"] in left
