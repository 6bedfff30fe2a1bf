"""The kernel of a base image stays: no upgrade of the system brings another one, and none is installed beside it."""

from pathlib import Path

import pytest

from ingot import paths
from ingot.lock import file as locks
from ingot.model.lock import Lock
from tests.rigs.later import first, newer
from tests.rigs.locks import locked, with_entry
from tests.rigs.places import ask, converged
from tests.rigs.systems import SYSTEMS, container, gateway, image, run_playbook
from tests.rigs.vendors import Vendors, serving

pytestmark = [pytest.mark.docker, pytest.mark.network, pytest.mark.slow, pytest.mark.usefixtures("working_in_memory")]

KERNELS = "ls /lib/modules"
# As a base image is: whoever made it held nothing.
FREE = {
    "apt": "apt-mark showhold | xargs -r apt-mark unhold",
    "rpm": "truncate --size=0 /etc/dnf/plugins/versionlock.list",
}
UPGRADE = {
    "apt": "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get --yes dist-upgrade",
    "rpm": "dnf --assumeyes --refresh upgrade",
}


def with_metapackage(lock: Lock) -> Lock:
    """`lock` with the package that draws in the newest kernel, where the system has one."""
    if SYSTEMS[lock.os].kind == "rpm":
        return lock
    entry = lock.components["kernel"]
    exact = {**entry.exact, "linux-image-aws": f"{entry.version}-1"}
    return with_entry(lock, "kernel", packages=[*entry.packages, "linux-image-aws"], exact=exact)


def adopted(host: str, vendors: Vendors) -> None:
    """Build an image upon a base image that brings the kernel, as Packer does, with no role but the kernel's."""
    given = {"ingot_roles": ["kernel"], "ingot_without": ["kernel", "sysprep"], "ingot_brought": {"kernel": {}}}
    done = run_playbook(host, paths.ROOT / "playbooks" / "image.yml", vendors.lock_file, given)
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.parametrize("name", ["ubuntu2404", "rocky9", "al2023"])
def test_an_upgrade_leaves_the_kernel_of_the_base_image(tmp_path: Path, name: str) -> None:
    old, kind = with_metapackage(first(locked(name))), SYSTEMS[name].kind
    with serving(old, ["kernel"], tmp_path / "vendors", gateway()) as vendors, container(image(name)) as host:
        converged(host, vendors, "kernel")
        ask(host, FREE[kind])
        there = ask(host, KERNELS)
        release = vendors.lock.components["kernel"].facts["release"]
        assert release in there.split()
        later = vendors.publish(with_metapackage(newer(old, "kernel")))
        assert later.components["kernel"].facts["release"] != release
        vendors.lock_file.write_text(locks.dump(later))
        adopted(host, vendors)
        assert ask(host, KERNELS) == there
        said = ask(host, UPGRADE[kind])
        assert ask(host, KERNELS) == there, said
        # Without the hold it would have moved.
        ask(host, FREE[kind])
        ask(host, UPGRADE[kind])
        assert later.components["kernel"].facts["release"] in ask(host, KERNELS).split()
