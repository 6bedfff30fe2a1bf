"""The commands for AMIs that are built: list, show, diff, share, copy, deprecate."""

from typing import Annotated

import typer

from ingot.cli.ami_options import AmiArg, DryRunOption, FirstOption, KeyOption, RegionOption, RegionsOption, would
from ingot.cli.options import JsonOption, images, print_json, systems

app = typer.Typer(
    help="Build, find, share, promote and collect AMIs.",
    epilog="Example: ingot ami list --region us-east-1",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list", epilog="Example: ingot ami list --image parallelcluster --region us-east-1 --region us-west-2")
def list_(
    image: Annotated[
        str, typer.Option("--image", help="Only this image.", autocompletion=images, show_default=False)
    ] = "",
    os_name: Annotated[
        str, typer.Option("--os", help="Only this operating system.", autocompletion=systems, show_default=False)
    ] = "",
    arch: Annotated[str, typer.Option("--arch", help="Only this architecture.", show_default=False)] = "",
    region: RegionsOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the account's AMIs, newest first.

    Lists AMIs of Ingot only, each with the channels that hold it.
    """
    from rich.table import Table

    from ingot.ami import ami
    from ingot.console import out
    from ingot.sources import aws

    amis = ami.listed(aws.regions(region or [], "list"), image, os_name, arch)
    if as_json:
        print_json(amis)
        return
    table = Table("id", "region", "name", "state", "suite", "channels", box=None, pad_edge=False)
    for summary in amis:
        state = summary["state"] + (
            f", deprecated from {summary['deprecation'][:10]}" if summary["deprecation"] else ""
        )
        channels = ", ".join(name.partition(":")[0] for name in summary["channels"])
        table.add_row(
            summary["id"],
            summary["region"],
            summary["name"],
            state,
            summary["suite"].partition(" on ")[0] if summary["tested"] else "–",
            channels or "–",
        )
    out.print(table)


@app.command(epilog="Example: ingot ami show stable:parallelcluster/ubuntu2404/x86_64 --region us-east-1")
def show(reference: AmiArg, region: RegionOption = "", as_json: JsonOption = False) -> None:
    """Show an AMI: versions, sharing, references.

    Also prints snapshots; tags are in the JSON output.
    """
    from ingot.ami.show import shown
    from ingot.console import out
    from ingot.sources import aws

    (where,) = aws.regions([region] if region else [], "show")
    facts = shown(where, reference)
    if as_json:
        print_json(facts)
        return
    for key, value in facts.items():
        if key == "tags":
            continue
        pairs = [f"{name} {fact}" for name, fact in value.items()] if isinstance(value, dict) else value
        text = "\n                    ".join(map(str, pairs)) if isinstance(pairs, list) else pairs
        out.print(f"{key.replace('_', ' '):20}{text or '–'}", markup=False)


@app.command(
    epilog="Example: ingot ami diff stable:parallelcluster/al2023/x86_64 candidate:parallelcluster/al2023/x86_64"
)
def diff(before: AmiArg, after: AmiArg, region: RegionOption = "", as_json: JsonOption = False) -> None:
    """Print release notes between two AMIs.

    Compares the versions in their tags; the notes are Markdown.
    """
    from ingot.ami import ami
    from ingot.lock.diff import changed, notes
    from ingot.sources import aws

    (where,) = aws.regions([region] if region else [], "diff")
    old, new = ami.compared(where, [before, after])
    if as_json:
        print_json({"before": old.title, "after": new.title, "components": changed(old.components, new.components)})
        return
    print(notes(old, new), end="")


@app.command(
    epilog="Example: ingot ami share stable:parallelcluster/al2023/x86_64 --account 111122223333 --region us-east-1"
)
def share(
    reference: AmiArg,
    account: Annotated[list[str] | None, typer.Option("--account", help="Account number; may be repeated.")] = None,
    organization: Annotated[
        list[str] | None, typer.Option("--organization", help="ARN of an organisation; may be repeated.")
    ] = None,
    unit: Annotated[
        list[str] | None, typer.Option("--ou", help="ARN of an organisational unit; may be repeated.")
    ] = None,
    region: FirstOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Share an AMI with accounts or organisations.

    Also shares its snapshots and, with accounts, the KMS keys that encrypt them.
    """
    from ingot.ami import share as ami_share
    from ingot.console import Progress, out
    from ingot.sources import aws

    to = ami_share.whom(account or [], organization or [], unit or [])
    results = ami_share.share(aws.regions(region or [], "share"), reference, to, Progress(), dry_run=dry_run)
    if as_json:
        print_json(results)
        return
    for result in results:
        keys = f", with keys {', '.join(result['keys'])}" if result["keys"] else ""
        shared = f"{would(dry_run)}shared with {', '.join(result['shared_with'])}{keys}"
        out.print(f"{result['region']} {result['id']} {result['name']}: {shared}", markup=False)


@app.command(epilog="Example: ingot ami copy ami-0123456789abcdef0 --region us-east-1 --to us-west-2 --to eu-west-1")
def copy(
    reference: AmiArg,
    to: Annotated[list[str] | None, typer.Option("--to", help="Target region; may be repeated.")] = None,
    region: RegionOption = "",
    kms_key: KeyOption = "",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Copy an AMI and its tags to other regions.

    Copies run in parallel; regions that already have one are skipped.
    """
    from ingot.ami import ami
    from ingot.ami import copy as ami_copy
    from ingot.console import Progress, out
    from ingot.errors import UsageError
    from ingot.sources import aws

    if not to:
        raise UsageError("no target region", place="--to", hint="add --to us-west-2")
    (home,) = aws.regions([region] if region else [], "copy")
    others = aws.regions(to, "copy")
    (source,) = aws.everywhere([home], "copy", lambda where: ami.find(where, reference))
    results = ami_copy.copy(source, home, others, kms_key, Progress(), dry_run=dry_run)
    if as_json:
        print_json(results)
        return
    for copied in results:
        state = "already there" if copied["reused"] else f"{would(dry_run)}copied"
        out.print(f"{copied['region']} {copied['id'] or '–'} {copied['name']}: {state}", markup=False)


@app.command(epilog="Example: ingot ami deprecate ami-0123456789abcdef0 --at 2027-06-30 --region us-east-1")
def deprecate(
    reference: AmiArg,
    at: Annotated[
        str, typer.Option("--at", help="Date or time in UTC; now by default.", metavar="DATE", show_default=False)
    ] = "",
    disable: Annotated[
        bool, typer.Option("--disable", help="Also block launches; refused while anything refers to the AMI.")
    ] = False,
    region: FirstOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Deprecate an AMI and its copies.

    EC2 then lists them to other accounts only by id.
    """
    from ingot.ami import deprecate as ami_deprecate
    from ingot.console import Progress, out
    from ingot.sources import aws

    time, regions = ami_deprecate.when(at), aws.regions(region or [], "deprecate")
    results = ami_deprecate.deprecate(regions, reference, time, Progress(), disable=disable, dry_run=dry_run)
    if as_json:
        print_json(results)
        return
    for ami in results:
        state = f"deprecated from {ami['at']}{', disabled' if disable else ''}"
        out.print(f"{ami['region']} {ami['id']} {ami['name']}: {would(dry_run)}{state}", markup=False)
