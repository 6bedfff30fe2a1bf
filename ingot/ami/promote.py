"""Promotes AMIs from candidate to stable once the suite has passed, in every region or none, and rolls back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ingot.ami import channels
from ingot.ami.ami import Ami, copy_in, described, find
from ingot.ami.channels import CANDIDATE, Change
from ingot.ami.copy import copy
from ingot.console import Progress
from ingot.errors import IngotError, UsageError
from ingot.sources.aws import Region, everywhere, regions


@dataclass(frozen=True)
class Row:
    """An image, system and architecture, which a channel is for."""

    image: str
    os: str
    arch: str


def promote(
    regions: Sequence[Region], row: Row, to: str, progress: Progress, *, kms_key: str = "", dry_run: bool = False
) -> dict[str, Any]:
    """Promote the candidate AMI of the first region to the channel `to` of every region; returns old and new AMIs.

    Copies the AMI to every region first, then writes the parameters; a failure restores their previous values.
    """
    if to == CANDIDATE:
        raise UsageError(
            f"cannot promote to {CANDIDATE}, which holds the AMI to promote", place="--to", hint="use stable"
        )
    name = channels.path(to, row.image, row.os, row.arch)
    home, *others = regions

    def candidate(region: Region) -> Ami:
        return find(region, channels.held(region, CANDIDATE, row.image, row.os, row.arch))

    (ami,) = everywhere([home], "promote", candidate)
    channels.require_tested(ami.tested, ami.id)
    if others and not dry_run:
        copy(ami, home, others, kms_key, progress, command="promote")

    def change(region: Region) -> Change:
        target = ami if region is home else copy_in(region, ami)
        return Change(region, channels.values(region, [name]).get(name, ""), target.id if target else "a copy")

    changes = everywhere(regions, "promote", change)
    if not dry_run:
        with progress.phase(f"{to} in {', '.join(region.name for region in regions)}"):
            channels.write(name, changes, f"Promoted: {ami.name}", "promote")
    return _report(name, ami.name, changes)


def rollback(
    regions: Sequence[Region], row: Row, channel: str, progress: Progress, *, dry_run: bool = False
) -> dict[str, Any]:
    """Roll a channel back to its previous AMI in every region; IngotError if AMIs differ or are not available."""
    name = channels.path(channel, row.image, row.os, row.arch)

    def change(region: Region) -> tuple[Change, str]:
        before = channels.held(region, channel, row.image, row.os, row.arch)
        after = channels.previous(region, name)
        if not after:
            raise IngotError(
                f"{name} has no previous AMI, only {before}", place=region.name, hint="promote another AMI"
            )
        return Change(region, before, after), _available(region, after).name

    targets = everywhere(regions, "rollback", change)
    names = {change.region.name: ami for change, ami in targets}
    if len(set(names.values())) > 1:
        lines = "\n  ".join(f"{region}: {ami}" for region, ami in names.items())
        raise IngotError(
            f"the previous AMIs of {name} differ:\n  {lines}", hint="roll back each region on its own with one --region"
        )
    changes = [change for change, _ in targets]
    if not dry_run:
        with progress.phase(f"roll back {channel} in {', '.join(region.name for region in regions)}"):
            channels.write(name, changes, channels.TAKEN_BACK, "rollback")
    return _report(name, next(iter(names.values())), changes)


def _available(region: Region, ami: str) -> Ami:
    """The previous AMI of a channel; IngotError if it cannot be launched."""
    # By filter: a missing id is an empty result, not an error.
    matches = described(region, image_id=ami)
    if not matches or matches[0].state != "available":
        state = f"is {matches[0].state}" if matches else "has been deregistered"
        raise IngotError(
            f"the channel's previous AMI {ami} {state}", place=region.name, hint="promote another AMI instead"
        )
    return matches[0]


def _report(name: str, ami: str, changes: Sequence[Change]) -> dict[str, Any]:
    return {
        "parameter": name,
        "name": ami,
        "regions": {change.region.name: {"before": change.before or None, "after": change.after} for change in changes},
    }


def publish(region: str, ami: str) -> str:
    """Set the candidate channel of a region to a tested AMI; returns the parameter's name.

    Takes image, operating system and architecture from its tags. IngotError if it is untested.
    """

    def one(region: Region) -> str:
        image = find(region, ami)
        channels.require_tested(image.tested, image.id)
        name = channels.path(CANDIDATE, *image.row)
        before = channels.values(region, [name]).get(name, "")
        channels.write(name, [Change(region, before, ami)], "Built and tested.", "publish")
        return name

    return everywhere(regions([region], "publish"), "publish", one)[0]
