"""What a killed build left is found by its tag and deleted; what a build may still use, and what it finished, stays."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.aws.names import STABLE
from tests.aws.world import ami, amis, answer, backend, calls, client, hold, left, refusing, snapshots, specified
from tests.commandline import ingot

pytestmark = pytest.mark.usefixtures("aws")
GC = ["ami", "sweep", "--json"]


def there() -> set[str]:
    """All that carries a build's id and is not finished."""
    tags = {key: value for key, value in backend().tags.items() if "ingot:build" in value}
    every = backend()
    names = {pair.id: name for name, pair in every.key_pairs.items()}
    groups = {group for groups in every.groups.values() for group in groups}
    running = {each.id for each in every.all_instances() if each.state != "terminated"}
    known = {*every.amis, *every.snapshots, *every.volumes, *names, *groups, *running, *every.launch_templates}
    return {names.get(key, key) for key, value in tags.items() if "ingot:finished" not in value and key in known}


def test_everything_that_a_killed_build_left_is_deleted() -> None:
    made = left()
    verdicts = answer(ingot(*GC))
    assert there() == set()
    gone = {(each["name"], each["id"]) for each in verdicts if not each["keep"]}
    assert set(made.items()) <= gone
    assert answer(ingot(*GC)) == []


def test_a_build_that_may_still_run_keeps_all_that_it_made() -> None:
    made = left(hours=1)
    verdicts = {each["id"]: each for each in answer(ingot(*GC))}
    assert set(made.values()) <= there()
    # EC2 does not say when a security group was made: the rest of its build does.
    assert f"build {'1' * 32} was active at" in verdicts[made["security group"]]["why"][0]


def test_the_age_can_be_chosen() -> None:
    left(hours=1)
    answer(ingot(*GC, "--age", "0.5"))
    assert there() == set()


def test_a_group_alone_is_left_until_any_age_will_do() -> None:
    security = client("ec2").create_security_group(
        GroupName="alone",
        Description="build",
        VpcId=client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"],
        TagSpecifications=specified("security-group", "2" * 32),
    )["GroupId"]
    (verdict,) = answer(ingot(*GC))
    assert (verdict["id"], verdict["keep"]) == (security, True)
    assert "--age 0 collects it" in verdict["why"][0]
    answer(ingot(*GC, "--age", "0"))
    assert there() == set()


def test_a_finished_ami_of_the_same_build_and_its_snapshots_stay() -> None:
    made = left()
    finished = ami(build="1" * 32)
    snapshot = snapshots(finished)[0]
    backend().tags[snapshot].pop("ingot:finished")
    answer(ingot(*GC))
    assert finished in amis()
    assert snapshot in backend().snapshots
    assert made["image"] not in amis()


def test_an_unfinished_ami_that_something_refers_to_stays_with_its_snapshots() -> None:
    made = left()
    hold(STABLE, made["image"])
    verdicts = {each["id"]: each for each in answer(ingot(*GC))}
    assert there() == {made["image"], made["snapshot"]}
    assert verdicts[made["image"]]["why"] == ["channel stable:parallelcluster/al2023/x86_64"]


def test_the_instance_on_which_the_suite_ran_does_not_keep_its_ami() -> None:
    made = left()
    started = client("ec2").run_instances(
        ImageId=made["image"], MinCount=1, MaxCount=1, TagSpecifications=specified("instance", "1" * 32)
    )["Instances"][0]["InstanceId"]
    backend().get_instance(started).launch_time = datetime.now(UTC) - timedelta(hours=5)
    for volume in backend().volumes.values():
        volume.create_time = datetime.now(UTC) - timedelta(hours=5)
    answer(ingot(*GC))
    assert there() == set()


def test_the_launch_template_by_which_the_suite_ran_does_not_keep_its_ami() -> None:
    made = left()
    client("ec2").create_launch_template_version(
        LaunchTemplateId=made["launch template"], LaunchTemplateData={"ImageId": made["image"]}
    )
    answer(ingot(*GC))
    assert there() == set()


def test_what_is_in_use_by_something_else_stays_and_the_verdict_says_so() -> None:
    made = left()
    with calls(refusing("DeleteSecurityGroup", "DependencyViolation")):
        verdicts = {each["id"]: each for each in answer(ingot(*GC))}
    assert verdicts[made["security group"]]["keep"]
    assert "in use" in "; ".join(verdicts[made["security group"]]["why"])
    assert there() == {made["security group"]}


def test_a_dry_run_names_it_all_and_leaves_it() -> None:
    made = left()
    done = ingot("ami", "sweep", "--dry-run")
    assert done.returncode == 0
    assert all(each in done.stdout for each in made.values())
    assert set(made.values()) <= there()
    assert "would be deleted, 0 kept" in done.stdout
