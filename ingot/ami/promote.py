"""Moves AMIs along channels: candidate to stable once the suite has passed, in all regions or in none, and back."""

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
    """What a channel holds one AMI of."""

    image: str
    os: str
    arch: str


def promote(
    regions: Sequence[Region], row: Row, to: str, progress: Progress, *, kms_key: str = "", dry_run: bool = False
) -> dict[str, Any]:
    """Put what candidate holds in the first region into the channel `to` of every region; what was and is held there.

    First every region has a copy, then every region's parameter is written; a failure puts back those written.
    """
    if to == CANDIDATE:
        raise UsageError(f"{CANDIDATE} is what is promoted", hint="--to stable")
    name = channels.path(to, row.image, row.os, row.arch)
    home, *others = regions

    def candidate(region: Region) -> Ami:
        return find(region, channels.held(region, CANDIDATE, row.image, row.os, row.arch))

    (ami,) = everywhere([home], "promote", candidate)
    channels.require_tested(ami.tested, ami.id)
    if others and not dry_run:
        copy(ami, home, others, kms_key, progress, command="promote")

    def change(region: Region) -> Change:
        found = ami if region is home else copy_in(region, ami)
        return Change(region, channels.values(region, [name]).get(name, ""), found.id if found else "a copy")

    changes = everywhere(regions, "promote", change)
    if not dry_run:
        with progress.phase(f"{to} in {', '.join(region.name for region in regions)}"):
            channels.write(name, changes, f"Promoted: {ami.name}", "promote")
    return _told(name, ami.name, changes)


def rollback(
    regions: Sequence[Region], row: Row, channel: str, progress: Progress, *, dry_run: bool = False
) -> dict[str, Any]:
    """Let a channel hold, in every region, what it held before; IngotError where that has gone, or is not the same."""
    name = channels.path(channel, row.image, row.os, row.arch)

    def change(region: Region) -> tuple[Change, str]:
        before = channels.held(region, channel, row.image, row.os, row.arch)
        after = channels.previous(region, name)
        if not after:
            raise IngotError(f"{name} has held nothing else before {before}", place=region.name)
        return Change(region, before, after), _available(region, after).name

    found = everywhere(regions, "rollback", change)
    names = {change.region.name: ami for change, ami in found}
    if len(set(names.values())) > 1:
        listed = "\n  ".join(f"{region}: {ami}" for region, ami in names.items())
        raise IngotError(
            f"{name} held different AMIs before:\n  {listed}", hint="roll back region by region, with one --region each"
        )
    changes = [change for change, _ in found]
    if not dry_run:
        with progress.phase(f"{channel} back in {', '.join(region.name for region in regions)}"):
            channels.write(name, changes, channels.TAKEN_BACK, "rollback")
    return _told(name, next(iter(names.values())), changes)


def _available(region: Region, ami: str) -> Ami:
    """The AMI that a channel held before, if it can be launched still."""
    # By a filter, which finds nothing where an id is an error.
    found = described(region, image_id=ami)
    if not found or found[0].state != "available":
        state = f"is {found[0].state}" if found else "has been deregistered"
        raise IngotError(
            f"{ami}, which the channel held before, {state}", place=region.name, hint="promote another AMI instead"
        )
    return found[0]


def _told(name: str, ami: str, changes: Sequence[Change]) -> dict[str, Any]:
    return {
        "parameter": name,
        "name": ami,
        "regions": {change.region.name: {"before": change.before or None, "after": change.after} for change in changes},
    }


def publish(region: str, ami: str) -> str:
    """Put an AMI that the suite has passed on into the channel candidate of its region; the parameter's name.

    Image, operating system and architecture are those of its tags. IngotError where it is not tested.
    """

    def one(region: Region) -> str:
        found = find(region, ami)
        channels.require_tested(found.tested, found.id)
        name = channels.path(CANDIDATE, *found.row)
        before = channels.values(region, [name]).get(name, "")
        channels.write(name, [Change(region, before, ami)], "Built, and passed by the suite.", "publish")
        return name

    return everywhere(regions([region], "publish"), "publish", one)[0]
