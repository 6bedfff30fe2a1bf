"""`ingot ami build` makes an AMI that passes the suite, or fails with the reason and leaves nothing in the account.

They build an image of their own on Debian 12, with the roles that every image ends with; `test_ami_grid.py` builds the
catalog's.
"""

import contextlib
import json
import os
import pty
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingot import paths
from ingot.ami import policy
from ingot.image.events import POLL_SECONDS
from ingot.image.packer import CLEAN_UP_SECONDS
from tests.commandline import command
from tests.own_locks import copy_locks
from tests.rigs.cloud import REGION, Cloud, emulated, inside
from tests.signing import signing_key

pytestmark = [pytest.mark.docker, pytest.mark.network]

IMAGE = "rig"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The emulator, and a catalog with the image of these tests."""
    folder = tmp_path_factory.mktemp("ec2")
    own = copy_locks(folder / "own")
    row = {
        "platform": "ec2",
        "accelerator": "cpu",
        "summary": "Only for tests",
        "roles": ["node_exporter", "manifest", "sysprep"],
    }
    (own / "images.yml").write_text(yaml.safe_dump({"images": {IMAGE: row}}))
    try:
        with emulated(folder, INGOT_CATALOG=str(own)) as cloud:
            yield cloud
    finally:
        shutil.rmtree(paths.ROOT / "build" / IMAGE, ignore_errors=True)


@pytest.fixture
def cloud(emulator: Cloud) -> Iterator[Cloud]:
    """The emulator, before it was asked anything by this test; afterwards nothing is left in it."""
    emulator.forget()
    yield emulator
    assert emulator.left() == {}


@dataclass(frozen=True)
class Built:
    """A build that has ended well: what it reports, and the calls of each action."""

    report: dict[str, Any]
    calls: dict[str, list[dict[str, Any]]]

    def suite(self, name: str) -> dict[str, Any]:
        """What the suite says of one of the two machines, the builder (`image`) and that of the AMI (`check`)."""
        found: dict[str, Any] = json.loads((Path(self.report["dir"]) / f"suite-{name}.json").read_text())
        return found


@pytest.fixture(scope="module")
def built(emulator: Cloud) -> Built:
    """A build without capacity for spot instances, nor for the first type."""
    emulator.forget()
    emulator.refuse("CreateFleet MaxSpotInstanceCountExceeded", "RunInstances InsufficientInstanceCapacity")
    done = emulator.build(IMAGE, "debian12")
    assert done.returncode == 0, done.stderr
    calls = emulator.all_calls()
    assert emulator.left() == {}
    return Built(json.loads(done.stdout), calls)


def test_an_ami_is_built_verified_twice_and_tagged_and_nothing_else_is_left(emulator: Cloud, built: Built) -> None:
    report = built.report
    assert report["bought"] == "on demand: c7a.4xlarge"
    assert report["suite"]["failed"] == 0
    assert report["suite"]["passed"] > 0
    (image,) = emulator.ec2.describe_images(ImageIds=[report["ami"]])["Images"]
    tags = {tag["Key"]: tag["Value"] for tag in image["Tags"]}
    assert image["Name"].startswith(f"ingot-{IMAGE}-debian12-x86_64-2026.11-")
    assert tags["ingot:suite"] == f"passed {report['suite']['passed']} on {report['ami']}"
    assert {"ingot:finished", "ingot:manifest_sha256", "ingot:lock_sha256", "ingot:git_commit"} <= set(tags)
    assert (tags["ingot:base_ami"], tags["ingot:build"]) == (report["base_ami"], report["build"])
    (snapshot,) = [each["Ebs"]["SnapshotId"] for each in image["BlockDeviceMappings"]]
    (there,) = emulator.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"]
    assert {tag["Key"]: tag["Value"] for tag in there["Tags"]} == tags
    assert built.calls["EnableImageDeprecation"][0]["ImageId"] == report["ami"]
    launched = built.calls["RunInstances"]
    assert [each["ImageId"] for each in launched] == [report["base_ami"]] * 2 + [report["ami"]]
    for each in launched:
        assert each["MetadataOptions"]["HttpTokens"] == "required"
        (device,) = each["BlockDeviceMappings"]
        # Under another name it would be a second volume.
        assert device["DeviceName"] == image["RootDeviceName"] == "/dev/xvda"
        disk = device["Ebs"]
        assert (disk["VolumeType"], str(disk["Encrypted"]).lower()) == ("gp3", "true")
    folder = Path(report["dir"])
    assert json.loads((folder / "manifest.json").read_text())["image"] == IMAGE
    assert any(each["name"] == "libc6" for each in json.loads((folder / "sbom.cdx.json").read_text())["components"])
    assert "2026.11 debian12-x86_64" in (folder / "release-notes.md").read_text()
    shown = emulator.run("ami", "show", f"candidate:{IMAGE}/debian12/x86_64", "--region", REGION, "--json")
    assert json.loads(shown)["id"] == report["ami"]


# What holds for a machine of the finished image alone.
OWN = {
    "test_machine.py::test_the_machine_has_an_id_of_its_own_made_after_the_image",
    "test_machine.py::test_ssh_host_keys_were_made_after_the_image",
    "test_sysprep.py::test_what_tells_machines_apart_was_made_after_the_image",
}


def test_the_second_machine_has_booted_from_the_ami_with_an_identity_of_its_own(built: Built) -> None:
    builder, second = (dict(built.suite(name)["skips"]) for name in ("image", "check"))
    booted = "test_machine.py::test_the_system_is_running_and_no_unit_has_failed"
    assert booted not in builder | second
    assert set(builder) - set(second) == OWN
    assert built.suite("check")["failed"] == 0


# Identity and traces on a disk: what a machine makes at its first boot, and what the builder's has written.
TRACES = """find /etc/ssh/ssh_host_* /var/lib/cloud /var/lib/dbus/machine-id /home /root /var/log /var/lib/apt/lists \
  -type f ! -path '/home/*/.bash*' ! -path '/home/*/.profile' ! -path '/root/.bashrc' ! -path '/root/.profile' -size +0
cat /etc/machine-id"""


def test_the_disk_of_an_ami_has_no_identity_and_no_trace_of_its_builder(built: Built) -> None:
    assert inside(built.report["ami"], "sh", "-c", f"{{ {TRACES}; }} 2>/dev/null; true") == ""


# Calls beside those of EC2.
OF_SSM = {"GetParameter", "GetParameters", "PutParameter"}


def test_the_policy_of_a_build_allows_exactly_what_it_calls(built: Built) -> None:
    made = {f"{'ssm' if action in OF_SSM else 'ec2'}:{action}" for action in built.calls}
    assert made == policy.called("build")


def test_spot_that_may_not_be_asked_for_is_followed_by_on_demand(cloud: Cloud) -> None:
    # Packer's plugin crashes over it, and leaves its launch template and crash.log.
    cloud.refuse("CreateFleet UnauthorizedOperation")
    done = cloud.build(IMAGE, "debian12")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bought"].startswith("on demand: ")
    assert "EC2 refused CreateFleet" in " ".join(done.stderr.split())
    assert not (paths.ROOT / "crash.log").exists()


@pytest.mark.slow
def test_with_a_key_an_ami_is_registered_anew_and_the_key_stays_nowhere(cloud: Cloud, tmp_path: Path) -> None:
    key = signing_key(tmp_path)
    words = ["--on-demand", "--signing-key", str(key.key), "--signing-certificate", str(key.certificate), "--trust"]
    done = cloud.build(IMAGE, "debian12", *words, str(key.certificate))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    (asked,) = cloud.calls("RegisterImage")
    assert (asked["Name"], asked["BootMode"], asked["TpmSupport"]) == (report["name"], "uefi", "v2.0")
    assert json.loads(cloud.run("ami", "show", report["ami"], "--region", REGION, "--json"))["name"] == report["name"]
    assert {each["ImageId"] for each in cloud.calls("RunInstances")[-1:]} == {report["ami"]}
    secret = key.key.read_text().splitlines()[1]
    assert inside(report["ami"], "sh", "-c", f"grep -rlsF {secret} /etc /home /root /srv /tmp /usr /var; true") == ""
    assert secret not in (Path(report["dir"]) / "build.log").read_text()


@pytest.mark.slow
def test_packer_asks_at_the_terminal_before_each_step(cloud: Cloud) -> None:
    argv = command("ami", "build", IMAGE, "--os", "debian12", "--region", REGION, "--debug")
    before = len(cloud.ec2.describe_images(Owners=["self"])["Images"])
    ours, its = pty.openpty()
    with subprocess.Popen(
        ["setsid", "--ctty", "--wait", *argv],
        env=cloud.env, cwd=paths.ROOT, stdin=its, stdout=its, stderr=its,
    ) as process:  # fmt: skip
        os.close(its)
        said = answered = 0
        text = ""
        # The terminal ends with an error when nobody has it open any more.
        with contextlib.suppress(OSError):
            while chunk := os.read(ours, 1 << 16):
                text += chunk.decode(errors="replace")
                said = text.count("Press enter to continue")
                os.write(ours, b"\r" * (said - answered))
                answered = said
    os.close(ours)
    assert process.returncode == 0, text[-3000:]
    assert said > 2
    assert len(cloud.ec2.describe_images(Owners=["self"])["Images"]) == before + 1


def test_a_system_without_base_images_is_refused_before_anything_is_asked_for(cloud: Cloud) -> None:
    done = subprocess.run(
        command("ami", "build", "parallelcluster", "--os", "debian12", "--region", REGION),
        env=cloud.env, cwd=paths.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "no base image of parallelcluster for debian12" in done.stderr
    assert cloud.calls("RunInstances") == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("RunInstances VcpuLimitExceeded", "no instance to build on"),
        ("CreateImage InternalError", "Packer failed"),
        ("RunInstances UnauthorizedOperation", "AWS refused ec2:RunInstances"),
        ("StopInstances UnauthorizedOperation", "allow what `ingot ami policy build` prints"),
    ],
)
@pytest.mark.slow
def test_what_ec2_refuses_is_said_and_nothing_is_left(cloud: Cloud, fault: str, said: str) -> None:
    cloud.refuse(*[fault] * 99)
    done = cloud.build(IMAGE, "debian12", "--on-demand", "--instance-type", "c7i.4xlarge")
    assert done.returncode == 1
    assert said in done.stderr


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        (["NoNetwork"], "us-east-1: the builder never answered by ssh"),
        (["LockHeld"], "us-east-1: the builder never became ready: apt's lock is still held after 45 s by apt."),
        (["CloudInitFails"], "us-east-1: the builder never became ready: cloud-init has failed"),
        (["Fine", "UnitFails"], "1 tests fail on the finished AMI, which is deleted\n  test_machine.py::test_the_sys"),
    ],
    ids=["no network", "lock held", "cloud-init fails", "second machine"],
)
@pytest.mark.slow
def test_a_machine_that_is_not_well_is_one_error_and_nothing_is_left(
    cloud: Cloud, faults: list[str], said: str
) -> None:
    cloud.refuse(*[f"RunInstances {fault}" for fault in faults])
    limits = {"PKR_VAR_login_seconds": "40", "PKR_VAR_ready_seconds": "45" if "LockHeld" in faults else "120"}
    before = cloud.ec2.describe_images(Owners=["self"])["Images"]
    done = replace(cloud, env={**cloud.env, **limits}).build(IMAGE, "debian12", "--on-demand")
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("error: ") == 1
    assert cloud.ec2.describe_images(Owners=["self"])["Images"] == before


@pytest.mark.slow
def test_spot_that_is_refused_in_every_zone_is_followed_by_on_demand_in_the_first(cloud: Cloud) -> None:
    subnets = [each["SubnetId"] for each in cloud.ec2.describe_subnets()["Subnets"][:3]]
    # Packer asks again for two minutes where EC2 speaks of capacity.
    cloud.refuse(*["CreateFleet MaxSpotInstanceCountExceeded"] * 3)
    done = cloud.build(IMAGE, "debian12", *(word for subnet in subnets for word in ("--subnet", subnet)))
    assert done.returncode == 0, done.stderr
    assert len(cloud.calls("CreateFleet")) == 3
    assert json.loads(done.stdout)["bought"] == f"on demand: c7i.4xlarge in {subnets[0]}"


@pytest.mark.parametrize("phase", ["RunInstances", "StopInstances", "CreateImage"])
@pytest.mark.slow
def test_a_killed_build_leaves_nothing_but_what_gc_finds(cloud: Cloud, phase: str) -> None:
    argv = command("ami", "build", IMAGE, "--os", "debian12", "--region", REGION, "--on-demand")
    with subprocess.Popen(argv, env=cloud.env, cwd=paths.ROOT, stderr=subprocess.DEVNULL, text=True) as build:
        while not cloud.calls(phase):
            with pytest.raises(subprocess.TimeoutExpired):
                build.wait(POLL_SECONDS)
        build.kill()
    # Packer is told by the kernel, and takes away what it has made: its key last of all.
    for _ in range(CLEAN_UP_SECONDS * 10):
        if not cloud.left().keys() & {"instances", "keys"}:
            break
        time.sleep(0.1)
    cloud.run("ami", "sweep", "--age", "0", "--region", REGION)
