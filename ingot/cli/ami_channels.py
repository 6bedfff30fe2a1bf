"""The commands that move AMIs along channels: promote, rollback."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingot.cli.ami_options import ArchArg, DryRunOption, FirstOption, ImageArg, KeyOption, OsArg, RegionsOption, would
from ingot.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from ingot.ami.promote import Row

app = typer.Typer()


@app.command(epilog="Example: ingot ami promote parallelcluster --os ubuntu2404 --region us-east-1 --region us-west-2")
def promote(
    image: ImageArg,
    os_name: OsArg,
    arch: ArchArg = "x86_64",
    to: Annotated[str, typer.Option("--to", help="The channel.")] = "stable",
    region: FirstOption = None,
    kms_key: KeyOption = "",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Promote the candidate AMI to a channel.

    The candidate of the first region, which the suite must have passed on, is put into the channel in every region or
    none. Regions that lack a copy get one first. After a failure the same command goes on where it ended.
    """
    from ingot.ami import promote as ami_promote
    from ingot.console import Progress
    from ingot.sources import aws

    row = _row(image, os_name, arch)
    regions = aws.regions(region or [], "promote")
    _told(ami_promote.promote(regions, row, to, Progress(), kms_key=kms_key, dry_run=dry_run), dry_run, as_json)


@app.command(epilog="Example: ingot ami rollback parallelcluster --os ubuntu2404 --region us-east-1 --region us-west-2")
def rollback(
    image: ImageArg,
    os_name: OsArg,
    arch: ArchArg = "x86_64",
    channel: Annotated[str, typer.Option("--channel", help="The channel.")] = "stable",
    region: RegionsOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Roll a channel back to its previous AMI.

    In every region or none; a second rollback goes one further back.
    """
    from ingot.ami import promote as ami_promote
    from ingot.console import Progress
    from ingot.sources import aws

    row = _row(image, os_name, arch)
    regions = aws.regions(region or [], "rollback")
    _told(ami_promote.rollback(regions, row, channel, Progress(), dry_run=dry_run), dry_run, as_json)


def _row(image: str, os_name: str, arch: str) -> "Row":
    """What a channel holds one AMI of; UsageError where the catalog knows no such."""
    from ingot.ami.promote import Row
    from ingot.cli.options import at

    catalog, target = at(os_name, arch)
    catalog.image(image)
    return Row(image, target.os, target.arch)


def _told(data: dict[str, Any], dry_run: bool, as_json: bool) -> None:
    from ingot.console import out

    if as_json:
        print_json(data)
        return
    out.print(f"{data['parameter']}: {data['name']}", markup=False)
    for region, each in data["regions"].items():
        if each["before"] == each["after"]:
            out.print(f"  {region} {each['after']} as before", markup=False)
        else:
            out.print(f"  {region} {would(dry_run)}{each['before'] or 'nothing'} → {each['after']}", markup=False)
