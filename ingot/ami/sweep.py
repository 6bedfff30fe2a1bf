"""Deletes leftovers of killed builds: old resources with a build's id that are not finished."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ingot.ami import ami
from ingot.ami.gc import Verdict
from ingot.ami.references import LIVES, references
from ingot.console import Progress
from ingot.sources.aws import Region, at_once, everywhere, tolerated

BUILD, FINISHED = f"{ami.TAG}build", f"{ami.TAG}finished"


@dataclass(frozen=True)
class Kind:
    """A kind of resource of a build: how EC2 lists, identifies, dates and deletes it."""

    name: str
    operation: str
    key: str
    id: str
    time: str
    delete: Callable[[Any, str], Any]


# In the order of deletion: users before used.
KINDS = (
    Kind(
        "instance",
        "describe_instances",
        "Reservations",
        "InstanceId",
        "LaunchTime",
        lambda ec2, name: ec2.terminate_instances(InstanceIds=[name]),
    ),
    Kind(
        "image",
        "describe_images",
        "Images",
        "ImageId",
        "CreationDate",
        lambda ec2, name: ec2.deregister_image(ImageId=name),
    ),
    Kind(
        "snapshot",
        "describe_snapshots",
        "Snapshots",
        "SnapshotId",
        "StartTime",
        lambda ec2, name: ec2.delete_snapshot(SnapshotId=name),
    ),
    Kind(
        "volume",
        "describe_volumes",
        "Volumes",
        "VolumeId",
        "CreateTime",
        lambda ec2, name: ec2.delete_volume(VolumeId=name),
    ),
    Kind(
        "launch template",
        "describe_launch_templates",
        "LaunchTemplates",
        "LaunchTemplateId",
        "CreateTime",
        lambda ec2, name: ec2.delete_launch_template(LaunchTemplateId=name),
    ),
    Kind(
        "key pair",
        "describe_key_pairs",
        "KeyPairs",
        "KeyName",
        "CreateTime",
        lambda ec2, name: ec2.delete_key_pair(KeyName=name),
    ),
    # EC2 does not give the creation time of a security group.
    Kind(
        "security group",
        "describe_security_groups",
        "SecurityGroups",
        "GroupId",
        "",
        lambda ec2, name: ec2.delete_security_group(GroupId=name),
    ),
)
OWNED: dict[str, dict[str, Any]] = {
    "image": {"Owners": ["self"], "IncludeDisabled": True},
    "snapshot": {"OwnerIds": ["self"]},
}


@dataclass(frozen=True)
class Leftover:
    """One resource with a build's id."""

    kind: Kind
    id: str
    build: str
    made: datetime | None
    shown: Mapping[str, Any]


def collect(regions: Sequence[Region], age: timedelta, progress: Progress, *, dry_run: bool = False) -> list[Verdict]:
    """Delete leftovers of builds older than `age` in every region; returns a verdict on each."""
    with progress.phase(f"collect leftovers in {', '.join(region.name for region in regions)}"):
        verdicts_by_region = everywhere(regions, "sweep", lambda region: _collect(region, age, dry_run))
    return [verdict for verdicts in verdicts_by_region for verdict in verdicts]


def _collect(region: Region, age: timedelta, dry_run: bool) -> list[Verdict]:
    listed = at_once(lambda kind: _listed(region, kind), KINDS)
    leftovers = [leftover for resources in listed for leftover in resources if FINISHED not in _tags(leftover.shown)]
    done = [ami.of(leftover.shown, region.name) for leftover in listed[1] if FINISHED in _tags(leftover.shown)]
    safe = {snapshot for image in done for snapshot in image.snapshots}
    leftovers = [leftover for leftover in leftovers if leftover.id not in safe]
    now = datetime.now(UTC)
    youngest: dict[str, datetime] = {}
    for leftover in leftovers:
        if leftover.made:
            youngest[leftover.build] = max(leftover.made, youngest.get(leftover.build, leftover.made))

    def wait(leftover: Leftover) -> str:
        active = youngest.get(leftover.build)
        if active is None:
            return "" if not age else "its age is unknown: --age 0 collects it"
        return f"build {leftover.build} was active at {active:%Y-%m-%d %H:%M} UTC" if now - active < age else ""

    ripe = [leftover for leftover in leftovers if not wait(leftover)]
    kept = {leftover.id: wait(leftover) for leftover in leftovers if wait(leftover)}
    images = [leftover.id for leftover in ripe if leftover.kind is KINDS[1]]
    if images:
        # The builds' own instances and launch templates are deleted as well.
        references_of = references(region, images, without={leftover.id for leftover in ripe})
        kept |= {image: "; ".join(reasons) for image, reasons in references_of.items()}
        ripe = [leftover for leftover in ripe if leftover.id not in kept]
    used = {snapshot for leftover in leftovers if leftover.id in kept for snapshot in ami_snapshots(leftover)}
    kept |= {leftover.id: "a kept AMI uses it" for leftover in ripe if leftover.id in used}
    ripe = [leftover for leftover in ripe if leftover.id not in kept]
    errors = {} if dry_run else _delete(region, ripe)
    return [
        Verdict(
            region.name,
            leftover.id,
            leftover.kind.name,
            leftover.id in kept or bool(errors.get(leftover.id)),
            [kept[leftover.id]]
            if leftover.id in kept
            else [f"leftover of build {leftover.build}", *errors.get(leftover.id, [])],
        )
        for leftover in leftovers
    ]


def ami_snapshots(leftover: Leftover) -> list[str]:
    """The snapshots of an image; empty for other resources."""
    return ami.of(leftover.shown, "").snapshots if leftover.kind is KINDS[1] else []


def _listed(region: Region, kind: Kind) -> list[Leftover]:
    tagged = [{"Name": "tag-key", "Values": [BUILD]}]
    if kind is KINDS[0]:
        tagged += ami.filters(instance_state_name=LIVES)
    answer = region.all("ec2", kind.operation, kind.key, page=ami.PAGE, Filters=tagged, **OWNED.get(kind.name, {}))
    entries = [entry for row in answer for entry in (row["Instances"] if kind is KINDS[0] else [row])]
    return [
        Leftover(kind, entry[kind.id], _tags(entry)[BUILD], _time(entry.get(kind.time)), entry) for entry in entries
    ]


def _delete(region: Region, ripe: Sequence[Leftover]) -> dict[str, list[str]]:
    """Delete all of `ripe`; returns errors by id."""
    errors: dict[str, list[str]] = {leftover.id: [] for leftover in ripe}

    def one(leftover: Leftover) -> None:
        with tolerated(errors[leftover.id]):
            leftover.kind.delete(region.ec2, leftover.id)

    for kind in KINDS:
        batch = [leftover for leftover in ripe if leftover.kind is kind]
        at_once(one, batch)
        if batch and kind is KINDS[0]:
            # Volumes and security groups are in use until then.
            region.ec2.get_waiter("instance_terminated").wait(InstanceIds=[leftover.id for leftover in batch])
    return errors


def _tags(shown: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in shown.get("Tags", [])}


def _time(value: Any) -> datetime | None:
    """The creation time; images have it as text."""
    if not value:
        return None
    created = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return created if created.tzinfo else created.replace(tzinfo=UTC)
