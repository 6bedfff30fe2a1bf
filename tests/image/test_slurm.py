"""A machine of its own is a Slurm cluster of one node that runs jobs, with a key that no other machine has."""

import re
from collections.abc import Callable

import pytest
from testinfra.host import Host

from ingot.model.lock import LockedComponent

# Where it is built from source; elsewhere its programs are where all are.
SLURM = "PATH=/opt/slurm/bin:/opt/slurm/sbin:$PATH"


@pytest.fixture
def idle_node(host: Host, as_user: Callable[[str], str], eventually: Callable[..., None]) -> None:
    """Wait until the controller, which starts after ssh, has its node; every user sees it."""
    ready = f"{SLURM} sinfo --noheader --format=%T"
    eventually(lambda: host.run(ready).stdout.split() == ["idle"], within=90, what="the Slurm node is idle")
    assert as_user(ready) == "idle"


def test_packages_are_those_of_the_lock(drift: dict[str, str]) -> None:
    assert drift == {}


def test_services_start_at_boot(unit_files: dict[str, str]) -> None:
    wanted = ("munge.service", "slurmctld.service", "slurmd.service")
    assert {unit: unit_files.get(unit) for unit in wanted} == dict.fromkeys(wanted, "enabled")


def test_what_slurmd_starts_finds_the_programs_of_slurm(host: Host, settings_of: Callable[[str], str]) -> None:
    """Enroot's hooks ask scontrol."""
    if not host.file("/opt/slurm/sbin/slurmd").exists:
        pytest.skip("Slurm's programs are where all are")
    [path] = re.findall(r"^Environment=PATH=(\S+)$", settings_of("slurmd.service"), re.MULTILINE)
    assert host.check_output("PATH=%s; command -v scontrol", path) == "/opt/slurm/bin/scontrol"


def test_every_user_reads_what_the_programs_of_slurm_read(as_user: Callable[[str], str]) -> None:
    """All but the database's password: https://slurm.schedmd.com/slurmdbd.conf.html."""
    files = "find /etc/slurm/ /opt/slurm/etc/ -maxdepth 1 -name '*.conf' ! -name slurmdbd.conf"
    assert "slurm.conf" in as_user(f"{files} -readable -printf '%f ' 2>/dev/null; true").split()
    assert as_user(f"{files} ! -readable 2>/dev/null; true") == ""


@pytest.mark.sealed
def test_the_image_holds_no_munge_key(host: Host) -> None:
    assert not host.file("/etc/munge/munge.key").exists


@pytest.mark.booted
def test_the_munge_key_was_made_after_the_image(host: Host, newer_than_the_image: Callable[[str], bool]) -> None:
    key = host.file("/etc/munge/munge.key")
    assert (key.user, key.mode & 0o077) == ("munge", 0)
    assert newer_than_the_image("/etc/munge/munge.key")


@pytest.mark.machine
def test_srun_answers(host: Host, idle_node: None) -> None:
    assert host.check_output(f"{SLURM} srun hostname") == host.check_output("hostname")


@pytest.mark.machine
def test_a_job_may_lock_any_amount_of_memory(host: Host, idle_node: None) -> None:
    assert host.check_output(f"{SLURM} srun sh -c %s", "ulimit -H -l") == "unlimited"


@pytest.mark.machine
def test_a_batch_job_runs(host: Host, idle_node: None, workdir: str, eventually: Callable[..., None]) -> None:
    said = f"{workdir}/batch"
    host.check_output(f"{SLURM} sbatch --quiet --chdir=/ --output=%s --wrap=%s", said, "srun echo done")
    eventually(lambda: host.run("cat %s", said).stdout == "done\n", within=60, what="the batch job has ended")


def test_slurm_is_of_the_lock(host: Host, pin: LockedComponent) -> None:
    assert host.check_output(f"{SLURM} slurmd -V").split()[-1] == pin.version
