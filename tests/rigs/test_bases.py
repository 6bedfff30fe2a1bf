"""Upon base images as their vendors make them, simulated: what they bring stays, and what they ask for is done."""

import json
from pathlib import Path
from typing import Any

import pytest

from ingot import paths
from ingot.lock import file as locks
from tests.commandline import Completed
from tests.rigs.bases import EKS, GDRDRV, NODEADM, PARALLELCLUSTER, PROGRAM, TREES
from tests.rigs.kernels import with_kernel
from tests.rigs.locks import locked
from tests.rigs.places import ask, converged_twice
from tests.rigs.suite import suite
from tests.rigs.systems import booted, container, gateway, image, prepared, run_playbook
from tests.rigs.vendors import Vendors, serving

pytestmark = [pytest.mark.docker, pytest.mark.network, pytest.mark.usefixtures("working_in_memory")]


def built(host: str, vendors: Vendors, *roles: str, without: tuple[str, ...] = (), **given: Any) -> Completed:
    """Run the play that Packer runs, with what Packer gives it."""
    facts = {"ingot_roles": list(roles), "ingot_without": list(without), **given}
    return run_playbook(host, paths.ROOT / "playbooks" / "image.yml", vendors.lock_file, facts)


def test_the_program_that_prepares_parallelclusters_machines_runs_before_the_ami_is_made(tmp_path: Path) -> None:
    lock = locked("ubuntu2404")
    program = lock.base_images["parallelcluster"].cleanup
    assert program == PROGRAM
    vendors = Vendors(tmp_path, "", lock)
    vendors.lock_file.write_text(locks.dump(lock))
    with container(prepared("ubuntu2404", ("cloud-init",))) as host:
        ask(host, PARALLELCLUSTER)
        done = built(host, vendors, "sysprep", sysprep_cleanup=program)
        assert done.returncode == 0, done.stdout[-4000:]
        left = "find /opt/parallelcluster /etc/yum/vars /var/crash /var/log -type f -size +0 -o -name '*release*'"
        assert ask(host, left) == ""
        # A machine that it cannot prepare is no image.
        ask(host, "rm /usr/bin/cloud-init")
        refused = built(host, vendors, "sysprep", sysprep_cleanup=program)
        assert refused.returncode != 0
        assert "cloud-init: command not found" in refused.stdout


def test_an_eks_node_of_amazon_linux_keeps_its_drivers_and_its_own_failing_unit_is_no_fault(tmp_path: Path) -> None:
    lock = locked("al2023")
    row = lock.base_images["eks"]
    brought = {name: part.model_dump(exclude_defaults=True) for name, part in row.brings.items() if name != "kernel"}
    vendors = Vendors(tmp_path, "", lock)
    vendors.lock_file.write_text(locks.dump(lock))
    roles = ["nvidia_driver", "fabricmanager", "gdrcopy", "efa", "doctor", "manifest"]
    assert {"nvidia_driver", "fabricmanager", "gdrcopy", "efa"} <= set(brought)
    with booted(image("al2023")) as host:
        ask(host, EKS)
        done = built(host, vendors, *roles, without=(*row.brings, "sysprep"), ingot_brought=brought)
        assert done.returncode == 0, done.stdout[-4000:]
        told = json.loads(ask(host, "cat /usr/share/ingot/manifest.json"))["brought"]
        assert (told["gdrcopy"]["observed"], told["nvidia_driver"]["observed"]) == (GDRDRV, None)
        assert "/opt/nvidia/lts" in told["nvidia_driver"]["note"]
        assert TREES["pb"] in ask(host, "ingot-doctor")
        # The unit fails at each boot without a cluster; another one that fails is a fault.
        words = ("--target=ami", "-k", "no_unit_has_failed")
        ask(host, "systemctl reset-failed; systemctl start nodeadm-config.service || true")
        verified = suite(host, vendors.lock_file, roles, ["machine"], *words, platform="eks")
        assert verified.returncode == 0, verified.stdout[-4000:]
        ask(host, "systemd-run --quiet --unit=other false; sleep 1")
        refused = suite(host, vendors.lock_file, roles, ["machine"], *words, platform="eks")
        assert "other.service" in refused.stdout


def test_gdrcopy_alone_leaves_the_module_to_an_eks_node(tmp_path: Path) -> None:
    lock = locked("al2023")
    given = {"kernel": with_kernel(lock).components["kernel"]}
    with (
        serving(lock, ["gdrcopy"], tmp_path / "vendors", gateway(), given) as vendors,
        container(image("al2023")) as host,
    ):
        ask(host, EKS.replace(NODEADM, ""))
        converged_twice(host, vendors, "gdrcopy")
        assert ask(host, "ls /usr/src | grep gdrdrv || true") == ""
        assert ask(host, "ls /opt/gdrcopy/lib") != ""
