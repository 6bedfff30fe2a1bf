"""`ingot export pcluster` writes clusters that ParallelCluster itself accepts, and refuses what would not work."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingot.catalog.read import read_catalog
from ingot.lock.file import load, path_of
from ingot.model.target import Target
from ingot.paths import ROOT, alone
from tests.commandline import ingot

REQUIREMENTS = ROOT / "requirements" / "pcluster.txt"
# Of every one of these configurations, what ParallelCluster has read: its own objects, not the text.
LOAD = """
import json, sys, yaml
from pcluster.schemas.cluster_schema import ClusterSchema
for text in json.load(sys.stdin):
    cluster = ClusterSchema(cluster_name="ingot").load(yaml.safe_load(text))
    queue = cluster.scheduling.queues[0]
    print(cluster.image.os, cluster.image.custom_ami, cluster.imds.imds_support, queue.capacity_type.name,
          queue.compute_resources[0].max_count, queue.compute_resources[0].efa.enabled)
"""
AMI, SUBNET, BLOCK = "ami-0123456789abcdef0", "subnet-0123456789abcdef0", "cr-0123456789abcdef0"
NAMED = ("--ami", AMI, "--subnet", SUBNET)
P5 = ("parallelcluster", *NAMED, "--instance-type", "p5.48xlarge")
CASES = {
    (*P5, "--nodes", "4"): f"ubuntu2404 {AMI} v2.0 ONDEMAND 4 True",
    (*P5, "--os", "al2023", "--capacity-block", BLOCK): f"alinux2023 {AMI} v2.0 CAPACITY_BLOCK 2 True",
    (*P5, "--os", "rhel9", "--key-name", "it's: mine", "--region", "eu-west-1", "--head-subnet", "subnet-01234567"): (
        f"rhel9 {AMI} v2.0 ONDEMAND 2 True"
    ),
    ("parallelcluster", *NAMED, "--instance-type", "g5.xlarge", "--nodes", "1"): (
        f"ubuntu2404 {AMI} v2.0 ONDEMAND 1 False"
    ),
    ("parallelcluster-neuron", *NAMED, "--instance-type", "trn1.32xlarge", "--os", "al2023"): (
        f"alinux2023 {AMI} v2.0 ONDEMAND 2 True"
    ),
    ("parallelcluster-cpu", *NAMED, "--instance-type", "hpc7g.16xlarge", "--arch", "aarch64", "--os", "ubuntu2204"): (
        f"ubuntu2204 {AMI} v2.0 ONDEMAND 2 True"
    ),
}


def export(*words: str) -> str:
    done = ingot("export", "pcluster", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def pcluster() -> Path:
    """The Python of an environment that has ParallelCluster alone, kept as long as its requirements are the same."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = ROOT / "build" / "pcluster"
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / digest / "bin" / "python"
    with alone(folder):
        if not (folder / digest / "installed").exists():
            uv = [sys.executable, "-m", "uv", "--quiet"]
            subprocess.run([*uv, "venv", "--clear", "--python", sys.executable, python.parents[1]], check=True)
            install = [*uv, "pip", "install", f"--python={python}", "--require-hashes", "-r", str(REQUIREMENTS)]
            subprocess.run(install, check=True)
            (folder / digest / "installed").touch()
    return python


@pytest.mark.network
def test_parallelcluster_accepts_what_is_written(pcluster: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    loaded = subprocess.run(
        [pcluster, "-c", LOAD],
        input=json.dumps([export(*words) for words in CASES]),
        env={**clean, "AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.splitlines() == list(CASES.values())


def test_the_schema_is_of_the_release_line_that_the_stack_pins() -> None:
    catalog = read_catalog()
    pinned = load(path_of(Target(catalog.newest_stack, "ubuntu2404", "x86_64"))).components["parallelcluster"].version
    line = REQUIREMENTS.read_text().partition("aws-parallelcluster==")[2]
    assert line.startswith(f"{pinned.rpartition('.')[0]}.")


def queue(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text)["Scheduling"]["SlurmQueues"][0]
    return found


def test_nodes_with_efa_are_placed_together_or_come_with_their_capacity_block() -> None:
    alone_ = queue(export(*P5))
    assert alone_["Networking"]["PlacementGroup"] == {"Enabled": True}
    assert alone_["ComputeResources"][0]["MinCount"] == 0
    block = queue(export(*P5, "--capacity-block", BLOCK, "--nodes", "3"))
    assert "PlacementGroup" not in block["Networking"]
    assert block["CapacityReservationTarget"] == {"CapacityReservationId": BLOCK}
    assert {block["ComputeResources"][0][count] for count in ("MinCount", "MaxCount")} == {3}
    without = queue(export("parallelcluster", *NAMED, "--instance-type", "g5.xlarge"))
    assert "Efa" not in without["ComputeResources"][0]
    assert "PlacementGroup" not in without["Networking"]


def test_the_release_that_creates_the_cluster_is_named() -> None:
    release = load(path_of(Target("2026.11", "ubuntu2404", "x86_64"))).components["parallelcluster"].version
    assert f"create the cluster with pcluster {release}." in export(*P5)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    assert export(*P5, "--output", str(tmp_path / "cluster.yml")) == ""
    assert queue((tmp_path / "cluster.yml").read_text())
    done = ingot("export", "pcluster", *P5, "--output", tmp_path / "cluster.yml" / "no")
    assert (done.returncode, "--output" in done.stderr) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["cluster.yml"]


def with_(option: str, value: str) -> tuple[str, ...]:
    """The words for p5.48xlarge with another value of one option."""
    words = list(P5) + ([] if option in P5 else [option, ""])
    words[words.index(option) + 1] = value
    return tuple(words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("paralelcluster", *P5[1:]), "unknown image 'paralelcluster'\n  hint: did you mean 'parallelcluster'"),
        (
            ("ec2-cpu", *P5[1:]),
            "ec2-cpu is an image for ec2, not for parallelcluster\n  hint: use one of parallelcluster, ",
        ),
        (("parallelcluster-neuron", *P5[1:], "--os", "rhel9"), "rhel9-x86_64 has no neuron"),
        (with_("--ami", "ami-123"), "--ami: not an id of the form ami-…: 'ami-123'\n  hint: `ingot ami list`"),
        (with_("--subnet", "vpc-01234567"), "--subnet: not an id of the form subnet-…: 'vpc-01234567'"),
        (with_("--head-subnet", "x"), "--head-subnet: not an id of the form subnet-…: 'x'"),
        (with_("--capacity-block", "cr-x"), "--capacity-block: not an id of the form cr-…: 'cr-x'"),
        (with_("--region", "us_east"), "--region: not a region: 'us_east'\n  hint: for example us-east-1"),
        (with_("--nodes", "0"), "--nodes: 0 is not a number of nodes"),
        (
            with_("--instance-type", "p5.47xlarge"),
            "unknown instance type 'p5.47xlarge'\n  hint: did you mean 'p5.4xlarge",
        ),
        (
            with_("--instance-type", "hpc7g.16xlarge"),
            "hpc7g.16xlarge is aarch64, the AMI is x86_64\n  hint: use an AMI for aarch64",
        ),
        (
            with_("--instance-type", "trn1.32xlarge"),
            "trn1.32xlarge has Trainium (neuron), parallelcluster is for nvidia",
        ),
        (
            with_("--instance-type", "hpc7a.48xlarge"),
            "hpc7a.48xlarge has no accelerator, parallelcluster is for nvidia\n  hint: use an AMI of parallelcluster-",
        ),
        (
            ("parallelcluster-cpu", *P5[1:]),
            "p5.48xlarge has H100 (nvidia), parallelcluster-cpu is for cpu\n  hint: use an AMI of parallelcluster, or",
        ),
        (with_("--instance-type", "p3dn.24xlarge"), "V100 needs the closed kernel module"),
        (with_("--head-instance-type", "hpc7g.4xlarge"), "hpc7g.4xlarge is aarch64, the AMI is x86_64"),
        (with_("--head-instance-type", "big"), "not an instance type: 'big'\n  hint: for example m7i.xlarge"),
        (with_("--os", "rocky9"), "no base image of parallelcluster for rocky9\n  hint: --os al2023 or rhel9 or"),
        (with_("--os", "debian14"), "unknown operating system 'debian14'"),
        (with_("--arch", "arm64"), "ubuntu2404 has no architecture 'arm64'"),
        (with_("--stack", "2026.12"), "unknown stack '2026.12'"),
    ],
)
def test_what_does_not_go_together_is_one_clear_error(words: tuple[str, ...], said: str) -> None:
    done = ingot("export", "pcluster", *words)
    assert said in done.stderr
    assert (done.returncode in (1, 2), done.stdout) == (True, "")


@pytest.mark.parametrize(
    ("instance_type", "said"),
    [
        ("p5.48xlarge", "note: instances with several network cards get no public address"),
        ("g5.12xlarge", "note: from ParallelCluster 3.15 on, nodes with one network card and EFA get two interfaces"),
        ("g5.xlarge", ""),
    ],
)
def test_a_type_whose_nodes_need_nat_is_told(instance_type: str, said: str) -> None:
    done = ingot("export", "pcluster", "parallelcluster", *NAMED, "--instance-type", instance_type)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stderr.split())
    assert said in text
    assert ("NAT gateway" in text) == bool(said)
