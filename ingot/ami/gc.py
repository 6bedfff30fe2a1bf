"""Collects AMIs that nothing needs: keeps the newest of each kind and all that anything refers to, and says why."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ingot.ami import channels
from ingot.ami.ami import MOST_IMAGES, Ami, described, filters
from ingot.ami.references import references, shared
from ingot.console import Progress
from ingot.sources.aws import Region, at_once, everywhere, tolerated

# AMIs are judged by what refers to them right before they go: so many at a time.
BATCH = 25
# How EC2 describes the snapshots of an AMI that it makes or copies; the first AMI named is theirs.
MADE_FOR = re.compile(r"\bami-[0-9a-z]+")
# What has an AMI's id and can go; any other state is one on the way to it.
WHOLE = ("available", "disabled", "failed", "error", "invalid")


@dataclass
class Verdict:
    """What becomes of one AMI, or of a snapshot whose AMI has gone, and why."""

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
        what = f"{self.region} {self.id} {self.name}".rstrip()
        return f"{'keep  ' if self.keep else 'delete'} {what}: {'; '.join(self.why)}{launched}"

    @property
    def data(self) -> dict[str, Any]:
        """The verdict as data."""
        return asdict(self)


def collect(regions: Sequence[Region], keep: int, progress: Progress, *, dry_run: bool = False) -> list[Verdict]:
    """Delete what nothing needs, in every region, and say of each AMI what became of it and why."""
    with progress.phase(f"collect in {', '.join(region.name for region in regions)}"):
        found = everywhere(regions, "gc", lambda region: list(_collect(region, keep, progress, dry_run)))
    return [verdict for verdicts in found for verdict in verdicts]


def _collect(region: Region, keep: int, progress: Progress, dry_run: bool) -> Iterator[Verdict]:
    # Snapshots before images: one that is made meanwhile is no orphan.
    asked: dict[str, Any] = {"page": MOST_IMAGES, "OwnerIds": ["self"], "Filters": filters(tag_image="*")}
    snapshots = region.all("ec2", "describe_snapshots", "Snapshots", **asked)
    amis = described(region)
    ours = [ami for ami in amis if ami.tag("image")]
    safe = {**_newest(ours, keep), **_unripe(ours)}
    for held, reasons in _rollbacks(region, ours).items():
        safe.setdefault(held, []).extend(reasons)
    rest = [ami for ami in ours if ami.id not in safe]
    for start in range(0, len(rest), BATCH):
        batch = rest[start : start + BATCH]
        progress.tell(f"{region.name}: {start} of {len(rest)}")
        yield from _judge(region, batch, dry_run)
    # What is kept anyway is explained in full.
    why = references(region, list(safe)) if safe else {}
    for ami in ours:
        if ami.id in safe:
            yield _verdict(ami, True, [*safe[ami.id], *why.get(ami.id, [])])
    yield from _orphans(region, snapshots, amis, dry_run)


def _newest(amis: Sequence[Ami], keep: int) -> dict[str, list[str]]:
    """The newest of each kind, with the reason to keep them; `amis` are in order. What has failed does not count."""
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
    """What is still being made, and what a build has left unfinished, which `ingot ami sweep` collects."""
    safe: dict[str, list[str]] = {}
    for ami in amis:
        if ami.state not in WHOLE:
            safe[ami.id] = [f"is {ami.state}"]
        elif not ami.tag("finished"):
            safe[ami.id] = ["is not finished: `ingot ami sweep` collects what builds leave"]
    return safe


def _rollbacks(region: Region, amis: Sequence[Ami]) -> dict[str, list[str]]:
    """What `ingot ami rollback` would return to."""
    ids = {ami.id for ami in amis}
    names = sorted(channels.read(region))
    found: dict[str, list[str]] = {}
    for name, ami in zip(names, at_once(lambda name: channels.previous(region, name), names), strict=True):
        if ami in ids:
            found.setdefault(ami, []).append(f"rollback of {name} returns to it")
    return found


def _judge(region: Region, batch: Sequence[Ami], dry_run: bool) -> list[Verdict]:
    """Ask anew what refers to each AMI of the batch, and delete at once those that nothing refers to."""
    ids = [ami.id for ami in batch]
    why = references(region, ids)
    why |= shared(region, [each for each in ids if each not in why])
    for ami in batch:
        protection = str(ami.shown.get("DeregistrationProtection") or "disabled")
        if protection != "disabled":
            why.setdefault(ami.id, []).append(f"its protection from deregistration is {protection}")

    def one(ami: Ami) -> Verdict:
        if ami.id in why:
            return _verdict(ami, True, why[ami.id])
        return _verdict(ami, False, ["nothing refers to it", *(delete_ami(region, ami) if not dry_run else [])])

    return at_once(one, batch)


def delete_ami(region: Region, ami: Ami) -> list[str]:
    """Deregister an AMI and delete its snapshots; a word for each that another AMI still uses."""
    said: list[str] = []
    with tolerated(said):
        region.ec2.deregister_image(ImageId=ami.id)
    for snapshot in ami.snapshots:
        with tolerated(said):
            region.ec2.delete_snapshot(SnapshotId=snapshot)
    return said


def _orphans(
    region: Region, snapshots: Sequence[dict[str, Any]], amis: Sequence[Ami], dry_run: bool
) -> Iterator[Verdict]:
    """Snapshots of AMIs of Ingot that are no more, as after a collection that was interrupted."""
    there = {ami.id for ami in amis}
    used = {snapshot for ami in amis for snapshot in ami.snapshots}
    for each in snapshots:
        made_for = MADE_FOR.search(each.get("Description", ""))
        if made_for and made_for[0] not in there and each["SnapshotId"] not in used:
            said: list[str] = []
            with tolerated(said):
                if not dry_run:
                    region.ec2.delete_snapshot(SnapshotId=each["SnapshotId"])
            yield Verdict(region.name, each["SnapshotId"], "", bool(said), [f"its AMI {made_for[0]} is no more", *said])


def _verdict(ami: Ami, keep: bool, why: list[str]) -> Verdict:
    launched = str(ami.shown.get("LastLaunchedTime") or "")
    return Verdict(ami.region, ami.id, ami.name, keep, why, ami.snapshots, launched)
