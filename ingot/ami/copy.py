"""Copies an AMI to other regions, all at the same time, tags and encryption kept; what is there is reused."""

import uuid
from collections.abc import Sequence
from typing import Any

from ingot.ami.ami import MOST_TAGS, TAG, Ami, copy_in
from ingot.console import Progress
from ingot.errors import IngotError, UsageError
from ingot.sources.aws import Region, everywhere

# A copy of many GB to the other side of the earth takes long; how often EC2 is asked, and for how long at most.
POLL_SECONDS = 15
WAIT_SECONDS = 2 * 3600


def copy(
    ami: Ami,
    home: Region,
    regions: Sequence[Region],
    kms_key: str,
    progress: Progress,
    *,
    dry_run: bool = False,
    command: str = "copy",
) -> list[dict[str, Any]]:
    """Copy `ami` of `home` to `regions`, wait until all are available, and say for each which it is.

    A copy that is there already, or under way, is taken; one that has failed is made anew.
    """
    if home.name in (each.name for each in regions):
        raise UsageError(f"{ami.id} is in {home.name} already", hint="--to another region")
    for region in regions:
        check_key(kms_key, region)
    if ami.state != "available":
        raise IngotError(f"{ami.id} is {ami.state}, not available", place=home.name)
    keys: list[str] = everywhere([home], command, lambda region: _keys(region, ami))[0]

    def one(region: Region) -> dict[str, Any]:
        found = copy_in(region, ami)
        if found and found.state == "failed" and not dry_run:
            region.ec2.deregister_image(ImageId=found.id)
            found = None
        told = {"region": region.name, "name": ami.name, "reused": found is not None, "id": found.id if found else ""}
        if dry_run:
            return told
        if not found:
            told["id"] = _begin(ami, home, region, kms_key or replica(keys, region.name), bool(keys))
        if not found or found.state != "available":
            progress.tell(f"{told['id']} in {region.name}")
            wait = {"Delay": POLL_SECONDS, "MaxAttempts": max(1, int(WAIT_SECONDS / max(POLL_SECONDS, 0.01)))}
            region.ec2.get_waiter("image_available").wait(ImageIds=[told["id"]], WaiterConfig=wait)
        return told

    with progress.phase(f"copy to {', '.join(region.name for region in regions)}"):
        try:
            return everywhere(regions, command, one)
        except BaseException:
            progress.note("copies that have begun go on in AWS; the same command finds them and waits for them")
            raise


def check_key(kms_key: str, region: Region) -> None:
    """UsageError where a key is one of another region."""
    parts = kms_key.split(":")
    if len(parts) > 4 and parts[3] != region.name:
        raise UsageError(
            f"{kms_key} is a key of {parts[3]}, not of {region.name}",
            hint="name an alias that every region has, alias/ingot, or copy to one region at a time",
        )


def _begin(ami: Ami, home: Region, region: Region, key: str, encrypted: bool) -> str:
    """Begin the copy; its id. What is encrypted stays so, by the region's own key where none is named."""
    tags = {**ami.tags, f"{TAG}copied_from": ami.origin}
    if len(tags) > MOST_TAGS:
        # Where there is no room for one more: no build leaves copies behind.
        tags.pop(f"{TAG}build", None)
    listed = [{"Key": name, "Value": value} for name, value in tags.items()]
    encryption = {"Encrypted": True, "KmsKeyId": key} if key else {"Encrypted": True} if encrypted else {}
    answer = region.ec2.copy_image(
        Name=ami.name,
        SourceImageId=ami.id,
        SourceRegion=home.name,
        Description=ami.shown.get("Description", ""),
        TagSpecifications=[{"ResourceType": kind, "Tags": listed} for kind in ("image", "snapshot")],
        ClientToken=str(uuid.uuid4()),
        **encryption,
    )
    return str(answer["ImageId"])


def _keys(region: Region, ami: Ami) -> list[str]:
    """The keys that an AMI's snapshots are encrypted with."""
    found = region.all("ec2", "describe_snapshots", "Snapshots", SnapshotIds=ami.snapshots) if ami.snapshots else []
    return sorted({each["KmsKeyId"] for each in found if each.get("KmsKeyId")})


def replica(keys: Sequence[str], region: str) -> str:
    """The key of `region` that is the same key: a key of several regions has one id. Nothing: the region's own."""
    several = [key for key in keys if key.partition(":key/")[2].startswith("mrk-")]
    if len(keys) != 1 or not several:
        return ""
    parts = several[0].split(":")
    return ":".join([*parts[:3], region, *parts[4:]])
