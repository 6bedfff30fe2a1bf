"""An emulated EC2 in a process of its own, and the product's command line against it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from ingot import paths
from tests.commandline import PROGRAM, command
from tests.rigs.machines import MADE, NETWORK, PREFIX

REGION = "us-east-1"


@dataclass
class Cloud:
    """The emulator: where it is, what it was asked, and the environment that lets a program use it."""

    folder: Path
    env: dict[str, str]

    def build(self, image: str, os_name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Build an AMI."""
        argv = command("ami", "build", image, "--os", os_name, "--region", REGION, "--json", *words)
        return subprocess.run(argv, env=self.env, cwd=paths.ROOT, capture_output=True, text=True, check=False)

    def run(self, *words: str) -> str:
        """What the product's command line says."""
        done = subprocess.run(command(*words), env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refuse(self, *lines: str) -> None:
        """Answer the next call of each line's action with its code."""
        (self.folder / "faults.txt").write_text("\n".join(lines))

    def calls(self, action: str) -> list[dict[str, Any]]:
        """What each call of an action has asked, since the last `forget`."""
        return self.all_calls().get(action, [])

    def all_calls(self) -> dict[str, list[dict[str, Any]]]:
        """What each call has asked, since the last `forget`, by its action."""
        calls: dict[str, list[dict[str, Any]]] = {}
        for row in map(json.loads, (self.folder / "calls.jsonl").read_text().splitlines()):
            calls.setdefault(row["action"], []).append(row["asked"])
        return calls

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
        containers = ["docker", "ps", "-a", "--format", "{{.Names}}"]
        machines = {f"{kind}{each['InstanceId']}" for each in instances for kind in (PREFIX, NETWORK)}
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
            # Those of another rig are not ours.
            "containers": sorted(
                machines & set(subprocess.run(containers, capture_output=True, text=True, check=True).stdout.split())
            ),
        }
        return {kind: ids for kind, ids in found.items() if ids}


def inside(image: str, *words: str) -> str:
    """What a command says in an image of the emulator's, or of an AMI of it."""
    name = f"{MADE}:{image}" if image.startswith("ami-") else image
    return subprocess.run(["docker", "run", "--rm", name, *words], capture_output=True, text=True, check=True).stdout


@contextmanager
def emulated(folder: Path, simulated: str = "", **given: str) -> Iterator[Cloud]:
    """The emulator while the block runs, with a system's vendors if it is named; `given` are variables of its user."""
    program: list[str | Path] = [sys.executable, "-m", "tests.rigs.ec2", "--folder", folder, "--simulated", simulated]
    env = {**os.environ, "PYTHONPATH": str(paths.ROOT)}
    env.pop("AWS_CA_BUNDLE", None)
    errors = folder / "errors.txt"
    with (
        errors.open("w") as said,
        subprocess.Popen(program, env=env, stdout=subprocess.PIPE, stderr=said, text=True) as server,
    ):
        assert server.stdout is not None
        exported = dict(word.split("=", 1) for word in server.stdout.readline().split()[1:])
        if not exported:
            raise RuntimeError(errors.read_text())
        # So that the program that Packer runs the suite with is this one.
        (folder / "ingot").write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{PROGRAM}" "$@"\n')
        (folder / "ingot").chmod(0o755)
        try:
            yield Cloud(folder, {**env, **exported, **given, "PATH": f"{folder}:{env['PATH']}"})
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
