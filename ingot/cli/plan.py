"""The questions about stacks and images: plan, solve, diff."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ingot.cli.options import ArchOption, ImageArg, JsonOption, OsOption, StackOption, at, print_json, types

app = typer.Typer(rich_markup_mode=None)
TypeOption = Annotated[
    str, typer.Option("--instance-type", help="What it runs on.", autocompletion=types, show_default=False)
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
        typer.Option("--set", help="Resolve anew with nvidia_driver.module=open or nccl==2.28.*; may be repeated."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what an image will hold, and why.

    Also what is left out, what its lock lacks, and what does not fit; then the exit status is 1.
    """
    from ingot.plan.plan import plan as make_plan

    catalog, target = at(os_name, arch, stack)
    data = make_plan(catalog, target, image, on, settings or [])
    unfit = any(each["severity"] == "error" for each in data["findings"])
    if as_json:
        print_json(data)
    else:
        _print_plan(data, unfit)
    raise typer.Exit(1 if unfit else 0)


def _print_plan(data: dict[str, Any], unfit: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    from ingot.console import out

    table = Table("component", "version", "source", "why", box=None, pad_edge=False)
    for name, entry in data["components"].items():
        why = escape(entry["why"] + (" Held." if entry["hold"] else ""))
        table.add_row(name, entry["version"] or "unresolved", entry["source"], why)
    for name, why in data["left_out"].items():
        table.add_row(name, "–", "left out", escape(why))
    out.print(table)
    if data["packages"] is not None:
        size, installed = data["download_bytes"] / 1e9, data["installed_bytes"] / 1e9
        out.print(f"\n{data['packages']} packages, {size:.2f} GB to download, {installed:.2f} GB installed.")
    for rule, why in data["accepted"].items():
        out.print(f"\naccepted: {rule}: {why}", markup=False)
    for each in data["findings"]:
        rule = f" [{each['rule']}]" if each.get("rule") else ""
        out.print(f"\n{each['severity']}: {each['message']}{rule}", markup=False)
        out.print(f"  fix: {each['fix']}", markup=False)
        for source in each["sources"]:
            out.print(f"  source: {source}", markup=False)
    if data["unresolved"]:
        out.print("\nunresolved, so that a build stops before it launches anything:")
        for name, what in data["unresolved"].items():
            out.print(f"  {name:26}{what}", markup=False)
    if data["instance_type"]:
        out.print(f"\n{data['image']} {'does not fit' if unfit else 'fits'} {data['instance_type']}.", markup=False)


@app.command(epilog="Example: ingot solve --want 'nccl==2.27.*' --instance-type p6-b200.48xlarge --os al2023")
def solve(
    wants: Annotated[
        list[str] | None, typer.Option("--want", help="A component and a range, 'efa>=1.49'; may be repeated.")
    ] = None,
    os_name: OsOption = "ubuntu2404",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    on: TypeOption = "",
    as_json: JsonOption = False,
) -> None:
    """Find the newest versions that fit together.

    They satisfy the wishes, the instance type and every rule; where none do, the exit status is 1, with the
    reasons. The components are those of the stack; its pins do not count.
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


@app.command(epilog="Example: ingot diff 2025.11 2026.11 --os ubuntu2404   ·   ingot diff OLD.yml NEW/manifest.json")
def diff(
    before: Annotated[str, typer.Argument(help="A stack, or a lock's or a manifest's file.")],
    after: Annotated[str, typer.Argument(help="A stack, or a lock's or a manifest's file.")],
    os_name: OsOption = "debian13",
    arch: ArchOption = "x86_64",
) -> None:
    """Print release notes between two stacks.

    Or between two locks, or two manifests, which are named by their files. The notes are Markdown.
    """
    from dataclasses import replace

    from ingot.lock.diff import notes, state
    from ingot.lock.file import path_of

    catalog, target = at(os_name, arch)
    names = (before, after)
    paths = [path_of(replace(target, stack=each)) if each in catalog.stacks else Path(each) for each in names]
    for each, path in zip((before, after), paths, strict=True):
        if not path.exists() and path.suffix not in (".yml", ".json"):
            catalog.stack(each)
    print(notes(*map(state, paths)), end="")
