"""Nothing that is used is ever collected, what is not used goes with its snapshots, and each verdict says why."""

from collections.abc import Callable
from typing import Any

import pytest
from moto.batch.models import batch_backends

from tests.aws.names import ACCOUNT, OTHER, REGION, STABLE, WORDS
from tests.aws.world import (
    ami,
    amis,
    answer,
    backend,
    calls,
    client,
    hold,
    node_group,
    refusing,
    second_disk,
    snapshots,
    template,
)  # fmt: skip
from tests.commandline import ingot
from tests.rigs import emulator

pytestmark = pytest.mark.usefixtures("aws")
KEEP_ONE = ["ami", "gc", "--keep", "1", "--json"]


def older_version(made: str) -> None:
    key = template("ami-new")
    for image in (made, "ami-newest"):
        client("ec2").create_launch_template_version(LaunchTemplateId=key, LaunchTemplateData={"ImageId": image})


def aliased_template(made: str) -> None:
    client("ssm").put_parameter(Name="/team/ami", Value=made, Type="String")
    template("resolve:ssm:/team/ami")


def template_with_version_of_alias(made: str) -> None:
    hold("/team/ami", made)
    hold("/team/ami", ami(image="parallelcluster-cpu"))
    template("resolve:ssm:/team/ami:1")


def template_that_leads_nowhere(made: str) -> None:
    template("resolve:ssm:/team/gone", "broken")
    aliased_template(made)


def template_with_arn(made: str) -> None:
    hold("/team/ami", made)
    template(f"resolve:ssm:arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/team/ami")


def group(**more: Any) -> None:
    client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="workers", MinSize=0, MaxSize=1, AvailabilityZones=[f"{REGION}a"], **more
    )


def group_by_configuration(made: str) -> None:
    client("autoscaling").create_launch_configuration(
        LaunchConfigurationName="old", ImageId=made, InstanceType="c7i.large"
    )
    group(LaunchConfigurationName="old")


def group_by_template(made: str) -> None:
    group(LaunchTemplate={"LaunchTemplateId": template(made), "Version": "$Latest"})


def group_by_mix(made: str) -> None:
    plain, special = template("ami-plain", "plain"), template(made, "special")
    group(
        MixedInstancesPolicy={
            "LaunchTemplate": {
                "LaunchTemplateSpecification": {"LaunchTemplateId": plain, "Version": "1"},
                "Overrides": [
                    {
                        "InstanceType": "c7g.large",
                        "LaunchTemplateSpecification": {"LaunchTemplateId": special, "Version": "1"},
                    }
                ],
            }
        }
    )


def instance(made: str, **more: Any) -> str:
    answered = client("ec2").run_instances(ImageId=made, MinCount=1, MaxCount=1, **more)
    found: str = answered["Instances"][0]["InstanceId"]
    return found


def stopped_instance(made: str) -> None:
    client("ec2").stop_instances(InstanceIds=[instance(made)])


def node_group_of_a_later_version(made: str) -> None:
    key = template("ami-old")
    client("ec2").create_launch_template_version(LaunchTemplateId=key, LaunchTemplateData={"ImageId": made})
    node_group(made, key, "2")


def parameter_of_others(made: str) -> None:
    hold("/team/ami", made)


def recipe(made: str) -> None:
    emulator.recipes.append((made, f"arn:aws:imagebuilder:{REGION}:{ACCOUNT}:image-recipe/train/1.0.0"))


def compute_environment(**resources: Any) -> None:
    """A compute environment of AWS Batch as it is described, for moto makes machines for each."""
    backends = batch_backends[ACCOUNT][REGION]
    shown = {"computeEnvironmentName": "gpus", "computeResources": resources}
    setattr(backends, "describe_compute_environments", lambda *_, **__: [shown])  # noqa: B010


def batch_image(made: str) -> None:
    compute_environment(imageId=made)


def batch_kind_of_image(made: str) -> None:
    compute_environment(ec2Configuration=[{"imageType": "ECS_AL2023_NVIDIA", "imageIdOverride": made}])


def batch_template(made: str) -> None:
    template("ami-other")
    template(made, "gpus")
    overrides = [{"launchTemplateName": "gpus", "version": "$Latest", "targetInstanceTypes": ["p5.48xlarge"]}]
    compute_environment(launchTemplate={"launchTemplateName": "web", "version": "$Default", "overrides": overrides})


def shared(made: str) -> None:
    client("ec2").modify_image_attribute(ImageId=made, LaunchPermission={"Add": [{"UserId": "111122223333"}]})


def protected(made: str) -> None:
    backend().amis[made].deregistration_protection = "enabled-without-cooldown"


REFERRERS: list[tuple[Callable[[str], object], str]] = [
    (lambda made: hold(STABLE, made), "channel stable:parallelcluster/al2023/x86_64"),
    (lambda made: hold("/ingot/canary/a/b/c", made), "channel canary:a/b/c"),
    (template, "launch template web version 1"),
    (older_version, "launch template web version 2"),
    (aliased_template, "launch template web version 1"),
    (template_with_version_of_alias, "launch template web version 1"),
    (template_that_leads_nowhere, "launch template web version 1"),
    (template_with_arn, "launch template web version 1"),
    (group_by_configuration, "auto scaling group workers"),
    (group_by_configuration, "launch configuration old"),
    (group_by_template, "auto scaling group workers"),
    (group_by_mix, "auto scaling group workers"),
    (node_group, "EKS node group train/gpus"),
    (node_group_of_a_later_version, "EKS node group train/gpus"),
    (parameter_of_others, "parameter /team/ami"),
    (recipe, "Image Builder recipe train/1.0.0"),
    (batch_image, "compute environment gpus of AWS Batch"),
    (batch_kind_of_image, "compute environment gpus of AWS Batch"),
    (batch_template, "compute environment gpus of AWS Batch"),
    (instance, "running"),
    (stopped_instance, "stopped"),
    (shared, "shared with 111122223333"),
    (protected, "protection from deregistration"),
]


@pytest.mark.parametrize(("refer", "why"), REFERRERS)
def test_what_is_referred_to_is_kept_and_the_verdict_names_what_refers(
    refer: Callable[[str], object], why: str
) -> None:
    made, free, newest = ami(), ami(), ami()
    refer(made)
    verdicts = {each["id"]: each for each in answer(ingot(*KEEP_ONE))}
    assert amis() & {made, free, newest} == {made, newest}
    assert verdicts[made]["keep"]
    assert why in "; ".join(verdicts[made]["why"])
    assert not verdicts[free]["keep"]
    assert "number 1 of the 1 newest" in verdicts[newest]["why"][0]


@pytest.mark.parametrize("operation", ["DescribeImageReferences", "DescribeComputeEnvironments"])
def test_nothing_is_deleted_where_aws_does_not_say_what_refers_to_it(operation: str) -> None:
    made, newest = ami(), ami()
    with calls(refusing(operation, "AccessDeniedException")):
        done = ingot(*KEEP_ONE)
    assert done.returncode == 1
    assert "ingot ami policy gc" in done.stderr
    assert {made, newest} <= amis()


def test_a_channel_is_named_once() -> None:
    made, _ = ami(), ami()
    hold(STABLE, made)
    verdicts = {each["id"]: each for each in answer(ingot(*KEEP_ONE))}
    assert verdicts[made]["why"] == ["channel stable:parallelcluster/al2023/x86_64"]


def test_what_ran_once_is_no_reference() -> None:
    made, _ = ami(), ami()
    client("ec2").terminate_instances(InstanceIds=[instance(made)])
    answer(ingot(*KEEP_ONE))
    assert made not in amis()


def test_snapshots_go_with_their_ami_and_a_second_run_finds_nothing() -> None:
    made, newest = ami(), ami()
    gone, kept = snapshots(made), snapshots(newest)
    answer(ingot(*KEEP_ONE))
    assert set(backend().snapshots) & {*gone, *kept} == set(kept)
    assert [each["keep"] for each in answer(ingot(*KEEP_ONE))] == [True]


def test_so_many_are_kept_of_each_image_system_architecture_and_stack() -> None:
    kinds: list[dict[str, str]] = [{}, {"arch": "aarch64"}, {"stack": "2025.11"}, {"os_name": "ubuntu2404"}]
    made = [[ami(**kind) for _ in range(3)] for kind in kinds]
    verdicts = answer(ingot("ami", "gc", "--keep", "2", "--json"))
    assert amis() == {each for row in made for each in row[1:]}
    assert len(verdicts) == 12


def test_what_a_rollback_would_return_to_is_kept() -> None:
    made = [ami() for _ in range(4)]
    for each in made[:2]:
        hold(STABLE, each)
    verdicts = {each["id"]: each for each in answer(ingot(*KEEP_ONE))}
    assert f"rollback of {STABLE} returns to it" in verdicts[made[0]]["why"]
    assert amis() == {made[0], made[1], made[3]}
    assert ingot("ami", "rollback", *WORDS).returncode == 0


def test_a_reference_that_appears_meanwhile_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingot.ami.gc.BATCH", 1)
    first, second, third = ami(), ami(), ami()
    newest = ami()
    seen: list[str] = []

    def appear(operation: str, _: str, arguments: dict[str, Any]) -> None:
        if operation == "DeregisterImage" and not seen:
            seen.append(arguments["ImageId"])
            hold(STABLE, first)
            template(second)

    with calls(appear):
        verdicts = {each["id"]: each for each in answer(ingot(*KEEP_ONE))}
    assert seen == [third]
    assert amis() == {first, second, newest}
    assert verdicts[first]["why"] == ["channel stable:parallelcluster/al2023/x86_64"]
    assert verdicts[second]["why"] == ["launch template web version 1"]


def test_what_somebody_else_deletes_meanwhile_is_no_error() -> None:
    made, _ = ami(), ami()
    snapshot = snapshots(made)[0]

    def meanwhile(operation: str, _: str, arguments: dict[str, Any]) -> None:
        if operation == "DeregisterImage":
            backend().deregister_image(made)
            backend().delete_snapshot(snapshot)

    with calls(meanwhile):
        assert answer(ingot(*KEEP_ONE))
    assert made not in amis()


def test_a_snapshot_that_another_ami_uses_stays_and_the_verdict_says_so() -> None:
    made, _ = ami(), ami()
    with calls(refusing("DeleteSnapshot", "InvalidSnapshot.InUse")):
        verdicts = {each["id"]: each for each in answer(ingot(*KEEP_ONE))}
    assert "in use" in verdicts[made]["why"][1]


def test_snapshots_of_an_interrupted_collection_go_the_next_time() -> None:
    made, newest = ami(), ami()
    snapshot = snapshots(made)[0]
    client("ec2").deregister_image(ImageId=made)
    kept = client("ec2").create_snapshot(
        VolumeId=client("ec2").create_volume(Size=1, AvailabilityZone=f"{REGION}a")["VolumeId"],
        Description="a copy that somebody keeps",
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": [{"Key": "ingot:image", "Value": "x"}]}],
    )["SnapshotId"]
    verdicts = {each["id"]: each for each in answer(ingot(*KEEP_ONE))}
    assert f"its AMI {made} no longer exists" in verdicts[snapshot]["why"]
    assert snapshot not in backend().snapshots
    assert kept in backend().snapshots
    assert amis() == {newest}


def test_a_snapshot_of_a_deleted_ami_that_another_one_uses_is_no_orphan() -> None:
    made, newest = ami(), ami()
    (snapshot,) = snapshots(made)
    second_disk(newest, snapshot=snapshot)
    client("ec2").deregister_image(ImageId=made)
    with calls() as noted:
        assert {each["id"] for each in answer(ingot(*KEEP_ONE))} == {newest}
    assert "DeleteSnapshot" not in noted.names()


def test_every_snapshot_of_an_ami_goes_with_it() -> None:
    made, newest = ami(), ami()
    second_disk(made)
    gone = snapshots(made)
    answer(ingot(*KEEP_ONE))
    assert len(gone) == 2
    assert set(backend().snapshots) == set(snapshots(newest))


def test_what_is_not_finished_and_what_is_being_copied_is_left_alone() -> None:
    unfinished, pending, _ = ami(finished=""), ami(), ami()
    backend().amis[pending].state, backend().amis[pending].ready = "pending", float("inf")
    verdicts = {each["id"]: each for each in answer(ingot(*KEEP_ONE))}
    assert {unfinished, pending} < amis()
    assert "is not finished" in verdicts[unfinished]["why"][0]
    assert verdicts[pending]["why"] == ["is pending"]


def test_what_is_not_of_ingot_is_not_looked_at() -> None:
    other = client("ec2").register_image(Name="not of Ingot")["ImageId"]
    assert answer(ingot(*KEEP_ONE)) == []
    assert amis() == {other}


def test_each_region_is_collected_by_what_refers_there() -> None:
    here, _, there, _ = ami(), ami(), ami(OTHER), ami(OTHER)
    hold(STABLE, there, OTHER)
    answer(ingot(*KEEP_ONE, "--region", REGION, "--region", OTHER))
    assert here not in amis()
    assert there in amis(OTHER)


def test_a_dry_run_says_what_would_go_and_leaves_it() -> None:
    made, newest = ami(), ami()
    backend().amis[made].last_launched_time = "2026-11-24T01:02:03Z"
    done = ingot("ami", "gc", "--keep", "1", "--dry-run")
    assert done.returncode == 0
    assert amis() == {made, newest}
    assert f"delete {REGION} {made}" in done.stdout
    assert "last launched 2026-11-24" in done.stdout
    assert "1 would be deleted, 1 kept" in done.stdout


@pytest.mark.parametrize("operation", ["DescribeAutoScalingGroups", "ListClusters", "DescribeImageAttribute"])
def test_where_a_reference_cannot_be_looked_for_nothing_goes(operation: str) -> None:
    made, newest = ami(), ami()
    with calls(refusing(operation, "AccessDeniedException")):
        done = ingot("ami", "gc", "--keep", "1")
    assert done.returncode == 1
    assert "allow what `ingot ami policy gc` prints" in done.stderr
    assert amis() == {made, newest}


def test_calls_do_not_grow_with_what_is_kept() -> None:
    def collected(number: int) -> list[str]:
        for _ in range(number):
            instance(ami())
        with calls() as noted:
            answer(ingot("ami", "gc", "--keep", "1000", "--json"))
        return sorted(noted.names())

    assert collected(3) == collected(30)


def test_nothing_of_nothing_is_kept() -> None:
    done = ingot("ami", "gc", "--keep", "0")
    assert done.returncode == 2
