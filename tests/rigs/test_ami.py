"""AMIs, built by the product's own command against an emulated EC2 whose instances are containers of Debian 12.

The image of these tests has the roles that every image ends with; what the others do is tested elsewhere.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from ingot import paths
from ingot.events import POLL_SECONDS
from ingot.packer import CLEAN_UP_SECONDS

pytestmark = [pytest.mark.docker, pytest.mark.network]

REGION = "us-east-1"
IMAGE = "rig"
MAIN = "from ingot.cli import main; main()"


@dataclass
class Cloud:
    """The emulator: where it is, what it was asked, and the environment that lets a program use it."""

    folder: Path
    env: dict[str, str]

    def ingot(self, *words: str) -> list[str]:
        """The command line that runs the product's."""
        return [sys.executable, "-c", MAIN, *words]

    def build(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Build the AMI of these tests."""
        command = self.ingot("ami", "build", IMAGE, "--os", "debian12", "--region", REGION, "--json", *words)
        return subprocess.run(command, env=self.env, cwd=paths.ROOT, capture_output=True, text=True, check=False)

    def run(self, *words: str) -> str:
        """What the product's command line says."""
        done = subprocess.run(self.ingot(*words), env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refuse(self, *lines: str) -> None:
        """Answer the next call of each line's action with its code."""
        (self.folder / "faults.txt").write_text("\n".join(lines))

    def calls(self, action: str) -> list[dict[str, Any]]:
        """What each call of an action has asked, since the last `forget`."""
        lines = (self.folder / "calls.jsonl").read_text().splitlines()
        return [row["asked"] for row in map(json.loads, lines) if row["action"] == action]

    def forget(self) -> None:
        """Begin a test."""
        (self.folder / "calls.jsonl").write_text("")
        self.refuse()

    @property
    def ec2(self) -> Any:
        """A client."""
        words = {"aws_access_key_id": "simulated", "aws_secret_access_key": "simulated"}
        return boto3.client("ec2", region_name=REGION, endpoint_url=self.env["AWS_ENDPOINT_URL"], **words)

    def left(self) -> dict[str, list[str]]:
        """What a build leaves that is not a finished image: by kind, the ids."""
        ec2 = self.ec2
        instances = [each for row in ec2.describe_instances()["Reservations"] for each in row["Instances"]]
        images = ec2.describe_images(Owners=["self"])["Images"]
        names = [{tag["Key"] for tag in each.get("Tags", [])} for each in images]
        containers = ["docker", "ps", "-aq", "--filter", "name=ingot-ec2-"]
        found = {
            "instances": [each["InstanceId"] for each in instances if each["State"]["Name"] != "terminated"],
            "keys": [each["KeyName"] for each in ec2.describe_key_pairs()["KeyPairs"]],
            "groups": [
                each["GroupId"]
                for each in ec2.describe_security_groups()["SecurityGroups"]
                if each["GroupName"] != "default"
            ],
            "templates": [each["LaunchTemplateId"] for each in ec2.describe_launch_templates()["LaunchTemplates"]],
            "images": [
                each["ImageId"]
                for each, tags in zip(images, names, strict=True)
                if "ingot:build" in tags and "ingot:finished" not in tags
            ],
            "containers": subprocess.run(containers, capture_output=True, text=True, check=True).stdout.split(),
        }
        return {kind: ids for kind, ids in found.items() if ids}


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The emulator in a process of its own, and a catalog with the image of these tests."""
    folder = tmp_path_factory.mktemp("ec2")
    own = folder / "own"
    own.mkdir()
    row = {"platform": "ec2", "accelerator": "cpu", "summary": "Only for tests", "roles": ["manifest", "sysprep"]}
    (own / "images.yml").write_text(yaml.safe_dump({"images": {IMAGE: row}}))
    program = [sys.executable, paths.ROOT / "tests" / "rigs" / "ec2.py", folder]
    env = {**os.environ, "PYTHONPATH": f"{paths.ROOT}:{paths.ROOT / 'tests' / 'rigs'}"}
    env.pop("AWS_CA_BUNDLE", None)
    with subprocess.Popen(program, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        # So that the program that Packer runs the suite with is this one.
        (folder / "ingot").write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{MAIN}" "$@"\n')
        (folder / "ingot").chmod(0o755)
        given = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "simulated", "AWS_SECRET_ACCESS_KEY": "simulated"}
        given |= {"INGOT_CATALOG": str(own), "PATH": f"{folder}:{env['PATH']}"}
        try:
            yield Cloud(folder, env | given)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
            shutil.rmtree(paths.ROOT / "build" / IMAGE, ignore_errors=True)


@pytest.fixture
def cloud(emulator: Cloud) -> Iterator[Cloud]:
    """The emulator, before it was asked anything by this test; afterwards nothing is left in it."""
    emulator.forget()
    yield emulator
    assert emulator.left() == {}


def test_an_ami_is_built_verified_twice_and_tagged_and_nothing_else_is_left(cloud: Cloud) -> None:
    # Without capacity for spot instances, nor for the first type.
    cloud.refuse("CreateFleet InsufficientInstanceCapacity", "RunInstances InsufficientInstanceCapacity")
    done = cloud.build()
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["bought"] == "on demand: c7a.4xlarge"
    assert report["suite"]["failed"] == 0
    assert report["suite"]["passed"] > 0
    (image,) = cloud.ec2.describe_images(ImageIds=[report["ami"]])["Images"]
    tags = {tag["Key"]: tag["Value"] for tag in image["Tags"]}
    assert image["Name"].startswith(f"ingot-{IMAGE}-debian12-x86_64-2026.11-")
    assert tags["ingot:suite"] == f"passed {report['suite']['passed']}"
    assert {"ingot:finished", "ingot:manifest_sha256", "ingot:lock_sha256", "ingot:git_commit"} <= set(tags)
    assert (tags["ingot:base_ami"], tags["ingot:build"]) == (report["base_ami"], report["build"])
    (snapshot,) = [each["Ebs"]["SnapshotId"] for each in image["BlockDeviceMappings"]]
    (there,) = cloud.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
    assert {tag["Key"]: tag["Value"] for tag in there["Tags"]} == tags
    assert cloud.calls("EnableImageDeprecation")[0]["ImageId"] == report["ami"]
    launched = cloud.calls("RunInstances")
    assert [each["ImageId"] for each in launched] == [report["base_ami"]] * 2 + [report["ami"]]
    for each in launched:
        assert each["MetadataOptions"]["HttpTokens"] == "required"
        disk = each["BlockDeviceMappings"][0]["Ebs"]
        assert (disk["VolumeType"], str(disk["Encrypted"]).lower()) == ("gp3", "true")
    folder = Path(report["dir"])
    assert json.loads((folder / "manifest.json").read_text())["image"] == IMAGE
    assert any(each["name"] == "libc6" for each in json.loads((folder / "sbom.cdx.json").read_text())["components"])
    assert "2026.11 debian12-x86_64" in (folder / "release-notes.md").read_text()
    channel = json.loads(cloud.run("ami", "show", f"candidate:{IMAGE}/debian12/x86_64", "--region", REGION, "--json"))
    assert channel["id"] == report["ami"]


def test_a_system_without_base_images_is_refused_before_anything_is_asked_for(cloud: Cloud) -> None:
    done = subprocess.run(
        cloud.ingot("ami", "build", "parallelcluster", "--os", "debian12", "--region", REGION),
        env=cloud.env, cwd=paths.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "there is no base image of parallelcluster for debian12" in done.stderr
    assert cloud.calls("RunInstances") == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("RunInstances VcpuLimitExceeded", ""),
        ("CreateImage InternalError", "Packer failed"),
        ("RunInstances UnauthorizedOperation", "UnauthorizedOperation"),
    ],
)
@pytest.mark.slow
def test_what_ec2_refuses_is_said_and_nothing_is_left(cloud: Cloud, fault: str, said: str) -> None:
    cloud.refuse(*[fault] * 99)
    done = cloud.build("--on-demand", "--instance-type", "c7i.4xlarge")
    assert done.returncode == 1
    assert said in done.stderr


@pytest.mark.parametrize("phase", ["RunInstances", "StopInstances", "CreateImage"])
@pytest.mark.slow
def test_a_killed_build_leaves_nothing_but_what_gc_finds(cloud: Cloud, phase: str) -> None:
    command = cloud.ingot("ami", "build", IMAGE, "--os", "debian12", "--region", REGION, "--on-demand")
    with subprocess.Popen(command, env=cloud.env, cwd=paths.ROOT, stderr=subprocess.DEVNULL, text=True) as build:
        while not cloud.calls(phase):
            with pytest.raises(subprocess.TimeoutExpired):
                build.wait(POLL_SECONDS)
        build.kill()
    # Packer is told by the kernel, and takes away what it has made: its key last of all.
    for _ in range(CLEAN_UP_SECONDS * 10):
        if not cloud.left().keys() & {"instances", "keys"}:
            break
        time.sleep(0.1)
    cloud.run("ami", "gc", "--builds", "--age", "0", "--region", REGION)
