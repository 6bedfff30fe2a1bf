"""Collects unused AMIs: keeps the newest of each kind and all AMIs with references, and reports reasons."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ingot.ami import channels
from ingot.ami.ami import MOST_IMAGES, Ami, described, filters
from ingot.ami.references import references, shared
from ingot.console import Progress
from ingot.sources.aws import Region, at_once, everywhere, tolerated

# References are read right before AMIs are deleted, in batches of this size.
BATCH = 25
# EC2's descriptions of snapshots name the AMI they were made for first.
MADE_FOR = re.compile(r"\bami-[0-9a-z]+")
# States in which an AMI can be deleted; other states are transitional.
WHOLE = ("available", "disabled", "failed", "error", "invalid")


@dataclass
class Verdict:
    """The decision on one AMI, or on a snapshot without its AMI, with reasons."""

    region: str
    id: str
    name: str
    keep: bool
    why: list[str]
    snapshots: list[str] = field(default_factory=list)
    last_launched: str = ""

    @property
    def line(self) -> str:
        """The verdict as one line."""
        launched = f" (last launched {self.last_launched})" if self.last_launched else ""
        title = f"{self.region} {self.id} {self.name}".rstrip()
        return f"{'keep  ' if self.keep else 'delete'} {title}: {'; '.join(self.why)}{launched}"

    @property
    def data(self) -> dict[str, Any]:
        """The verdict as data."""
        return asdict(self)


def collect(regions: Sequence[Region], keep: int, progress: Progress, *, dry_run: bool = False) -> list[Verdict]:
    """Delete unused AMIs in every region; returns a verdict on each AMI."""
    with progress.phase(f"collect in {', '.join(region.name for region in regions)}"):
        verdicts_by_region = everywhere(regions, "gc", lambda region: list(_collect(region, keep, progress, dry_run)))
    return [verdict for verdicts in verdicts_by_region for verdict in verdicts]


def _collect(region: Region, keep: int, progress: Progress, dry_run: bool) -> Iterator[Verdict]:
    # Snapshots before images: a snapshot made in between is not an orphan.
    query: dict[str, Any] = {"page": MOST_IMAGES, "OwnerIds": ["self"], "Filters": filters(tag_image="*")}
    snapshots = region.all("ec2", "describe_snapshots", "Snapshots", **query)
    amis = described(region)
    ours = [ami for ami in amis if ami.tag("image")]
    safe = {**_newest(ours, keep), **_unripe(ours)}
    for ami_id, reasons in _rollbacks(region, ours).items():
        safe.setdefault(ami_id, []).extend(reasons)
    rest = [ami for ami in ours if ami.id not in safe]
    for start in range(0, len(rest), BATCH):
        batch = rest[start : start + BATCH]
        progress.tell(f"{region.name}: {start} of {len(rest)}")
        yield from _judge(region, batch, dry_run)
    # Kept AMIs are listed with all their references.
    references_of = references(region, list(safe)) if safe else {}
    for ami in ours:
        if ami.id in safe:
            yield _verdict(ami, True, [*safe[ami.id], *references_of.get(ami.id, [])])
    yield from _orphans(region, snapshots, amis, dry_run)


def _newest(amis: Sequence[Ami], keep: int) -> dict[str, list[str]]:
    """The newest AMIs of each kind, with the reason to keep them; `amis` are sorted. Failed ones do not count."""
    kinds: dict[tuple[str, ...], int] = {}
    safe: dict[str, list[str]] = {}
    for ami in amis:
        kind = (*ami.row, ami.tag("stack"))
        if ami.state != "available" or not ami.tag("finished"):
            continue
        kinds[kind] = number = kinds.get(kind, 0) + 1
        if number <= keep:
            safe[ami.id] = [f"number {number} of the {keep} newest of {' '.join(kind)}"]
    return safe


def _unripe(amis: Sequence[Ami]) -> dict[str, list[str]]:
    """AMIs in progress, and unfinished AMIs of builds, which `ingot ami sweep` collects."""
    safe: dict[str, list[str]] = {}
    for ami in amis:
        if ami.state not in WHOLE:
            safe[ami.id] = [f"is {ami.state}"]
        elif not ami.tag("finished"):
            safe[ami.id] = ["is not finished: `ingot ami sweep` collects leftovers of builds"]
    return safe


def _rollbacks(region: Region, amis: Sequence[Ami]) -> dict[str, list[str]]:
    """AMIs that `ingot ami rollback` would return to."""
    ids = {ami.id for ami in amis}
    names = sorted(channels.read(region))
    rollbacks: dict[str, list[str]] = {}
    for name, ami in zip(names, at_once(lambda name: channels.previous(region, name), names), strict=True):
        if ami in ids:
            rollbacks.setdefault(ami, []).append(f"rollback of {name} returns to it")
    return rollbacks


def _judge(region: Region, batch: Sequence[Ami], dry_run: bool) -> list[Verdict]:
    """Read the references to a batch of AMIs, and immediately delete those without any."""
    ids = [ami.id for ami in batch]
    reasons = references(region, ids)
    reasons |= shared(region, [ami_id for ami_id in ids if ami_id not in reasons])
    for ami in batch:
        protection = str(ami.shown.get("DeregistrationProtection") or "disabled")
        if protection != "disabled":
            reasons.setdefault(ami.id, []).append(f"its protection from deregistration is {protection}")

    def one(ami: Ami) -> Verdict:
        if ami.id in reasons:
            return _verdict(ami, True, reasons[ami.id])
        return _verdict(ami, False, ["nothing refers to it", *(delete_ami(region, ami) if not dry_run else [])])

    return at_once(one, batch)


def delete_ami(region: Region, ami: Ami) -> list[str]:
    """Deregister an AMI and delete its snapshots; returns errors, such as a snapshot in use by another AMI."""
    errors: list[str] = []
    with tolerated(errors):
        region.ec2.deregister_image(ImageId=ami.id)
    for snapshot in ami.snapshots:
        with tolerated(errors):
            region.ec2.delete_snapshot(SnapshotId=snapshot)
    return errors


def _orphans(
    region: Region, snapshots: Sequence[dict[str, Any]], amis: Sequence[Ami], dry_run: bool
) -> Iterator[Verdict]:
    """Snapshots of deleted AMIs of Ingot, such as after an interrupted collection."""
    existing = {ami.id for ami in amis}
    used = {snapshot for ami in amis for snapshot in ami.snapshots}
    for snapshot in snapshots:
        owner = MADE_FOR.search(snapshot.get("Description", ""))
        if owner and owner[0] not in existing and snapshot["SnapshotId"] not in used:
            errors: list[str] = []
            with tolerated(errors):
                if not dry_run:
                    region.ec2.delete_snapshot(SnapshotId=snapshot["SnapshotId"])
            yield Verdict(
                region.name, snapshot["SnapshotId"], "", bool(errors), [f"its AMI {owner[0]} no longer exists", *errors]
            )


def _verdict(ami: Ami, keep: bool, why: list[str]) -> Verdict:
    launched = str(ami.shown.get("LastLaunchedTime") or "")
    return Verdict(ami.region, ami.id, ami.name, keep, why, ami.snapshots, launched)
