"""Copies are made in all regions at the same time, carry tags and encryption, and are never made twice."""

import threading
from typing import Any

import pytest
from moto.core.botocore_stubber import BotocoreStubber

from tests.aws.names import ACCOUNT, OTHER, REGION, THIRD
from tests.aws.world import ami, amis, answer, backend, calls, client, refusing, second_disk, snapshots
from tests.commandline import ingot

pytestmark = pytest.mark.usefixtures("aws")


def tags(resource: str, region: str) -> dict[str, str]:
    return dict(backend(region).tags[resource])


def test_a_copy_has_the_tags_of_the_ami_and_so_have_its_snapshots() -> None:
    made = ami()
    rows = answer(ingot("ami", "copy", made, "--to", OTHER, "--to", THIRD, "--json"))
    assert [row["region"] for row in rows] == [OTHER, THIRD]
    for row in rows:
        wanted = {**tags(made, REGION), "ingot:copied_from": made}
        assert tags(row["id"], row["region"]) == wanted
        assert tags(snapshots(row["id"], row["region"])[0], row["region"]) == wanted
        assert row["name"] == backend().amis[made].name


def test_a_second_run_reuses_what_the_first_one_made() -> None:
    made = ami()
    first = answer(ingot("ami", "copy", made, "--to", OTHER, "--json"))
    with calls() as noted:
        second = answer(ingot("ami", "copy", made, "--to", OTHER, "--json"))
    assert (first[0]["id"], second[0]["reused"]) == (second[0]["id"], True)
    assert "CopyImage" not in noted.names()


def test_a_copy_that_is_under_way_is_waited_for_and_one_that_failed_is_made_anew() -> None:
    made = ami()
    (row,) = answer(ingot("ami", "copy", made, "--to", OTHER, "--json"))
    copied = backend(OTHER).amis[row["id"]]
    copied.state, copied.ready = "pending", 0.0
    assert answer(ingot("ami", "copy", made, "--to", OTHER, "--json"))[0]["id"] == row["id"]
    copied.state = "failed"
    (again,) = answer(ingot("ami", "copy", made, "--to", OTHER, "--json"))
    assert amis(OTHER) == {again["id"]}
    assert again["id"] != row["id"]


def test_a_copy_that_fails_while_it_is_waited_for_is_an_error_that_says_to_run_it_again() -> None:
    made = ami()

    def fail(operation: str, region: str, arguments: dict[str, Any]) -> None:
        if operation == "DescribeImages" and "ImageIds" in arguments and region == OTHER:
            for each in backend(OTHER).amis.values():
                each.state = "failed"

    with calls(fail):
        done = ingot("ami", "copy", made, "--to", OTHER)
    assert done.returncode == 1
    assert f"error: {OTHER}: AWS has not finished" in done.stderr
    assert "repeats failed ones" in done.stderr


@pytest.mark.parametrize("state", ["pending", "disabled", "failed"])
def test_what_is_not_available_is_not_copied(state: str) -> None:
    made = ami()
    backend().amis[made].state, backend().amis[made].ready = state, float("inf")
    with calls() as noted:
        done = ingot("ami", "copy", made, "--to", OTHER)
    assert done.returncode == 1
    assert f"{made} is {state}, not available" in done.stderr
    assert "CopyImage" not in noted.names()


def test_a_copy_of_a_copy_says_where_the_first_came_from() -> None:
    made = ami()
    (row,) = answer(ingot("ami", "copy", made, "--to", OTHER, "--json"))
    (second,) = answer(ingot("ami", "copy", row["id"], "--region", OTHER, "--to", THIRD, "--json"))
    assert tags(second["id"], THIRD)["ingot:copied_from"] == made


def test_all_copies_begin_before_the_first_is_done(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.rigs.emulator.copying", 3600.0)
    regions = [OTHER, THIRD, "eu-central-1", "ap-southeast-2"]
    begun = threading.Barrier(len(regions) + 1)

    def together(operation: str, region: str, arguments: dict[str, Any]) -> None:
        if operation == "DescribeImages" and "ImageIds" in arguments and region != REGION:
            begun.wait(timeout=60)

    def done() -> None:
        begun.wait(timeout=60)
        for region in regions:
            for each in backend(region).amis.values():
                each.ready = 0.0

    made = ami()
    threading.Thread(target=done, daemon=True).start()
    # Each region waits for its copy only when every other does, or never ends.
    waited = set()

    def once(operation: str, region: str, arguments: dict[str, Any]) -> None:
        if operation == "DescribeImages" and "ImageIds" in arguments and region not in waited:
            waited.add(region)
            together(operation, region, arguments)

    with calls(once):
        words = [word for region in regions for word in ("--to", region)]
        assert ingot("ami", "copy", made, *words).returncode == 0


def test_what_is_encrypted_stays_encrypted_and_takes_the_key_that_is_named() -> None:
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    made = ami(key=key)
    (plain,) = answer(ingot("ami", "copy", made, "--to", OTHER, "--json"))
    assert backend(OTHER).amis[plain["id"]].ebs_snapshot.encrypted
    (named,) = answer(ingot("ami", "copy", made, "--to", THIRD, "--kms-key", "alias/ingot", "--json"))
    assert backend(THIRD).amis[named["id"]].ebs_snapshot.kms_key_id == "alias/ingot"


def test_a_key_of_several_regions_is_the_same_key_there() -> None:
    made = ami(key=f"arn:aws:kms:{REGION}:{ACCOUNT}:key/mrk-1234")
    (row,) = answer(ingot("ami", "copy", made, "--to", OTHER, "--json"))
    snapshot = backend(OTHER).amis[row["id"]].ebs_snapshot
    assert snapshot.kms_key_id == f"arn:aws:kms:{OTHER}:{ACCOUNT}:key/mrk-1234"


@pytest.mark.parametrize("second", ["", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/mrk-5678"])
def test_where_no_one_key_is_the_same_there_the_region_s_own_encrypts_the_copy(second: str) -> None:
    """A key of one region alone, and two keys of several: EC2 takes one key for a copy."""
    made = ami(key=f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{'mrk-' if second else ''}1234")
    if second:
        second_disk(made, key=second)
    asked: list[dict[str, Any]] = []

    def note(operation: str, _: str, arguments: dict[str, Any]) -> None:
        if operation == "CopyImage":
            asked.append(arguments)

    with calls(note):
        assert ingot("ami", "copy", made, "--to", OTHER).returncode == 0
    assert [(each["Encrypted"], "KmsKeyId" in each) for each in asked] == [(True, False)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", REGION), "is already in us-east-1"),
        (("--to", OTHER, "--kms-key", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"), "a key of us-east-1, not of us-west-2"),
        ((), "no target region"),
        (("--to", "us-wst-2"), "unknown region"),
    ],
)
def test_where_it_cannot_go_is_refused_before_anything_is_copied(words: tuple[str, ...], said: str) -> None:
    made = ami()
    with calls() as noted:
        done = ingot("ami", "copy", made, *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "CopyImage" not in noted.names()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("InvalidAMIName.Duplicate", "an AMI that is not a copy of this one has this name"),
        ("InvalidKmsKey.NotFound", "alias that exists in every region"),
        ("AccessDeniedException", "allow what `ingot ami policy copy` prints"),
    ],
)
def test_a_refusal_names_its_region_and_leaves_the_other_copies(code: str, said: str) -> None:
    made = ami()
    with calls(refusing("CopyImage", code, OTHER)):
        done = ingot("ami", "copy", made, "--to", OTHER, "--to", THIRD)
    assert done.returncode == 1
    assert f"error: {OTHER}: AWS refused" in done.stderr
    assert said in done.stderr
    assert "run the same command again" in done.stderr
    assert len(amis(THIRD)) == 1


def test_an_ami_with_all_the_tags_there_is_room_for_can_be_copied() -> None:
    made = ami(**{f"component{number}": "1" for number in range(50 - 13)})
    assert len(tags(made, REGION)) == 50
    (row,) = answer(ingot("ami", "copy", made, "--to", OTHER, "--json"))
    copied = tags(row["id"], OTHER)
    assert (len(copied), copied["ingot:copied_from"]) == (50, made)


def test_a_dry_run_copies_nothing() -> None:
    made = ami()
    done = ingot("ami", "copy", made, "--to", OTHER, "--dry-run")
    assert (done.returncode, amis(OTHER)) == (0, set())
    assert "would be copied" in done.stdout


def test_a_busy_aws_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ami()
    said = (
        b"<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>slow</Message></Error></Errors></Response>"
    )
    processed = BotocoreStubber.process_request
    refused: list[Any] = []

    def busy(self: Any, request: Any) -> Any:
        if "CopyImage" in str(request.body) and len(refused) < 3:
            refused.append(request)
            return 503, {}, said
        return processed(self, request)

    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(BotocoreStubber, "process_request", busy)
    assert ingot("ami", "copy", made, "--to", OTHER).returncode == 0
    assert (len(refused), len(amis(OTHER))) == (3, 1)
