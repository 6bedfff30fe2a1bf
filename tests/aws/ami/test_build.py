"""A build where no instance is to be had, or where the finished AMI does not pass: Packer is played by the test."""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import pytest

from ingot import paths
from ingot.ami import build as ami_build
from ingot.ami import capacity
from ingot.ami.capacity import Options
from ingot.ami.uefi import SigningKey
from ingot.catalog.catalog import Catalog
from ingot.catalog.read import read_catalog
from ingot.console import Progress
from ingot.errors import IngotError, UsageError
from ingot.image.packer import PackerError
from ingot.lock import fill, select
from ingot.model.lock import RecordedImage
from ingot.model.target import ImageSelection
from ingot.sources.ec2 import Base
from tests.aws.names import REGION
from tests.aws.world import ami as make_ami
from tests.aws.world import amis, backend, calls, refusing, snapshots
from tests.own_locks import copy_locks
from tests.signing import signing_key

PASSED = {"passed": 9, "failed": 0, "skipped": 1, "failures": [], "skips": []}
BOOT = {"systemd": "Startup finished in 9s", "stages": {}, "chain": [], "slow": {}, "failed": []}
FAILED = {**PASSED, "failed": 1, "failures": [["test_efa.py::test_bad", "it is gone"]]}
Packer = Callable[[str, Mapping[str, str]], None]
INSUFFICIENT = "Error launching source instance: InsufficientInstanceCapacity: none left"
NO_FLEET = (
    "==> rig.amazon-ebs.image: Error waiting for fleet request (fleet-84363b4e-9653-a982-8e10-0b208dca771b) to become "
    "ready:"
)
# What CreateFleet's errors say, as reports have it: https://github.com/hashicorp/packer/issues/8740,
# https://github.com/NixOS/nixops-aws/issues/41, https://github.com/fedora-copr/copr/issues/3279.
NO_SPOT = "There is no Spot capacity available that matches your request."
TOO_MANY = "Max spot instance count exceeded"
ELSEWHERE = (
    "Your requested instance type (c7i.8xlarge) is not supported in your requested Availability Zone (us-east-1a). "
    "Please retry your request by not specifying an Availability Zone or choosing us-east-1b, us-east-1c."
)
SUFFICIENT = "We currently do not have sufficient c7i.8xlarge capacity in the Availability Zone you requested."
# As packer-plugin-amazon 1.8.1 does where EC2 answers CreateFleet with UnauthorizedOperation.
CRASHED = """Build 'rig.amazon-ebs.image' errored after 114 milliseconds 454 microseconds: unexpected EOF
panic: runtime error: invalid memory address or nil pointer dereference
github.com/hashicorp/packer-plugin-amazon/common.(*StepRunSpotInstance).Run.func2({0x49de000?, 0x1985fc20a050?})
"""


def selected(image: str) -> tuple[Catalog, ImageSelection]:
    catalog = read_catalog(own=paths.own_catalog())
    return catalog, select.image(catalog, catalog.target("2026.11", "debian12", "x86_64"), image)


@pytest.fixture
def build(aws: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """What builds the image of EC2 with CPUs on Debian 12, with a Packer that the test plays."""
    monkeypatch.setattr(ami_build, "ensure_packer", lambda: Path("packer"))
    monkeypatch.setattr("ingot.paths.build_dir", lambda *_: tmp_path)
    monkeypatch.setenv("INGOT_CATALOG", str(copy_locks(tmp_path / "own")))
    base = RecordedImage(name="debian-12-amd64-20261101-1", owner="136693071363", created=date(2026, 11, 1))
    monkeypatch.setattr(fill, "newest_images", lambda rows, *_: dict.fromkeys(rows, base))

    def run(
        packer: Packer, signing: SigningKey | None = None, boot_mode: str = "uefi-preferred", region: str = REGION
    ) -> dict[str, Any]:
        monkeypatch.setattr("ingot.sources.ec2.base_image", lambda *_: Base("ami-base", "/dev/xvda", 8, boot_mode))
        monkeypatch.setattr(capacity, "packer_build", lambda source, variables, **_: packer(source, variables))
        catalog, selection = selected("ec2-cpu")
        return ami_build.build(selection, Options(region, signing=signing), catalog, Progress(quiet=True))

    return run


def failing(said: str) -> PackerError:
    """What Packer's failure is."""
    error = PackerError("Packer failed (exit 1)")
    error.said = said
    return error


class Played:
    """A Packer that makes an AMI, and whose suite on an instance of it says `suite`."""

    def __init__(self, suite: Mapping[str, Any], lacking: int = 0, said: str = INSUFFICIENT) -> None:
        self.suite, self.lacking, self.said = suite, lacking, said
        self.asked: list[tuple[str, str]] = []
        self.told: dict[str, str] = {}
        self.snapshots: list[str] = []

    def __call__(self, source: str, variables: Mapping[str, str]) -> None:
        self.told = dict(variables)
        self.asked.append((variables["instance_type"], variables["spot_instance_types"]))
        if len(self.asked) <= self.lacking:
            raise failing(self.said)
        folder = Path(variables["folder"])
        if source == "amazon-ebs.image":
            region = variables["region"]
            made = make_ami(region, image="ec2-cpu", os_name="debian12", suite="", finished="")
            self.snapshots = snapshots(made, region)
            backend(region).amis[made].architecture = "x86_64"
            backend(region).amis[made].deprecation_time = variables["deprecate_at"]
            (folder / "inputs.json").write_text(json.dumps({"manifest_inputs_sha256": "0" * 64}))
            (folder / "packer.json").write_text(json.dumps({"builds": [{"artifact_id": f"{region}:{made}"}]}))
            return
        (folder / "suite-check.json").write_text(json.dumps(self.suite))
        (folder / "manifest.json").write_text('{"observed": {}}')
        (folder / "space.json").write_text('{"packages": {"libc6": 1048576}, "folders": {}}')
        (folder / "boot.json").write_text(json.dumps(BOOT))
        (folder / "packages.tsv").write_text("libc6\t2.36\tamd64\tinstalled\n")
        if self.suite["failed"]:
            raise failing("Script exited with non-zero exit status: 1")


def test_a_finished_ami_is_tagged_and_published(build: Callable[[Packer], dict[str, Any]]) -> None:
    report = build(Played(PASSED))
    assert amis() == {report["ami"]}
    assert report["parameter"] == "/ingot/candidate/ec2-cpu/debian12/x86_64"
    assert report["suite"]["passed"] == 9
    tags = {tag["value"] for tag in backend().describe_tags() if tag["key"] == "ingot:suite"}
    assert tags == {f"passed 9 on {report['ami']}"}


def test_the_report_names_what_it_speaks_of_and_is_gone_before_the_next_build_changes_it(
    build: Callable[[Packer], dict[str, Any]],
) -> None:
    report = build(Played(PASSED))
    folder = Path(report["dir"])
    said = json.loads((folder / "report.json").read_text())
    assert said["files"].keys() == {"manifest.json", "sbom.cdx.json", "release-notes.md"}
    for name, judged in said["files"].items():
        assert judged["sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()

    page = (folder / "report.html").read_text()
    assert f"{report['ami']} in {REGION}" in page
    assert "Startup finished in 9s" in page

    def packer(source: str, variables: Mapping[str, str]) -> None:
        gone = ("report.json", "report.html", *said["files"])
        assert [path.name for path in folder.iterdir() if path.name in gone] == []
        raise failing("no")

    with pytest.raises(IngotError, match="Packer failed"):
        build(packer)
    assert not (folder / "report.json").exists()


def test_an_image_for_an_accelerator_is_not_built_without_what_drives_it(aws: None) -> None:
    catalog, selection = selected("ec2-neuron")
    with pytest.raises(IngotError, match="debian12-x86_64 has no neuron"):
        ami_build.build(selection, Options(REGION), catalog, Progress(quiet=True))


def test_spot_comes_first_then_each_type_on_demand(build: Callable[[Packer], dict[str, Any]]) -> None:
    types = read_catalog().builders.instance_types["x86_64"]
    packer = Played(PASSED, lacking=2)
    assert build(packer)["bought"] == f"on demand: {types[1]}"
    tried = [(types[0], json.dumps(types)), (types[0], "[]"), (types[1], "[]")]
    assert packer.asked == [*tried, tried[-1]]


@pytest.mark.parametrize("messages", [[NO_SPOT], [TOO_MANY], [ELSEWHERE], [SUFFICIENT], [ELSEWHERE, NO_SPOT]])
def test_spot_that_is_not_to_be_had_is_followed_by_on_demand(
    build: Callable[[Packer], dict[str, Any]], messages: list[str]
) -> None:
    packer = Played(PASSED, lacking=1, said=NO_FLEET + "".join(messages))
    assert build(packer)["bought"] == f"on demand: {packer.asked[0][0]}"


def test_spot_over_which_packers_plugin_crashes_is_followed_by_on_demand_without_its_launch_template(
    build: Callable[[Packer], dict[str, Any]],
) -> None:
    ec2 = boto3.client("ec2", REGION)
    packer = Played(PASSED, lacking=1, said=CRASHED)

    def leaving_templates(source: str, variables: Mapping[str, str]) -> None:
        if variables["spot_instance_types"] != "[]":
            for build_id in (variables["build_id"], "other"):
                tags = [{"Key": "ingot:build", "Value": build_id}]
                ec2.create_launch_template(
                    LaunchTemplateName=build_id, LaunchTemplateData={"ImageId": "ami-1"},
                    TagSpecifications=[{"ResourceType": "launch-template", "Tags": tags}],
                )  # fmt: skip
        packer(source, variables)

    assert build(leaving_templates)["bought"] == f"on demand: {packer.asked[0][0]}"
    assert [each["LaunchTemplateName"] for each in ec2.describe_launch_templates()["LaunchTemplates"]] == ["other"]


def test_what_is_no_lack_of_capacity_is_not_tried_otherwise(build: Callable[[Packer], dict[str, Any]]) -> None:
    packer = Played(PASSED, lacking=1, said=NO_FLEET + "The key pair 'packer' does not exist")
    with pytest.raises(IngotError, match="Packer failed"):
        build(packer)
    assert len(packer.asked) == 1


def test_no_capacity_anywhere_is_one_error_with_every_reason_and_nothing_is_left(
    build: Callable[[Packer], dict[str, Any]],
) -> None:
    types = read_catalog().builders.instance_types["x86_64"]
    with pytest.raises(IngotError, match="no instance to build on") as refused:
        build(Played(PASSED, lacking=99))
    lines = refused.value.message.splitlines()[1:]
    assert lines == [
        f"  {way}: InsufficientInstanceCapacity"
        for way in (f"spot: {', '.join(types)}", *(f"on demand: {name}" for name in types))
    ]
    assert (refused.value.place, amis()) == (REGION, set())


def test_an_ami_that_fails_the_suite_is_named_with_the_test_and_removed(
    build: Callable[[Packer], dict[str, Any]],
) -> None:
    with pytest.raises(IngotError, match=r"1 tests fail on the finished AMI(.|\n)*test_efa.py::test_bad: it is gone"):
        build(Played(FAILED))
    assert amis() == set()


def test_an_ami_that_cannot_be_removed_does_not_hide_why_it_should_be(
    build: Callable[[Packer], dict[str, Any]],
) -> None:
    with calls(refusing("DeregisterImage", "UnauthorizedOperation")), pytest.raises(IngotError, match="1 tests fail"):
        build(Played(FAILED))
    assert len(amis()) == 1


def test_with_a_key_the_ami_is_one_that_starts_with_secure_boot_on(
    build: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    key = signing_key(tmp_path)
    packer = Played(PASSED)
    report = build(packer, key)
    (ami,) = amis()
    assert ami == report["ami"]
    made = backend().amis[ami]
    assert (made.name, made.boot_mode, made.uefi) == (report["name"], "uefi", key.uefi_data)
    assert str(made.deprecation_time)[:10] == packer.told["deprecate_at"][:10]
    assert packer.told["ami_name"] == f"{report['name']}-keyless"
    assert packer.told["ami"] == ami
    assert Path(packer.told["signing_certificate"]).read_bytes() == key.der
    assert snapshots(ami) == packer.snapshots == list(backend().snapshots)
    assert report["parameter"] == "/ingot/candidate/ec2-cpu/debian12/x86_64"


@pytest.mark.parametrize("operation", ["RegisterImage", "DeregisterImage", "EnableImageDeprecation"])
def test_a_key_that_ec2_does_not_take_leaves_nothing(
    build: Callable[..., dict[str, Any]], tmp_path: Path, operation: str
) -> None:
    refused: list[str] = []

    def once(called: str, where: str, asked: dict[str, Any]) -> None:
        if called == operation and not refused and (called != "RegisterImage" or "UefiData" in asked):
            refused.append(called)
            refusing(operation, "InvalidParameterValue")(called, where, asked)

    with calls(once), pytest.raises(IngotError, match="AWS refused"):
        build(Played(PASSED), signing_key(tmp_path))
    assert (refused, amis(), backend().snapshots) == ([operation], set(), {})


def test_a_base_image_that_boots_by_legacy_bios_is_refused_where_a_key_is_given(
    build: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    packer = Played(PASSED)
    with pytest.raises(IngotError, match="ami-base boots by legacy BIOS"):
        build(packer, signing_key(tmp_path), "")
    assert packer.asked == []


def test_without_a_region_the_ami_is_built_in_that_of_the_profile(
    build: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("[profile west]\nregion = eu-west-1\n")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "west")
    # The one of all tests has read another file.
    monkeypatch.setattr("boto3.Session", boto3.session.Session)
    report = build(Played(PASSED), region="")
    assert report["region"] == "eu-west-1"
    assert amis("eu-west-1") == {report["ami"]}


def test_without_any_region_the_build_says_so_before_anything_is_made(
    build: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setattr("boto3.Session", boto3.session.Session)
    packer = Played(PASSED)
    with pytest.raises(UsageError, match="no region is set"):
        build(packer, region="")
    assert packer.asked == []


def test_a_session_that_a_role_would_end_is_refused_before_anything_is_asked(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(select, "require_complete", lambda *_: None)
    catalog = read_catalog()
    selection = select.image(catalog, catalog.target("2026.11", "ubuntu2404", "x86_64"), "ec2-cpu")
    with calls() as noted, pytest.raises(IngotError, match="carries the session of Session Manager"):
        ami_build.build(selection, Options(REGION, instance_profile="ingot"), catalog, Progress(quiet=True))
    assert noted.actions() == set()
