"""AMIs are found by id, name and channel, listed with their channels, shown with what refers to them, and compared."""

import json
from unittest.mock import patch

import boto3.session
import pytest

from tests.aws.names import CANDIDATE, OTHER, REGION, STABLE
from tests.aws.world import ami, answer, backend, calls, client, hold, refusing
from tests.commandline import ingot

pytestmark = pytest.mark.usefixtures("aws")


def test_a_list_has_every_region_with_the_newest_first_and_the_channels_that_hold_them() -> None:
    old, new, far = ami(), ami(suite=""), ami(OTHER)
    client("ec2").register_image(Name="not of Ingot")
    hold(STABLE, old)
    hold(CANDIDATE, new)
    rows = answer(ingot("ami", "list", "--region", REGION, "--region", OTHER, "--json"))
    assert [(row["id"], row["channels"], row["suite"]) for row in rows] == [
        (new, ["candidate:parallelcluster/al2023/x86_64"], ""),
        (old, ["stable:parallelcluster/al2023/x86_64"], f"passed 210 on {old}"),
        (far, [], f"passed 210 on {far}"),
    ]


@pytest.mark.parametrize(
    ("option", "value"), [("image", "parallelcluster-cpu"), ("os", "ubuntu2404"), ("arch", "aarch64")]
)
def test_a_list_can_be_of_one_image_system_or_architecture(option: str, value: str) -> None:
    ami()
    wanted = ami(**{"os_name" if option == "os" else option: value})
    assert [row["id"] for row in answer(ingot("ami", "list", f"--{option}", value, "--json"))] == [wanted]


@pytest.mark.parametrize(
    ("suite", "tested"),
    [("passed 210 on {}", True), ("passed in EC2 Image Builder", True), ("passed 210 on ami-0", False), ("", False)],
)
def test_an_ami_is_tested_where_its_tag_names_it(suite: str, tested: bool) -> None:
    made = ami(suite=suite)
    (row,) = answer(ingot("ami", "list", "--json"))
    assert (row["id"], row["tested"]) == (made, tested)
    assert ("passed" in ingot("ami", "list").stdout) == tested


def test_a_copy_of_a_tested_ami_is_tested() -> None:
    answer(ingot("ami", "copy", ami(), "--to", OTHER, "--json"))
    (row,) = answer(ingot("ami", "list", "--region", OTHER, "--json"))
    assert row["tested"]


def test_a_list_for_people_names_them() -> None:
    made = ami()
    hold(STABLE, made)
    done = ingot("ami", "list")
    assert done.returncode == 0
    assert made in done.stdout
    assert "stable" in done.stdout


def test_a_list_of_many_is_read_page_by_page_in_calls_that_do_not_grow_with_it() -> None:
    made = {ami() for _ in range(5)}
    with calls() as few:
        ingot("ami", "list")
    made |= {ami() for _ in range(10)}
    with calls() as many, patch("tests.rigs.emulator.PAGE", 9):
        assert {row["id"] for row in answer(ingot("ami", "list", "--json"))} == made
    assert len(many.made) == len(few.made) + 1


def test_an_ami_is_shown_by_id_by_name_and_by_channel() -> None:
    made = ami()
    hold(STABLE, made)
    name = backend().amis[made].name
    shown = [
        answer(ingot("ami", "show", each, "--json")) for each in (made, name, "stable:parallelcluster/al2023/x86_64")
    ]
    assert shown[0] == shown[1] == shown[2]
    assert shown[0]["components"] == {"efa": "1.50.0", "nccl": "2.31.2"}
    assert shown[0]["referred_to_by"] == ["channel stable:parallelcluster/al2023/x86_64"]
    assert len(shown[0]["snapshots"]) == 1


def test_an_ami_and_the_one_of_a_channel_are_audited_by_their_tags() -> None:
    made = ami(nvidia_container_toolkit="1.17.6", nvidia_driver="580.126.20")
    hold(STABLE, made)
    for reference in (made, "stable:parallelcluster/al2023/x86_64"):
        done = ingot("audit", reference, "--region", REGION, "--json")
        assert done.returncode == 1
        states = {finding["id"]: finding["state"] for finding in json.loads(done.stdout)["findings"]}
        assert states["CVE-2025-23266"] == "open"
        # The stack that the tags name accepts it.
        assert states["CVE-2026-24187"] == "accepted"
    assert ingot("audit", "ami-0123456789abcdef0", "--region", REGION).returncode == 2


def test_whom_an_ami_is_shared_with_is_shown() -> None:
    made = ami()
    client("ec2").modify_image_attribute(ImageId=made, LaunchPermission={"Add": [{"UserId": "111122223333"}]})
    done = ingot("ami", "show", made)
    assert done.returncode == 0
    assert "111122223333" in done.stdout


@pytest.mark.parametrize(
    ("reference", "said", "code"),
    [
        ("ami-0123456789abcdef0", "`ingot ami list` lists", 1),
        ("ingot-x-al2023", "no AMI ingot-x-al2023", 1),
        (
            "stable:parallelcluster/al2023/x86_64",
            "no parameter /ingot/stable/parallelcluster/al2023/x86_64",
            1,
        ),
        ("stable:parallelcluster", "not CHANNEL:IMAGE/OS/ARCH: 'stable:parallelcluster'", 2),
        ("Stable:parallelcluster/al2023/x86_64", "not a channel name: 'Stable'", 2),
    ],
)
def test_what_there_is_not_is_an_error_that_says_what_to_name(reference: str, said: str, code: int) -> None:
    done = ingot("ami", "show", reference)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def test_an_ami_of_somebody_else_is_refused() -> None:
    made = client("ec2").register_image(Name="not of Ingot")["ImageId"]
    assert "is not an AMI of Ingot" in ingot("ami", "show", made).stderr


def test_two_amis_are_compared_by_what_their_tags_say() -> None:
    before, after = ami(docker="29.8.1"), ami(nccl="2.32.0", gdrcopy="2.6")
    text = ingot("ami", "diff", before, after).stdout
    assert "| nccl | 2.31.2 | 2.32.0 |" in text
    assert "| docker | 29.8.1 | – |" in text
    assert "| gdrcopy | – | 2.6 |" in text
    data = answer(ingot("ami", "diff", before, after, "--json"))
    assert data["components"]["gdrcopy"] == [None, "2.6"]
    assert "efa" not in data["components"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("ExpiredToken", "renew the credentials"),
        ("RequestExpired", "renew the credentials"),
        ("AuthFailure", "enabled for the account"),
        ("UnauthorizedOperation", "allow what `ingot ami policy list` prints"),
        ("RequestLimitExceeded", "run it again"),
    ],
)
def test_a_refusal_of_aws_is_one_error_with_a_hint_and_the_region(code: str, said: str) -> None:
    with calls(refusing("DescribeImages", code, OTHER)):
        done = ingot("ami", "list", "--region", REGION, "--region", OTHER)
    assert (done.returncode, done.stdout) == (1, "")
    error, hint = done.stderr.splitlines()
    assert error.startswith(f"error: {OTHER}: AWS refused")
    assert said in hint


def test_a_region_that_there_is_not_exits_2_with_the_nearest() -> None:
    done = ingot("ami", "list", "--region", "us-eas-1")
    assert done.returncode == 2
    assert "did you mean 'us-east-1'" in done.stderr


def test_without_credentials_the_error_says_how_to_get_some(credentials: pytest.MonkeyPatch) -> None:
    credentials.setattr("boto3.Session", boto3.session.Session)
    credentials.delenv("AWS_ACCESS_KEY_ID")
    credentials.delenv("AWS_SECRET_ACCESS_KEY")
    done = ingot("ami", "list")
    assert done.returncode == 1
    assert "set AWS_PROFILE" in done.stderr
    assert "Traceback" not in done.stderr
