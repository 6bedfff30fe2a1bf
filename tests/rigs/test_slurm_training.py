"""Two nodes, of the container with PyTorch and Debian's real Slurm, train what `ingot launch slurm --bare` renders."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ingot.container import smoke
from ingot.container.build import CONTAINERS
from tests.commandline import ingot
from tests.rigs.places import ask
from tests.rigs.systems import container, docker, made

pytestmark = [pytest.mark.docker, pytest.mark.network, pytest.mark.slow]

STEPS, KILLED_AFTER, EVERY = 100, 60, 20
# The container's own user is 1000; munge and Slurm need one that starts daemons.
INSTALL = """export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --yes --no-install-recommends munge slurm-client slurmctld slurmd >/dev/null
test -s /etc/munge/munge.key || su -s /bin/sh munge -c /usr/sbin/mungekey
"""
# Of a job whose node has gone nothing is started again before its credential has expired. The nodes do not say what
# they have, as two of them share this machine.
CONFIGURATION = """ClusterName=ingot
SlurmctldHost=one
SlurmUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
ProctrackType=proctrack/linuxproc
StateSaveLocation=/var/lib/slurm-state
SlurmdSpoolDir=/var/lib/slurmd
SelectType=select/cons_tres
SlurmdParameters=config_overrides
SlurmdTimeout=10
ReturnToService=2
NodeName=one,two CPUs=1 RealMemory=1000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
START = """mkdir -p /etc/slurm /var/lib/slurm-state /var/lib/slurmd /run/munge
chown munge /run/munge
cat > /etc/slurm/slurm.conf
echo CgroupPlugin=disabled > /etc/slurm/cgroup.conf
rm -f /run/munge/*
su -s /bin/sh munge -c /usr/sbin/munged
[ "$(hostname)" != one ] || slurmctld
slurmd
"""
# A node writes to a file of its own: in a common one, long lines of two nodes end up inside each other.
ENVIRONMENT = ["--env=SLURM_STDOUTMODE=/shared/%x-%j-%n.log", "--env=SLURM_OPEN_MODE=append"]
UP = "until [ $(sinfo --noheader --responding --states=idle --format=%D | grep -c 2) = 1 ]; do sleep 0.2; done"


class Cluster:
    """Two nodes that share a folder; the first has the controller."""

    def __init__(self, one: str, two: str, shared: Path) -> None:
        self.one, self.two, self.shared = one, two, shared

    @staticmethod
    def start(host: str) -> None:
        """Start a node's daemons."""
        docker("exec", "-i", host, "sh", "-eu", "-c", START, stdin=CONFIGURATION)

    def submit(self, script: str, *options: str) -> str:
        """Give Slurm a script; the job's number."""
        words = ["docker", "exec", "-i", *ENVIRONMENT, self.one, "sbatch", "--parsable", "--chdir=/shared", *options]
        done = subprocess.run(words, input=script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def said(self, job: str) -> list[str]:
        """What the job's program has printed so far, node by node."""
        return [file.read_text() for file in sorted(self.shared.glob(f"*-{job}-*.log"))]


@pytest.fixture(scope="module")
def node_image() -> str:
    """What a node is made of."""
    built = ingot("container", "fsdp", "--json")
    assert built.returncode == 0, built.stderr
    return made(json.loads(built.stdout)["tag"], INSTALL, "slurm-node")


@pytest.fixture
def cluster(node_image: str, tmp_path: Path) -> Iterator[Cluster]:
    """The nodes, with all of Slurm running; gone afterwards."""
    network = f"ingot-rig-{uuid.uuid4().hex[:8]}"
    options = ["--user=0", f"--network={network}", f"--volume={tmp_path}:/shared", "--shm-size=256m"]
    options += [f"--volume={CONTAINERS / 'cpu-ddp'}:/opt/ingot/cpu-ddp:ro"]
    docker("network", "create", "--label=ingot=1", network)
    try:
        with ExitStack() as stack:
            named = [(f"--hostname={name}", f"--network-alias={name}") for name in ("one", "two")]
            hosts = [stack.enter_context(container(node_image, *name, *options)) for name in named]
            for host in hosts:
                Cluster.start(host)
            ask(hosts[0], UP)
            yield Cluster(hosts[0], hosts[1], tmp_path)
    finally:
        docker("network", "rm", network)


def rendered(name: str, *words: str) -> str:
    """A script for two nodes without GPUs."""
    done = ingot("launch", "slurm", name, "--instance-type", "hpc7a.96xlarge", "--nodes", "2", "--bare", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_nodes_train_and_the_rule_holds(cluster: Cluster) -> None:
    job = cluster.submit(rendered("cpu-ddp", "--", "--snapshot", "/shared/snapshot.pt"), "--wait")
    assert smoke.judge(smoke.records("".join(cluster.said(job))), smoke.read(CONTAINERS / "cpu-ddp").expect) == []
    assert (cluster.shared / "snapshot.pt").exists()


def test_a_node_that_dies_has_its_job_queued_again_which_goes_on_from_the_checkpoint(cluster: Cluster) -> None:
    words = ["--checkpoints", "/shared/checkpoints", "--", f"--steps={STEPS}", f"--every={EVERY}"]
    job = cluster.submit(rendered("fsdp", *words))
    ask(cluster.one, f"until grep -qs '\"step\": {KILLED_AFTER},' /shared/*-{job}-*.log; do sleep 0.1; done")
    docker("kill", cluster.two)
    ask(cluster.one, f"until squeue --noheader --job={job} --states=PENDING | grep -q .; do sleep 0.2; done")
    before = cluster.said(job)
    docker("start", cluster.two)
    Cluster.start(cluster.two)
    ask(cluster.one, f"until scontrol show job {job} | grep -q JobState=COMPLETED; do sleep 0.2; done")
    assert "Restarts=1" in ask(cluster.one, f"scontrol show job {job}")
    after = [now.removeprefix(then) for then, now in zip(before, cluster.said(job), strict=True)]
    resumed = smoke.losses(smoke.records("".join(after)))
    # From the newest complete checkpoint on; one that was cut off is not used.
    assert min(resumed) in (KILLED_AFTER - EVERY + 1, KILLED_AFTER + 1)
    assert max(resumed) == STEPS
    again = {step: loss for step, loss in smoke.losses(smoke.records("".join(before))).items() if step in resumed}
    assert {step: resumed[step] for step in again} == pytest.approx(again, abs=1e-6)
    assert list(resumed.values())[-1] < smoke.read(CONTAINERS / "fsdp").expect.last_loss_below
