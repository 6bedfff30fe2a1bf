"""The commands that answer questions about stacks and images: plan, solve, diff."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ingot.cli.options import ArchOption, ImageArg, JsonOption, OsOption, StackOption, at, ec2_name, print_json, types

app = typer.Typer(rich_markup_mode=None)
TypeOption = Annotated[
    str,
    typer.Option(
        "--instance-type", help="Instance type to run on.", callback=ec2_name, autocompletion=types, show_default=False
    ),
]


@app.command(epilog="Example: ingot plan parallelcluster --os ubuntu2404 --instance-type p5.48xlarge")
def plan(
    image: ImageArg,
    os_name: OsOption = "debian13",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    on: TypeOption = "",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Resolve with nvidia_driver.module=open or nccl==2.28.*; may be repeated."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what an image contains, and why.

    Also lists how sure each pin is, what is left out, and what does not fit. Exits with 1 on errors.
    """
    from ingot.plan.plan import plan as make_plan

    catalog, target = at(os_name, arch, stack)
    data = make_plan(catalog, target, image, on, settings or [])
    unfit = any(finding["severity"] == "error" for finding in data["findings"])
    if as_json:
        print_json(data)
    else:
        _print_plan(data, unfit)
    raise typer.Exit(1 if unfit else 0)


def _print_plan(data: dict[str, Any], unfit: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    from ingot.console import out
    from ingot.model.types import BASE_IMAGE

    table = Table("component", "version", "grade", "source", "why", box=None, pad_edge=False)
    for name, entry in data["components"].items():
        reason = escape(entry["why"] + (" Held." if entry["hold"] else ""))
        source = entry["source"].replace(BASE_IMAGE, "base image")
        table.add_row(name, entry["version"] or "–", entry["grade"], source, reason)
    for name, reason in data["left_out"].items():
        table.add_row(name, "–", "–", "left out", escape(reason))
    out.print(table)
    out.print(f"\nGrades: {', '.join(f'{count} {grade}' for grade, count in data['grades'].items())}.")
    if data["packages"] is not None:
        size, installed = data["download_bytes"] / 1e9, data["installed_bytes"] / 1e9
        out.print(f"\n{data['packages']} packages, {size:.2f} GB to download, {installed:.2f} GB installed.")
    for rule, reason in data["accepted"].items():
        out.print(f"\naccepted: {rule}: {reason}", markup=False)
    _print_advisories(data["advisories"])
    for finding in data["findings"]:
        rule = f" [{finding['rule']}]" if finding.get("rule") else ""
        out.print(f"\n{finding['severity']}: {finding['message']}{rule}", markup=False)
        out.print(f"  fix: {finding['fix']}", markup=False)
        for source in finding["sources"]:
            out.print(f"  source: {source}", markup=False)
    if data["unresolved"]:
        out.print("\nunresolved; a build records it, or stops before it launches anything:")
        for name, parts in data["unresolved"].items():
            out.print(f"  {name:27}{parts}", markup=False)
    if data["instance_type"]:
        out.print(f"\n{data['image']} {'does not fit' if unfit else 'fits'} {data['instance_type']}.", markup=False)


def _print_advisories(findings: list[dict[str, Any]]) -> None:
    """What is accepted with its reason and end, then what is open, worst first."""
    from ingot.catalog.advisories import engine
    from ingot.console import out

    for line in engine().accepted(findings):
        out.print(f"\n{line}", markup=False)
    for finding in findings:
        if engine().is_open(finding):
            out.print(f"\nadvisory: {engine().sentence(finding)}", markup=False, soft_wrap=True)
            out.print(f"  source: {finding['source']}", markup=False)


@app.command(epilog="Example: ingot solve --want 'nccl==2.27.*' --instance-type p6-b200.48xlarge --os al2023")
def solve(
    wants: Annotated[
        list[str] | None, typer.Option("--want", help="Component and version range, 'efa>=1.49'; may be repeated.")
    ] = None,
    os_name: OsOption = "ubuntu2404",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    on: TypeOption = "",
    as_json: JsonOption = False,
) -> None:
    """Find the newest versions that fit together.

    They satisfy the --want ranges, the instance type and every rule; if there are none, exits with 1 and the reasons.
    Solves for the components of the stack and ignores its pins. Also lists warnings, and rules that nobody can apply
    because a fact of a version is unknown.
    """
    from ingot.console import out
    from ingot.plan.solve import solve as find

    catalog, target = at(os_name, arch, stack)
    data = find(catalog, target, wants or [], on)
    if as_json:
        print_json(data)
        return
    for name, entry in data["components"].items():
        facts = ", ".join(f"{key}={value}" for key, value in entry["facts"].items())
        out.print(f"{name:26}{entry['version'] or 'unresolved':16}{facts}", markup=False, soft_wrap=True)
    _print_advisories(data["advisories"])
    for kind in ("warnings", "unknown"):
        for message in data[kind]:
            label = "warning: " if kind == "warnings" else "note: "
            out.print(f"{label}{message}", markup=False, soft_wrap=True)


@app.command(epilog="Example: ingot diff 2025.11 2026.11 --os ubuntu2404   ·   ingot diff OLD.yml NEW/manifest.json")
def diff(
    before: Annotated[str, typer.Argument(help="Stack, lock file or manifest file.")],
    after: Annotated[str, typer.Argument(help="Stack, lock file or manifest file.")],
    os_name: OsOption = "debian13",
    arch: ArchOption = "x86_64",
) -> None:
    """Print release notes between two stacks.

    Or between two lock files or two manifest files. The notes are Markdown.
    """
    from dataclasses import replace

    from ingot.lock.diff import notes, state
    from ingot.lock.file import path_of

    catalog, target = at(os_name, arch)
    names = (before, after)
    paths = [path_of(replace(target, stack=name)) if name in catalog.stacks else Path(name) for name in names]
    for name, path in zip((before, after), paths, strict=True):
        if not path.exists() and path.suffix not in (".yml", ".json"):
            catalog.stack(name)
    print(notes(*map(state, paths)), end="")
