"""The commands that move AMIs along channels: promote, rollback."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingot.cli.ami_options import DryRunOption, FirstOption, KeyOption, RegionsOption, would
from ingot.cli.options import ArchOption, ImageArg, JsonOption, OsOption, at, print_json

if TYPE_CHECKING:
    from ingot.ami.promote import Row

app = typer.Typer()


@app.command(epilog="Example: ingot ami promote parallelcluster --os ubuntu2404 --region us-east-1 --region us-west-2")
def promote(
    image: ImageArg,
    os_name: OsOption,
    arch: ArchOption = "x86_64",
    to: Annotated[str, typer.Option("--to", help="Channel.")] = "stable",
    region: FirstOption = None,
    kms_key: KeyOption = "",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Promote the candidate AMI to a channel.

    Takes the candidate of the first region, which must have passed the suite, and updates every region or none.
    Regions without a copy get one first. After a failure, run the same command again to continue.
    """
    from ingot.ami import promote as ami_promote
    from ingot.console import Progress
    from ingot.sources import aws

    release = _release(image, os_name, arch)
    regions = aws.regions(region or [], "promote")
    _print(ami_promote.promote(regions, release, to, Progress(), kms_key=kms_key, dry_run=dry_run), dry_run, as_json)


@app.command(epilog="Example: ingot ami rollback parallelcluster --os ubuntu2404 --region us-east-1 --region us-west-2")
def rollback(
    image: ImageArg,
    os_name: OsOption,
    arch: ArchOption = "x86_64",
    channel: Annotated[str, typer.Option("--channel", help="Channel.")] = "stable",
    region: RegionsOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Roll a channel back to its previous AMI.

    Updates every region or none; a second rollback goes back one more.
    """
    from ingot.ami import promote as ami_promote
    from ingot.console import Progress
    from ingot.sources import aws

    release = _release(image, os_name, arch)
    regions = aws.regions(region or [], "rollback")
    _print(ami_promote.rollback(regions, release, channel, Progress(), dry_run=dry_run), dry_run, as_json)


def _release(image: str, os_name: str, arch: str) -> "Row":
    """The image, system and architecture of a channel; UsageError if the catalog does not have them."""
    from ingot.ami.promote import Row

    catalog, target = at(os_name, arch)
    catalog.image(image)
    return Row(image, target.os, target.arch)


def _print(report: dict[str, Any], dry_run: bool, as_json: bool) -> None:
    from ingot.console import out

    if as_json:
        print_json(report)
        return
    out.print(f"{report['parameter']}: {report['name']}", markup=False)
    for region, change in report["regions"].items():
        if change["before"] == change["after"]:
            out.print(f"  {region} {change['after']} unchanged", markup=False)
        else:
            out.print(f"  {region} {would(dry_run)}{change['before'] or 'nothing'} → {change['after']}", markup=False)
