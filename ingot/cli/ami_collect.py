"""The commands that delete AMIs and leftovers, and print IAM policies: gc, sweep, policy."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ingot.cli.ami_options import DryRunOption, RegionsOption, would
from ingot.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from ingot.ami.gc import Verdict

app = typer.Typer()


@app.command(epilog="Example: ingot ami gc --keep 3 --region us-east-1 --dry-run")
def gc(
    keep: Annotated[
        int, typer.Option("--keep", min=1, help="How many to keep per image, system, architecture and stack.")
    ] = 3,
    region: RegionsOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete old AMIs that nothing refers to.

    Also deletes their snapshots, and prints the reason for each AMI. Keeps AMIs that a channel or its rollback, a
    launch template or configuration, an auto scaling group, an EKS node group or an instance refers to, and AMIs
    shared with another account.
    """
    from ingot.ami import gc as ami_gc
    from ingot.console import Progress
    from ingot.sources import aws

    verdicts = ami_gc.collect(aws.regions(region or [], "gc"), keep, Progress(), dry_run=dry_run)
    _print_verdicts(verdicts, dry_run, as_json)


@app.command(epilog="Example: ingot ami sweep --age 4 --region us-east-1 --dry-run")
def sweep(
    age: Annotated[float, typer.Option("--age", min=0, help="Minimum age in hours.")] = 4,
    region: RegionsOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete what killed builds left behind.

    Deletes instances, volumes, key pairs, security groups, launch templates, images and snapshots that are tagged with
    a build id and too old to be in use by a build.
    """
    from datetime import timedelta

    from ingot.ami import sweep as ami_sweep
    from ingot.console import Progress
    from ingot.sources import aws

    verdicts = ami_sweep.collect(aws.regions(region or [], "sweep"), timedelta(hours=age), Progress(), dry_run=dry_run)
    _print_verdicts(verdicts, dry_run, as_json)


@app.command(epilog="Example: ingot ami policy gc")
def policy(
    command: Annotated[
        str,
        typer.Argument(
            help="Command of `ingot ami`, or publish for the last step of a build.",
            autocompletion=lambda: _commands(),
        ),
    ],
) -> None:
    """Print the least IAM policy for a command."""
    from ingot.ami.policy import document

    print(document(command))


def _commands() -> list[str]:
    from ingot.ami.policy import COMMANDS

    return sorted(COMMANDS)


def _print_verdicts(verdicts: Sequence["Verdict"], dry_run: bool, as_json: bool) -> None:
    from ingot.console import out

    if as_json:
        print_json([verdict.data for verdict in verdicts])
        return
    for verdict in verdicts:
        out.print(verdict.line, markup=False)
    deleted = sum(not verdict.keep for verdict in verdicts)
    out.print(f"{deleted} {would(dry_run)}deleted, {len(verdicts) - deleted} kept", markup=False)
