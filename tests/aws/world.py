"""What the tests find in AWS: AMIs as builds leave them, and calls as they are made."""

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from unittest.mock import patch

import boto3
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto.ec2.models import ec2_backends

from tests.aws.names import ACCOUNT, REGION

_serial = itertools.count(20261101000000)


@cache
def client(service: str, region: str = REGION) -> Any:
    return boto3.client(service, region_name=region)


def ami(
    region: str = REGION,
    *,
    image: str = "parallelcluster",
    os_name: str = "al2023",
    arch: str = "x86_64",
    stack: str = "2026.11",
    suite: str = "passed 210 on {}",
    finished: str = "2026-11-20T10:00:00Z",
    key: str = "",
    **more: str,
) -> str:
    """An AMI as a build leaves it; its snapshot is encrypted where there is a key. `{}` in `suite` is its id."""
    ec2 = client("ec2", region)
    name = f"ingot-{image}-{os_name}-{arch}-{stack}-{next(_serial)}"
    made: str = ec2.register_image(Name=name)["ImageId"]
    tags = {
        "image": image,
        "os": os_name,
        "arch": arch,
        "stack": stack,
        "lock_sha256": "0" * 64,
        "git_commit": "0" * 40,
        "base_ami": "ami-base",
        "suite": suite.format(made),
        "manifest_sha256": "1" * 64,
        "build": "f" * 32,
        "finished": finished,
        "efa": "1.50.0",
        "nccl": "2.31.2",
        **more,
    }
    listed = [{"Key": f"ingot:{name}", "Value": value} for name, value in tags.items() if value]
    ec2.create_tags(Resources=[made, *snapshots(made, region)], Tags=listed)
    entry = ec2_backends[ACCOUNT][region].amis[made]
    if key:
        entry.ebs_snapshot.encrypted, entry.ebs_snapshot.kms_key_id = True, key
    return made


def backend(region: str = REGION) -> Any:
    """moto's own EC2 of a region."""
    return ec2_backends[ACCOUNT][region]


def snapshots(made: str, region: str = REGION) -> list[str]:
    (shown,) = client("ec2", region).describe_images(ImageIds=[made])["Images"]
    return [each["Ebs"]["SnapshotId"] for each in shown["BlockDeviceMappings"]]


def second_disk(made: str, *, key: str = "", snapshot: str = "", region: str = REGION) -> str:
    """Give an AMI another disk, of a snapshot that there is or of its own, encrypted where there is a key."""
    ec2, entry = client("ec2", region), backend(region).amis[made]
    if not snapshot:
        volume = ec2.create_volume(Size=1, AvailabilityZone=f"{region}a")["VolumeId"]
        tags = [{"Key": "ingot:image", "Value": "parallelcluster"}]
        specified = [{"ResourceType": "snapshot", "Tags": tags}]
        created = ec2.create_snapshot(VolumeId=volume, Description=f"of {made}", TagSpecifications=specified)
        snapshot = created["SnapshotId"]
    if key:
        backend(region).snapshots[snapshot].encrypted = True
        backend(region).snapshots[snapshot].kms_key_id = key
    with_disks(
        made, [*entry.block_device_mappings, {"DeviceName": "/dev/sdb", "Ebs": {"SnapshotId": snapshot}}], region
    )
    return snapshot


def with_disks(made: str, disks: list[dict[str, Any]], region: str = REGION) -> None:
    """Give an AMI these disks in the place of its one."""
    entry = backend(region).amis[made]
    entry.__class__ = type("Ami", (type(entry),), {"block_device_mappings": disks})


def amis(region: str = REGION) -> set[str]:
    return set(backend(region).amis)


def hold(name: str, made: str, region: str = REGION) -> None:
    client("ssm", region).put_parameter(Name=name, Value=made, Type="String", DataType="aws:ec2:image", Overwrite=True)


def held(name: str, region: str = REGION) -> str:
    found = client("ssm", region).get_parameters(Names=[name])["Parameters"]
    return found[0]["Value"] if found else ""


@dataclass
class Calls:
    """The calls that were made: service, operation and region of each."""

    made: list[tuple[str, str, str]] = field(default_factory=list)

    def names(self) -> list[str]:
        return [operation for _, operation, _ in self.made]

    def actions(self) -> set[str]:
        """The same as IAM names them."""
        return {f"{service}:{operation}" for service, operation, _ in self.made}


@contextmanager
def calls(before: Callable[[str, str, dict[str, Any]], None] | None = None) -> Iterator[Calls]:
    """Record every call of the block; `before` is told operation, region and arguments, and may raise."""
    noted = Calls()
    call = BaseClient._make_api_call

    def made(self: Any, operation: str, arguments: dict[str, Any]) -> Any:
        noted.made.append((self.meta.service_model.service_name, operation, self.meta.region_name))
        if before:
            before(operation, self.meta.region_name, arguments)
        return call(self, operation, arguments)

    with patch.object(BaseClient, "_make_api_call", made):
        yield noted


def refusing(operation: str, code: str, region: str = "") -> Callable[[str, str, dict[str, Any]], None]:
    """Let AWS refuse an operation with this code, in this region or in all."""

    def before(called: str, where: str, _: dict[str, Any]) -> None:
        if called == operation and region in ("", where):
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, operation)

    return before


def answer(done: Any) -> Any:
    """The JSON document that a command printed; it must have succeeded."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def template(made: str, name: str = "web") -> str:
    answered = client("ec2").create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData={"ImageId": made, "InstanceType": "c7i.large"}
    )
    found: str = answered["LaunchTemplate"]["LaunchTemplateId"]
    return found


def node_group(made: str, key: str = "", version: str = "1") -> None:
    """A node group of a launch template's version; without `key`, of a template of its own."""
    eks = client("eks")
    eks.create_cluster(name="train", roleArn="arn:aws:iam::123456789012:role/r", resourcesVpcConfig={"subnetIds": []})
    eks.create_nodegroup(
        clusterName="train",
        nodegroupName="gpus",
        nodeRole="arn:aws:iam::123456789012:role/r",
        subnets=[],
        launchTemplate={"id": key or template(made), "version": version},
    )


def specified(kind: str, build: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "ingot:build", "Value": build}]}]


def left(build: str = "1" * 32, *, hours: float = 5) -> dict[str, str]:
    """All that a build makes before it is killed, by kind; so many hours ago."""
    ec2 = client("ec2")
    base = ec2.register_image(Name=f"base of {build}")["ImageId"]
    key = ec2.create_key_pair(KeyName=f"key-{build}", TagSpecifications=specified("key-pair", build))["KeyName"]
    security = ec2.create_security_group(
        GroupName=f"group-{build}",
        Description="build",
        VpcId=ec2.describe_vpcs()["Vpcs"][0]["VpcId"],
        TagSpecifications=specified("security-group", build),
    )["GroupId"]
    started = ec2.run_instances(
        ImageId=base,
        MinCount=1,
        MaxCount=1,
        KeyName=key,
        SecurityGroupIds=[security],
        TagSpecifications=[*specified("instance", build), *specified("volume", build)],
    )["Instances"][0]["InstanceId"]
    volume = ec2.create_volume(Size=1, AvailabilityZone=f"{REGION}a", TagSpecifications=specified("volume", build))
    template = ec2.create_launch_template(
        LaunchTemplateName=f"template-{build}",
        LaunchTemplateData={"ImageId": base},
        TagSpecifications=specified("launch-template", build),
    )["LaunchTemplate"]["LaunchTemplateId"]
    half = ami(build=build, finished="", suite="")
    made = datetime.now(UTC) - timedelta(hours=hours)
    every = backend()
    every.get_instance(started).launch_time = made
    for each in every.volumes.values():
        each.create_time = made
    every.key_pairs[key].create_time = every.amis[half].creation_date = made
    every.snapshots[snapshots(half)[0]].start_time = made
    every.launch_templates[template].create_time = made
    return {
        "instance": started,
        "image": half,
        "snapshot": snapshots(half)[0],
        "volume": volume["VolumeId"],
        "launch template": template,
        "key pair": key,
        "security group": security,
    }
