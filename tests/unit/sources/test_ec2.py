"""EC2 is asked for types and images in the regions named; what stops that is one sentence with what to do about it."""

import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.errors import IngotError, UsageError
from ingot.lock import file as locks
from ingot.lock.make import make
from ingot.lock.record import keep, with_images
from ingot.model.lock import RecordedImage
from ingot.model.system import BaseImage
from ingot.sources import ec2
from tests.commandline import ingot


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No credentials, no region and no settings of the machine's own."""
    pytest.importorskip("boto3", reason="boto3 is not installed")
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "REGION", "DEFAULT_REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


def answer_with(bare: pytest.MonkeyPatch, error: str = "") -> list[tuple[str, dict[str, Any]]]:
    """EC2 as this test has it: two pages a region, or an error; every call is noted with its region."""
    from botocore.client import BaseClient
    from botocore.exceptions import ClientError

    calls = []

    def call(self: Any, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        calls.append((self.meta.region_name, arguments))
        if error:
            raise ClientError({"Error": {"Code": error, "Message": "no"}}, operation)
        number = 2 if "NextToken" in arguments else 1
        page: dict[str, Any] = {"InstanceTypes": [{"InstanceType": f"p{number}.{self.meta.region_name}"}]}
        return {**page, "NextToken": "more"} if number == 1 else page

    bare.setattr(BaseClient, "_make_api_call", call)
    return calls


def test_every_page_of_every_region_is_read(bare: pytest.MonkeyPatch) -> None:
    calls = answer_with(bare)
    found, regions = ec2.instance_types(["us-east-1", "eu-west-1"])
    assert list(found) == ["p1.us-east-1", "p2.us-east-1", "p1.eu-west-1", "p2.eu-west-1"]
    assert regions == ["us-east-1", "eu-west-1"]
    assert len(calls) == 4


def test_the_region_of_the_profile_is_taken_when_none_is_named(bare: pytest.MonkeyPatch) -> None:
    answer_with(bare)
    bare.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert ec2.instance_types([])[1] == ["us-west-2"]


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("ExpiredToken", "renew the credentials"),
        ("RequestExpired", "renew the credentials"),
        ("UnauthorizedOperation", "allow ec2:DescribeInstanceTypes"),
        ("AuthFailure", "enabled for the account"),
        ("Throttling", "run it again"),
    ],
)
def test_a_refusal_of_ec2_is_an_error_with_a_hint(bare: pytest.MonkeyPatch, code: str, hint: str) -> None:
    answer_with(bare, code)
    with pytest.raises(IngotError, match="AWS refused") as caught:
        ec2.instance_types(["us-east-1"])
    assert hint in caught.value.hint
    assert caught.value.place == "us-east-1"


def test_missing_credentials_are_an_error_that_says_how_to_go_on(bare: pytest.MonkeyPatch) -> None:
    with pytest.raises(IngotError, match="AWS did not answer") as caught:
        ec2.instance_types(["us-east-1"])
    assert "AWS_PROFILE" in caught.value.hint
    assert "use a file" in caught.value.hint


@pytest.mark.parametrize(
    ("regions", "said"), [(["us-esat-1"], "unknown region 'us-esat-1'"), ([], "no region is set"), (["a b"], "unknown")]
)
def test_a_region_that_is_none_is_refused_before_anything_is_asked(
    bare: pytest.MonkeyPatch, regions: list[str], said: str
) -> None:
    calls = answer_with(bare)
    with pytest.raises(UsageError, match=said) as caught:
        ec2.instance_types(regions)
    assert "us-east-1" in caught.value.hint
    assert calls == []


ROWS: dict[str, BaseImage] = {
    "ec2": BaseImage(ssm="/ubuntu/arm64/ami-id"),
    "eks": BaseImage(owner="amazon", name="eks-arm64-*"),
}


def images(
    bare: pytest.MonkeyPatch, found: list[str], names: Mapping[str, str] | None = None
) -> list[tuple[str, dict[str, Any]]]:
    """EC2 with images of these dates, which `names` may name; every call is noted with its operation."""
    from botocore.client import BaseClient

    calls = []

    def call(self: Any, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        calls.append((operation, arguments))
        if operation == "GetParameter":
            return {"Parameter": {"Value": "ami-1"}}
        named = {day: (names or {}).get(day, f"image-{day}") for day in found}
        return {
            "Images": [
                {"Name": name, "OwnerId": "1234", "CreationDate": f"{day}T01:02:03Z"} for day, name in named.items()
            ]
        }

    bare.setattr(BaseClient, "_make_api_call", call)
    return calls


def test_the_newest_image_is_found_by_parameter_or_by_owner_and_name(bare: pytest.MonkeyPatch) -> None:
    calls = images(bare, ["2026-09-01", "2026-11-02", "2026-10-01"])
    found = ec2.newest_images(ROWS, "aarch64", "us-east-1")
    assert {platform: (image.name, str(image.created)) for platform, image in found.items()} == {
        "ec2": ("image-2026-11-02", "2026-11-02"),
        "eks": ("image-2026-11-02", "2026-11-02"),
    }
    asked = dict(calls[:2])
    assert asked["GetParameter"] == {"Name": "/ubuntu/arm64/ami-id"}
    assert asked["DescribeImages"] == {"ImageIds": ["ami-1"]}
    filters = {each["Name"]: each["Values"] for each in calls[2][1]["Filters"]}
    assert filters == {"name": ["eks-arm64-*"], "architecture": ["arm64"], "state": ["available"]}


def test_a_beta_is_not_taken_for_the_newest_image(bare: pytest.MonkeyPatch) -> None:
    rows = {"ec2": BaseImage(owner="309956199498", name="RHEL-9.*_HVM*")}
    beta = {"2026-11-02": "RHEL-9.8.0_HVM_BETA-20261102-x86_64-0-Hourly2-GP3"}
    images(bare, ["2026-05-06", "2026-11-02"], beta)
    assert ec2.newest_images(rows, "x86_64", "us-east-1")["ec2"].name == "image-2026-05-06"
    images(bare, ["2026-11-02"], beta)
    with pytest.raises(IngotError, match="no image"):
        ec2.newest_images(rows, "x86_64", "us-east-1")


def test_an_image_that_there_is_none_of_is_named(bare: pytest.MonkeyPatch) -> None:
    images(bare, [])
    with pytest.raises(IngotError, match="no image"):
        ec2.newest_images(ROWS, "x86_64", "us-east-1")


def test_a_lock_asks_for_the_base_images_of_its_own_versions_and_architecture() -> None:
    catalog = read_catalog()
    for stack in catalog.stacks:
        lock = make(catalog, catalog.target(stack, "al2023", "aarch64")).lock
        version, kernel = (lock.components[name].version for name in ("parallelcluster", "kernel"))
        assert lock.base_images["parallelcluster"].name == f"aws-parallelcluster-{version}-amzn2023-hvm-arm64-*"
        assert lock.base_images["ec2"].name == f"al2023-ami-2023.*-kernel-{kernel}-arm64"
        assert f"/{lock.components['eks'].version}/" in lock.base_images["eks"].ssm


def test_recorded_images_are_written_and_kept_while_the_row_is_the_same() -> None:
    lock = locks.load(paths.LOCKS / "2026.11" / "ubuntu2404-x86_64.yml")
    image = RecordedImage(name="image-2026-11-02", owner="1234", created=date(2026, 11, 2))
    done = with_images(lock, {"ec2": image})
    assert "base_image.ec2" not in done.unresolved
    assert "base_image.eks" in done.unresolved
    assert "  ec2: {name: image-2026-11-02, owner: '1234', created: '2026-11-02'}" in locks.dump(done)
    assert keep(lock, done).images == {"ec2": image}
    assert keep(lock.model_copy(update={"base_images": {}}), done).images == {}


def test_without_boto3_a_file_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(IngotError, match="boto3 is not installed") as caught:
        ec2.instance_types(["us-east-1"])
    assert "aws ec2 describe-instance-types" in caught.value.hint


def test_boto3_is_imported_only_to_ask_ec2() -> None:
    code = (
        "import sys, ingot.cli.main, ingot.sources.ec2, ingot.catalog.instance_types; sys.exit('boto3' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=paths.ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "answer.json"], "a file needs --as"),
        (["--from", "answer.json", "--as", "x", "--region", "us-east-1"], "--region needs --from aws"),
    ],
)
def test_options_that_do_not_go_together_exit_2(words: list[str], said: str) -> None:
    done = ingot("catalog", "instance-types", *words)
    assert done.returncode == 2
    assert said in done.stderr
