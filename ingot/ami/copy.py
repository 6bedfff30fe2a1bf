"""Copies an AMI to other regions in parallel, with tags and encryption; reuses existing copies."""

import uuid
from collections.abc import Sequence
from typing import Any

from ingot.ami.ami import MOST_TAGS, TAG, Ami, copy_in
from ingot.console import Progress
from ingot.errors import IngotError, UsageError
from ingot.sources.aws import Region, everywhere

# Interval and limit of polling; a copy of many GB to a distant region takes long.
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
    """Copy `ami` of `home` to `regions`, wait until all copies are available, and return them.

    Reuses copies that exist or are in progress; replaces failed ones.
    """
    if home.name in (region.name for region in regions):
        raise UsageError(f"{ami.id} is already in {home.name}", place="--to", hint="name another region")
    for region in regions:
        check_key(kms_key, region)
    if ami.state != "available":
        raise IngotError(f"{ami.id} is {ami.state}, not available", place=home.name, hint="copy an available AMI")
    keys: list[str] = everywhere([home], command, lambda region: _keys(region, ami))[0]

    def one(region: Region) -> dict[str, Any]:
        existing = copy_in(region, ami)
        if existing and existing.state == "failed" and not dry_run:
            region.ec2.deregister_image(ImageId=existing.id)
            existing = None
        result = {
            "region": region.name,
            "name": ami.name,
            "reused": existing is not None,
            "id": existing.id if existing else "",
        }
        if dry_run:
            return result
        if not existing:
            result["id"] = _begin(ami, home, region, kms_key or replica(keys, region.name), bool(keys))
        if not existing or existing.state != "available":
            progress.tell(f"{result['id']} in {region.name}")
            wait = {"Delay": POLL_SECONDS, "MaxAttempts": max(1, int(WAIT_SECONDS / max(POLL_SECONDS, 0.01)))}
            region.ec2.get_waiter("image_available").wait(ImageIds=[result["id"]], WaiterConfig=wait)
        return result

    with progress.phase(f"copy to {', '.join(region.name for region in regions)}"):
        try:
            return everywhere(regions, command, one)
        except BaseException:
            progress.note("AWS continues copies that have started; run the same command again to wait for them")
            raise


def check_key(kms_key: str, region: Region) -> None:
    """UsageError if a key belongs to another region."""
    parts = kms_key.split(":")
    if len(parts) > 4 and parts[3] != region.name:
        raise UsageError(
            f"{kms_key} is a key of {parts[3]}, not of {region.name}",
            hint="use an alias that exists in every region, alias/ingot, or copy to one region at a time",
        )


def _begin(ami: Ami, home: Region, region: Region, key: str, encrypted: bool) -> str:
    """Start the copy; returns its id. Encrypted AMIs stay encrypted, by default with the region's default key."""
    tags = {**ami.tags, f"{TAG}copied_from": ami.origin}
    if len(tags) > MOST_TAGS:
        # Makes room for one more tag; a copy is never a leftover of a build.
        tags.pop(f"{TAG}build", None)
    pairs = [{"Key": name, "Value": value} for name, value in tags.items()]
    encryption = {"Encrypted": True, "KmsKeyId": key} if key else {"Encrypted": True} if encrypted else {}
    answer = region.ec2.copy_image(
        Name=ami.name,
        SourceImageId=ami.id,
        SourceRegion=home.name,
        Description=ami.shown.get("Description", ""),
        TagSpecifications=[{"ResourceType": kind, "Tags": pairs} for kind in ("image", "snapshot")],
        ClientToken=str(uuid.uuid4()),
        **encryption,
    )
    return str(answer["ImageId"])


def _keys(region: Region, ami: Ami) -> list[str]:
    """The keys that encrypt an AMI's snapshots."""
    snapshots = region.all("ec2", "describe_snapshots", "Snapshots", SnapshotIds=ami.snapshots) if ami.snapshots else []
    return sorted({snapshot["KmsKeyId"] for snapshot in snapshots if snapshot.get("KmsKeyId")})


def replica(keys: Sequence[str], region: str) -> str:
    """The replica in `region` of a multi-Region key, which has the same id; empty for the region's default key."""
    multi_region = [key for key in keys if key.partition(":key/")[2].startswith("mrk-")]
    if len(keys) != 1 or not multi_region:
        return ""
    parts = multi_region[0].split(":")
    return ":".join([*parts[:3], region, *parts[4:]])
