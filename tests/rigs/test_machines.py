"""A machine of the rig boots, is reached and changes as an instance in EC2, so that what holds there is tried here."""

import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from ingot import paths
from ingot.catalog.read import read_catalog
from tests.rigs import machines
from tests.rigs.machines import FAULTS, PREFIX, Fault, ami_image
from tests.rigs.systems import SYSTEMS, docker

pytestmark = [pytest.mark.docker, pytest.mark.network]

SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("ubuntu2404", "debian13", "al2023", "rhel9", "rocky9")]
BOOTED = "until systemctl --quiet is-active ssh.service sshd.service; do sleep 0.1; done"
ENDED = "systemctl is-system-running --wait >/dev/null; systemctl list-units --failed --no-legend"
ASK = "import urllib.request as u; print(u.urlopen(u.Request('http://169.254.169.254{path}', {more})).read().decode())"
TOKEN = "method='PUT', headers={'X-aws-ec2-metadata-token-ttl-seconds': '60'}"
IDENTITY = "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub"
READY = (paths.ROOT / "packer" / "ready.sh").read_text()


class Machine:
    """An instance, and how it is asked."""

    def __init__(self, started: str, fault: Fault) -> None:
        self.ident = uuid.uuid4().hex[:8]
        machines.launch(self.ident, started, metadata(self.ident), fault)

    def run(self, script: str, *, python: bool = False, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a script as root."""
        words = [f"--env={name}={value}" for name, value in variables.items()]
        command = ["docker", "exec", "-i", *words, f"{PREFIX}{self.ident}", *(["python3"] if python else ["sh", "-eu"])]
        return subprocess.run(command, input=script, capture_output=True, text=True, check=False)

    def ask(self, script: str) -> str:
        """What a script prints."""
        done = self.run(script)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def metadata(self, path: str, more: str) -> subprocess.CompletedProcess[str]:
        """What the metadata service says."""
        return self.run(ASK.format(path=path, more=more), python=True)


def metadata(ident: str) -> dict[str, Any]:
    """What EC2 says of an instance."""
    host = f"ip-{ident}.ec2.internal"
    return {
        "ami-id": "ami-1", "hostname": host, "instance-id": f"i-{ident}", "instance-type": "c7i.4xlarge",
        "local-hostname": host, "local-ipv4": "10.0.0.1", "placement": {"region": "us-east-1"},
        "public-keys": {"0": {"name": "rig", "openssh-key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHx rig"}},
    }  # fmt: skip


@pytest.fixture
def launched() -> Iterator[list[Machine]]:
    """The machines that a test launches; gone afterwards."""
    made: list[Machine] = []
    yield made
    for each in made:
        machines.remove(each.ident)


@pytest.mark.parametrize("system", ["debian12", *SLOW])
def test_it_is_reached_before_cloud_init_ends_and_another_starts_from_its_disk(
    system: str, launched: list[Machine]
) -> None:
    login = read_catalog().operating_systems[system].login
    fault = Fault(user_data="#!/bin/sh\necho ran >>/var/lib/user-data\n")
    launched.append(Machine(ami_image(system), fault))
    (first,) = launched
    first.ask(BOOTED)
    assert "running" in first.run("cloud-init status").stdout
    if SYSTEMS[system].kind == "apt":
        assert ".invalid" in first.ask("cat /etc/apt/sources.list")
    done = first.run(READY, LIMIT="120")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "done" in first.run("cloud-init status").stdout
    assert first.ask(ENDED) == ""
    assert first.ask("cat /var/lib/user-data") == "ran\n"
    assert first.ask(f"cat /home/{login}/.ssh/authorized_keys").endswith(" rig\n")
    assert first.ask(f"sudo --user={login} sudo --non-interactive id --user") == "0\n"
    assert first.ask("ls /var/log/journal/*/system.journal")
    if SYSTEMS[system].kind == "apt":
        assert ".invalid" not in first.ask("cat /etc/apt/sources.list")
        first.ask("apt-get check")
    # Of the disk of this one, which has not been sealed, another is made.
    tag = f"ingot/rig-ec2-machine:{first.ident}"
    machines.stop(first.ident)
    machines.keep(first.ident, tag)
    try:
        launched.append(Machine(tag, fault))
        second = launched[1]
        second.ask(BOOTED)
        second.run("cloud-init status --wait")
        # It is another instance for cloud-init.
        assert second.ask("cat /var/lib/user-data") == "ran\nran\n"
        assert second.ask("cat /var/lib/cloud/data/instance-id").strip() == f"i-{second.ident}"
    finally:
        machines.remove(second.ident)
        docker("rmi", "-f", tag)


def test_its_metadata_is_for_those_with_a_token(launched: list[Machine]) -> None:
    launched.append(Machine(ami_image("debian12"), FAULTS["Fine"]))
    (machine,) = launched
    machine.ask(BOOTED)
    path = "/latest/meta-data/instance-id"
    assert "401" in machine.metadata(path, "").stderr
    token = machine.metadata("/latest/api/token", TOKEN).stdout.strip()
    asked = f"headers={{'X-aws-ec2-metadata-token': '{token}'}}"
    assert machine.metadata(path, asked).stdout == f"i-{machine.ident}\n"
    assert machine.metadata("/latest/meta-data/public-keys/", asked).stdout == "0=rig\n"
    assert "404" in machine.metadata("/latest/user-data", asked).stderr


def test_it_reboots_with_its_identity_and_disk_and_without_what_was_in_memory(launched: list[Machine]) -> None:
    launched.append(Machine(ami_image("debian12"), FAULTS["Fine"]))
    (machine,) = launched
    machine.ask(f"{BOOTED}; touch /run/before /var/tmp/before")
    before = machine.ask(IDENTITY)
    started = docker("inspect", "--format", "{{.State.StartedAt}}", f"{PREFIX}{machine.ident}")
    machine.run("systemctl reboot")
    while docker("inspect", "--format", "{{.State.StartedAt}}", f"{PREFIX}{machine.ident}") == started:
        pass
    machine.run(BOOTED)
    assert machine.ask(IDENTITY) == before
    assert machine.ask("ls /run/before /var/tmp/before 2>/dev/null || true") == "/var/tmp/before\n"


def test_a_lock_that_is_held_too_long_is_named_with_its_holder(launched: list[Machine]) -> None:
    launched.append(Machine(ami_image("debian12"), FAULTS["LockHeld"]))
    (machine,) = launched
    machine.ask(f"{BOOTED}; cloud-init status --wait")
    done = machine.run(READY, LIMIT="5")
    assert done.returncode == 1
    assert done.stderr.startswith("not ready: apt's lock is still held after 5 s by apt.systemd.dai (process ")


def test_a_cloud_init_that_fails_is_said(launched: list[Machine]) -> None:
    launched.append(Machine(ami_image("debian12"), FAULTS["CloudInitFails"]))
    (machine,) = launched
    machine.ask(BOOTED)
    done = machine.run(READY, LIMIT="60")
    assert done.returncode == 1
    assert done.stderr.startswith("not ready: cloud-init has failed")
