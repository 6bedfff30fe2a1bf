"""Deprecates an AMI, which hides it from other accounts from a date on, and optionally disables launches."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ingot.ami.ami import in_each
from ingot.ami.references import references
from ingot.console import Progress
from ingot.errors import IngotError, UsageError
from ingot.sources.aws import Region, everywhere

# EC2 rounds to minutes and rejects a time in the past.
SOON = timedelta(minutes=2)


def when(text: str) -> datetime:
    """The time of `text`, a date or a date and time in UTC; soon if empty."""
    now = datetime.now(UTC)
    if not text:
        return now + SOON
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"not a date: {text!r}", place="--at", hint="write 2027-06-30 or 2027-06-30T12:00") from None
    time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    if time <= now:
        raise UsageError(f"{text} is in the past", place="--at", hint="leave out --at to deprecate now")
    return time


def deprecate(
    regions: Sequence[Region],
    reference: str,
    at: datetime,
    progress: Progress,
    *,
    disable: bool = False,
    dry_run: bool = False,
) -> list[dict[str, Any]]:
    """Deprecate an AMI in every region from `at` on; refuses to disable it while anything refers to it."""
    amis = in_each(regions, reference, "deprecate")
    by_region = dict(zip((region.name for region in regions), amis, strict=True))
    if disable:

        def check(region: Region) -> None:
            ami = by_region[region.name].id
            if reasons := references(region, [ami]).get(ami):
                lines = "\n  ".join(reasons)
                raise IngotError(
                    f"cannot disable {ami} while these refer to it:\n  {lines}",
                    place=region.name,
                    hint="point them to another AMI first, or leave out --disable",
                )

        everywhere(regions, "deprecate", check)

    def one(region: Region) -> dict[str, Any]:
        ami = by_region[region.name]
        if not dry_run:
            region.ec2.enable_image_deprecation(ImageId=ami.id, DeprecateAt=at)
            if disable and ami.state != "disabled":
                region.ec2.disable_image(ImageId=ami.id)
        return {"region": region.name, "id": ami.id, "name": ami.name, "at": f"{at:%Y-%m-%dT%H:%MZ}"}

    with progress.phase(f"deprecate in {', '.join(region.name for region in regions)}"):
        return everywhere(regions, "deprecate", one)
