"""Asks EC2 which instance types there are and which images are the newest, and finishes images that a build has made.

boto3 is imported only here.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from ingot.errors import IngotError, UsageError
from ingot.locked import RecordedImage
from ingot.models import EC2_ARCH, Arch, BaseImage, Platform
from ingot.yamlfile import nearest

INSTEAD = "or take a file: aws ec2 describe-instance-types --output json > FILE"
RENEW = "renew the credentials, for example with `aws sso login`"
# By the error's code, or by its class where AWS was not reached.
HINTS = {
    "NoCredentialsError": "set AWS_PROFILE, or log in with `aws sso login`",
    "ExpiredToken": RENEW,
    "ExpiredTokenException": RENEW,
    "RequestExpired": RENEW,
    "AuthFailure": "the credentials are not valid in this region: it may have to be enabled for the account",
    "UnauthorizedOperation": "allow {needs}",
    "AccessDeniedException": "allow {needs}",
    "ParameterNotFound": "mend the parameter in operating_systems.yml",
    "EndpointConnectionError": "is there a network?",
}


@contextmanager
def _session(where: str, needs: str, instead: str = "") -> Iterator[Any]:
    """A boto3 session; what goes wrong in the block is one error that says what to do about it."""
    other = f", {instead}" if instead else ""
    try:
        boto3, exceptions = import_module("boto3"), import_module("botocore.exceptions")
    except ImportError:
        raise IngotError("boto3 is not installed", hint=f"pip install boto3{other}") from None
    try:
        yield boto3.Session()
    except (exceptions.BotoCoreError, exceptions.ClientError) as error:
        name = getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__)
        hint = HINTS.get(name, "").format(needs=needs)
        offer = other if name in ("NoCredentialsError", "EndpointConnectionError") else ""
        raise IngotError(f"EC2 did not answer: {error}", place=where, hint=hint + offer) from None


def _known(session: Any, region: str) -> str:
    """`region` if there is such a region; UsageError with the nearest name if not."""
    known = {
        each
        for partition in session.get_available_partitions()
        for each in session.get_available_regions("ec2", partition)
    }
    if region not in known:
        what = f"unknown region {region!r}" if region else "no region is set"
        raise UsageError(what, hint=f"--region: {nearest(region, known)}")
    return region


def instance_types(regions: list[str]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Each type's entry by name, from all `regions` together (else the profile's own), and the regions asked."""
    found: dict[str, dict[str, Any]] = {}
    with _session(", ".join(regions), "ec2:DescribeInstanceTypes", INSTEAD) as session:
        regions = [_known(session, region) for region in regions or [session.region_name or ""]]
        for region in regions:
            client = session.client("ec2", region_name=region)
            for page in client.get_paginator("describe_instance_types").paginate():
                found.update((entry["InstanceType"], entry) for entry in page["InstanceTypes"])
    return found, regions


def newest_images(rows: Mapping[Platform, BaseImage], arch: Arch, region: str) -> dict[Platform, RecordedImage]:
    """The newest image of each row (by platform) in `region`: its full name, which says its date, and its owner.

    Names are the same in every region, IDs are not, so that no ID is recorded. IngotError when a row finds nothing.
    """
    found: dict[Platform, RecordedImage] = {}
    with _session(region, "ec2:DescribeImages and ssm:GetParameter") as session:
        _known(session, region)
        for platform, row in rows.items():
            newest = _newest(session, row, row.name, arch, region)
            found[platform] = RecordedImage(
                name=newest["Name"], owner=newest["OwnerId"], created=newest["CreationDate"][:10]
            )
    return found


def _newest(session: Any, row: BaseImage, name: str, arch: Arch, region: str) -> dict[str, Any]:
    """What EC2 says of the newest image of a row; of `name` instead of the row's where there is one."""
    asked: dict[str, Any] = {}
    if row.ssm and not name:
        answer = session.client("ssm", region_name=region).get_parameter(Name=row.ssm)
        asked["ImageIds"] = [answer["Parameter"]["Value"]]
    else:
        asked["Owners"] = [row.owner] if row.owner else []
        filters = {"name": name, "architecture": EC2_ARCH[arch], "state": "available"}
        asked["Filters"] = [{"Name": key, "Values": [value]} for key, value in filters.items()]
    images = session.client("ec2", region_name=region).describe_images(**asked)["Images"]
    if not images:
        raise IngotError(f"there is no image {name or row.ssm}", place=region, hint="`ingot lock --record` finds newer")
    newest: dict[str, Any] = max(images, key=lambda image: str(image["CreationDate"]))
    return newest


@dataclass(frozen=True)
class Base:
    """An image to build on: its id in the region, and its root volume's device and size in GiB."""

    id: str
    root_device: str
    gib: int


def base_image(row: BaseImage, recorded: RecordedImage | None, arch: Arch, region: str) -> Base:
    """The image that a lock has recorded, or else the newest of its row; IngotError when the region has none."""
    with _session(region, "ec2:DescribeImages and ssm:GetParameter") as session:
        _known(session, region)
        if recorded:
            row = row.model_copy(update={"owner": recorded.owner, "name": recorded.name, "ssm": ""})
        image = _newest(session, row, row.name, arch, region)
    root = image.get("RootDeviceName", "/dev/xvda")
    sizes = {each["DeviceName"]: each.get("Ebs", {}).get("VolumeSize", 0) for each in image["BlockDeviceMappings"]}
    return Base(image["ImageId"], root, sizes.get(root, 0))


def endpoint() -> str:
    """The address of an emulator of EC2 as boto3 takes it from the environment; empty is EC2 itself."""
    return os.environ.get("AWS_ENDPOINT_URL_EC2") or os.environ.get("AWS_ENDPOINT_URL", "")


def _snapshots(image: Mapping[str, Any]) -> list[str]:
    return [each["Ebs"]["SnapshotId"] for each in image["BlockDeviceMappings"] if "SnapshotId" in each.get("Ebs", {})]


def finish(ami: str, region: str, passed: int, manifest: bytes) -> None:
    """Tag an image and its snapshots as finished: the suite has passed on an instance of it."""
    said = {
        "ingot:suite": f"passed {passed}",
        "ingot:manifest_sha256": hashlib.sha256(manifest).hexdigest(),
        "ingot:finished": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    with _session(region, "ec2:DescribeImages and ec2:CreateTags") as session:
        client = session.client("ec2", region_name=region)
        (image,) = client.describe_images(ImageIds=[ami])["Images"]
        tags = [{"Key": key, "Value": value} for key, value in said.items()]
        client.create_tags(Resources=[ami, *_snapshots(image)], Tags=tags)


def remove(ami: str, region: str) -> None:
    """Take an image away, and its snapshots."""
    with _session(region, "ec2:DeregisterImage and ec2:DeleteSnapshot") as session:
        client = session.client("ec2", region_name=region)
        for image in client.describe_images(ImageIds=[ami])["Images"]:
            client.deregister_image(ImageId=ami)
            for snapshot in _snapshots(image):
                client.delete_snapshot(SnapshotId=snapshot)
