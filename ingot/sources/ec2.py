"""Queries EC2 for instance types and for the newest base images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ingot.errors import IngotError
from ingot.model.lock import RecordedImage
from ingot.model.system import BaseImage
from ingot.model.types import EC2_ARCH, Arch
from ingot.sources.aws import known as _known
from ingot.sources.aws import session as _session

INSTEAD = "or use a file: aws ec2 describe-instance-types --output json > FILE"


def instance_types(regions: list[str]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Each type's entry by name, from all `regions` together (else the profile's own), and the queried regions."""
    types: dict[str, dict[str, Any]] = {}
    with _session(", ".join(regions), "ec2:DescribeInstanceTypes", INSTEAD) as session:
        regions = [_known(session, region) for region in regions or [session.region_name or ""]]
        for region in regions:
            client = session.client("ec2", region_name=region)
            for page in client.get_paginator("describe_instance_types").paginate():
                types.update((entry["InstanceType"], entry) for entry in page["InstanceTypes"])
    return types, regions


def newest_images(rows: Mapping[str, BaseImage], arch: Arch, region: str) -> dict[str, RecordedImage]:
    """The newest image of each row (by its name) in `region`: its full name, which has its date, and its owner.

    Names are the same in every region, unlike IDs, so no ID is recorded. IngotError if there is no image.
    """
    images: dict[str, RecordedImage] = {}
    with _session(region, "ec2:DescribeImages and ssm:GetParameter") as session:
        _known(session, region)
        for name, row in rows.items():
            newest = _newest(session, row, row.name, arch, region)
            images[name] = RecordedImage(
                name=newest["Name"], owner=newest["OwnerId"], created=newest["CreationDate"][:10]
            )
    return images


def _newest(session: Any, row: BaseImage, name: str, arch: Arch, region: str) -> dict[str, Any]:
    """EC2's entry for the newest image of a row, or of `name` instead of the row's if it is given."""
    query: dict[str, Any] = {}
    if row.ssm and not name:
        answer = session.client("ssm", region_name=region).get_parameter(Name=row.ssm)
        query["ImageIds"] = [answer["Parameter"]["Value"]]
    else:
        query["Owners"] = [row.owner] if row.owner else []
        filters = {"name": name, "architecture": EC2_ARCH[arch], "state": "available"}
        query["Filters"] = [{"Name": key, "Values": [value]} for key, value in filters.items()]
    images = session.client("ec2", region_name=region).describe_images(**query)["Images"]
    # Red Hat publishes betas from the same account under the same pattern, such as
    # RHEL-8.0_HVM_BETA-20181113-x86_64-1-Hourly2-GP2: https://github.com/hashicorp/packer/issues/8740
    images = [image for image in images if image["Name"] == name or "BETA" not in image["Name"].upper()]
    if not images:
        hint = f"`ingot lock record --region {region}` with the lock's --os and --arch records the newest"
        raise IngotError(f"no image {name or row.ssm}", place=region, hint=hint)
    newest: dict[str, Any] = max(images, key=lambda image: str(image["CreationDate"]))
    return newest


@dataclass(frozen=True)
class Base:
    """An image to build on: its id in the region, its root volume's device and size in GiB, and its boot mode, if it
    has one."""

    id: str
    root_device: str
    gib: int
    boot_mode: str = ""


def base_image(row: BaseImage, recorded: RecordedImage | None, arch: Arch, region: str) -> Base:
    """The image that a lock has recorded, else the newest of its row; IngotError if the region has none."""
    with _session(region, "ec2:DescribeImages and ssm:GetParameter") as session:
        _known(session, region)
        if recorded:
            row = row.model_copy(update={"owner": recorded.owner, "name": recorded.name, "ssm": ""})
        image = _newest(session, row, row.name, arch, region)
    root = image.get("RootDeviceName", "/dev/xvda")
    sizes = {
        device["DeviceName"]: device.get("Ebs", {}).get("VolumeSize", 0) for device in image["BlockDeviceMappings"]
    }
    return Base(image["ImageId"], root, sizes.get(root, 0), image.get("BootMode", ""))
