"""Debian's real Slurm takes the scripts that `ingot launch` renders, for nodes that are like the instance types."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingot.catalog.instance_types import describe
from tests.commandline import ingot
from tests.rigs.systems import container, docker, prepared

pytestmark = [pytest.mark.docker, pytest.mark.network]

TYPES = ["p5.48xlarge", "hpc7a.48xlarge"]
# Nodes that would be started on demand are there without running; who would start them is never asked by a test.
CONFIGURATION = """ClusterName=ingot
SlurmctldHost=slurm
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
StateSaveLocation=/var/lib/slurm-state
SelectType=select/cons_tres
GresTypes=gpu
ResumeProgram=/bin/false
SuspendProgram=/bin/false
SuspendTime=3600
"""
START = """cat > /etc/slurm/slurm.conf
mkdir -p /var/lib/slurm-state /run/munge
chown munge /run/munge
test -s /etc/munge/munge.key || su -s /bin/sh munge -c /usr/sbin/mungekey
su -s /bin/sh munge -c /usr/sbin/munged
slurmctld
until scontrol ping | grep -q UP; do :; done
"""


def nodes(instance_type: str) -> str:
    """Four nodes of a type, in a partition of its name."""
    facts = describe(instance_type)
    family = instance_type.partition(".")[0]
    gpus = f"Gres=gpu:{facts['devices']} " if facts["devices"] else ""
    return (
        f"NodeName={family}-[1-4] CPUs={facts['vcpus']} RealMemory={facts['memory_mib']} {gpus}State=CLOUD\n"
        f"PartitionName={family} Nodes={family}-[1-4] MaxTime=INFINITE State=UP\n"
    )


@pytest.fixture(scope="module")
def slurm() -> Iterator[str]:
    """A container in which Slurm's controller runs."""
    with container(prepared("debian13", ("munge", "slurm-client", "slurmctld")), "--hostname", "slurm") as host:
        configuration = CONFIGURATION + "".join(map(nodes, TYPES))
        docker("exec", "-i", host, "sh", "-eu", "-c", START, stdin=configuration)
        yield host


def submitted(host: str, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    words = ["docker", "exec", "-i", host, "sbatch", "--test-only", *options]
    return subprocess.run(words, input=script, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "words",
    [
        "fsdp --instance-type p5.48xlarge --nodes 4 --os ubuntu2404 --container a.example/b:1 --checkpoints /fsx/1",
        "fsdp --instance-type p5.48xlarge --nodes 2 --os ubuntu2404 --bare",
        "cpu-ddp --instance-type hpc7a.48xlarge --nodes 4",
    ],
)
def test_slurm_would_start_it(slurm: str, words: str) -> None:
    script = ingot("launch", "slurm", *words.split()).stdout
    family = words.split()[2].partition(".")[0]
    done = submitted(slurm, script, f"--partition={family}")
    assert done.returncode == 0, done.stderr
    assert f"on nodes {family}-[1-" in done.stderr


def test_slurm_starts_none_on_nodes_that_lack_its_gpus(slurm: str) -> None:
    script = ingot("launch", "slurm", "fsdp", "--instance-type", "p5.48xlarge", "--os", "ubuntu2404", "--bare").stdout
    done = submitted(slurm, script, "--partition=hpc7a")
    assert done.returncode != 0
    assert "Requested node configuration is not available" in done.stderr


def test_every_script_that_was_reviewed_is_taken(slurm: str) -> None:
    scripts = sorted((Path(__file__).parents[1] / "unit" / "data" / "launch").glob("*.sbatch"))
    assert scripts
    for script in scripts:
        partition = "p5" if "gpus-per-node" in script.read_text() else "hpc7a"
        done = submitted(slurm, script.read_text(), f"--partition={partition}")
        assert done.returncode == 0, f"{script.name}: {done.stderr}"
