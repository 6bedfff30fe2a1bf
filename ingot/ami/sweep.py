"""Collects what builds that were killed have left: whatever carries a build's id and is not finished, and is old."""

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
    """One kind of what a build makes: how EC2 lists it, how its entries are named and dated, and how one is deleted."""

    name: str
    operation: str
    key: str
    id: str
    time: str
    delete: Callable[[Any, str], Any]


# In the order in which they go: what uses another thing before that.
KINDS = (
    Kind(
        "instance",
        "describe_instances",
        "Reservations",
        "InstanceId",
        "LaunchTime",
        lambda ec2, each: ec2.terminate_instances(InstanceIds=[each]),
    ),
    Kind(
        "image",
        "describe_images",
        "Images",
        "ImageId",
        "CreationDate",
        lambda ec2, each: ec2.deregister_image(ImageId=each),
    ),
    Kind(
        "snapshot",
        "describe_snapshots",
        "Snapshots",
        "SnapshotId",
        "StartTime",
        lambda ec2, each: ec2.delete_snapshot(SnapshotId=each),
    ),
    Kind(
        "volume",
        "describe_volumes",
        "Volumes",
        "VolumeId",
        "CreateTime",
        lambda ec2, each: ec2.delete_volume(VolumeId=each),
    ),
    Kind(
        "launch template",
        "describe_launch_templates",
        "LaunchTemplates",
        "LaunchTemplateId",
        "CreateTime",
        lambda ec2, each: ec2.delete_launch_template(LaunchTemplateId=each),
    ),
    Kind(
        "key pair",
        "describe_key_pairs",
        "KeyPairs",
        "KeyName",
        "CreateTime",
        lambda ec2, each: ec2.delete_key_pair(KeyName=each),
    ),
    # EC2 does not say when a security group was made.
    Kind(
        "security group",
        "describe_security_groups",
        "SecurityGroups",
        "GroupId",
        "",
        lambda ec2, each: ec2.delete_security_group(GroupId=each),
    ),
)
OWNED: dict[str, dict[str, Any]] = {
    "image": {"Owners": ["self"], "IncludeDisabled": True},
    "snapshot": {"OwnerIds": ["self"]},
}


@dataclass(frozen=True)
class Leftover:
    """One thing that carries a build's id."""

    kind: Kind
    id: str
    build: str
    made: datetime | None
    shown: Mapping[str, Any]


def collect(regions: Sequence[Region], age: timedelta, progress: Progress, *, dry_run: bool = False) -> list[Verdict]:
    """Delete what builds older than `age` have left, in every region, and say of each thing what became of it."""
    with progress.phase(f"collect what builds left in {', '.join(region.name for region in regions)}"):
        found = everywhere(regions, "sweep", lambda region: _collect(region, age, dry_run))
    return [verdict for verdicts in found for verdict in verdicts]


def _collect(region: Region, age: timedelta, dry_run: bool) -> list[Verdict]:
    listed = at_once(lambda kind: _listed(region, kind), KINDS)
    found = [each for things in listed for each in things if FINISHED not in _tags(each.shown)]
    done = [ami.of(each.shown, region.name) for each in listed[1] if FINISHED in _tags(each.shown)]
    safe = {snapshot for each in done for snapshot in each.snapshots}
    found = [each for each in found if each.id not in safe]
    now = datetime.now(UTC)
    youngest: dict[str, datetime] = {}
    for each in found:
        if each.made:
            youngest[each.build] = max(each.made, youngest.get(each.build, each.made))

    def wait(each: Leftover) -> str:
        made = youngest.get(each.build)
        if made is None:
            return "" if not age else "its age is not known: --age 0 collects it"
        return f"build {each.build} made something at {made:%Y-%m-%d %H:%M} UTC" if now - made < age else ""

    ripe = [each for each in found if not wait(each)]
    kept = {each.id: wait(each) for each in found if wait(each)}
    instances = {each.id for each in ripe if each.kind is KINDS[0]}
    images = [each.id for each in ripe if each.kind is KINDS[1]]
    if images:
        why = references(region, images, without=instances)
        kept |= {each: "; ".join(reasons) for each, reasons in why.items()}
        ripe = [each for each in ripe if each.id not in kept]
    still = {snapshot for each in found if each.id in kept for snapshot in ami_snapshots(each)}
    kept |= {each.id: "an AMI that is kept uses it" for each in ripe if each.id in still}
    ripe = [each for each in ripe if each.id not in kept]
    said = {} if dry_run else _delete(region, ripe)
    return [
        Verdict(
            region.name,
            each.id,
            each.kind.name,
            each.id in kept or bool(said.get(each.id)),
            [kept[each.id]] if each.id in kept else [f"build {each.build} left it", *said.get(each.id, [])],
        )
        for each in found
    ]


def ami_snapshots(each: Leftover) -> list[str]:
    """The snapshots of an image; none of anything else."""
    return ami.of(each.shown, "").snapshots if each.kind is KINDS[1] else []


def _listed(region: Region, kind: Kind) -> list[Leftover]:
    tagged = [{"Name": "tag-key", "Values": [BUILD]}]
    if kind is KINDS[0]:
        tagged += ami.filters(instance_state_name=LIVES)
    answer = region.all("ec2", kind.operation, kind.key, page=ami.PAGE, Filters=tagged, **OWNED.get(kind.name, {}))
    entries = [each for row in answer for each in (row["Instances"] if kind is KINDS[0] else [row])]
    return [Leftover(kind, each[kind.id], _tags(each)[BUILD], _time(each.get(kind.time)), each) for each in entries]


def _delete(region: Region, ripe: Sequence[Leftover]) -> dict[str, list[str]]:
    """Delete all of `ripe`; what is worth a word of each."""
    said: dict[str, list[str]] = {each.id: [] for each in ripe}

    def one(each: Leftover) -> None:
        with tolerated(said[each.id]):
            each.kind.delete(region.ec2, each.id)

    for kind in KINDS:
        those = [each for each in ripe if each.kind is kind]
        at_once(one, those)
        if those and kind is KINDS[0]:
            # Volumes and security groups are free only then.
            region.ec2.get_waiter("instance_terminated").wait(InstanceIds=[each.id for each in those])
    return said


def _tags(shown: Mapping[str, Any]) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in shown.get("Tags", [])}


def _time(value: Any) -> datetime | None:
    """When it was made; images have that as text."""
    if not value:
        return None
    made = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return made if made.tzinfo else made.replace(tzinfo=UTC)
