"""The commands about stacks and their locks: lock, plan, solve, diff."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ingot.cli.options import ArchOption, ImageArg, JsonOption, OsOption, StackOption, find_stack, print_json, types

app = typer.Typer(rich_markup_mode=None)
TypeOption = Annotated[
    str, typer.Option("--instance-type", help="What it runs on.", autocompletion=types, show_default=False)
]


@app.command(epilog="Example: ingot lock --os debian13   ·   ingot lock --all --check")
def lock(
    os_name: Annotated[str, typer.Option("--os", help="Only this operating system.", show_default=False)] = "",
    arch: Annotated[str, typer.Option("--arch", help="Only this architecture.", show_default=False)] = "",
    stack: StackOption = "",
    every: Annotated[bool, typer.Option("--all", help="Every stack.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only check, offline, that locks match the catalog.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep every pin that the archive still holds.")] = False,
    recording: Annotated[
        bool, typer.Option("--record", help="Record digests from vendors' files and repositories.")
    ] = False,
    region: Annotated[
        str, typer.Option("--region", help="Record base images too, as they are in this region.", show_default=False)
    ] = "",
    containers: Annotated[
        bool, typer.Option("--containers", help="Instead, pin the Python packages of the containers anew.")
    ] = False,
) -> None:
    """Resolve a stack into locks: exact versions and digests from signed archives and package indexes.

    Vendors' systems are resolved offline, from what is known to be published; what is not known is listed under
    unresolved. With --record, digests are recorded from downloads and from the indexes of vendors' repositories, which
    their keys must have signed, of packages and of what they need there; what cannot be had is named, stays unresolved,
    and the exit status is 1. With --region, the names of the newest base images are recorded, which needs AWS
    credentials. With --containers, no lock is resolved but what containers/NAME/requirements*.in ask for, into exact
    versions with digests.
    """
    from ingot.console import Progress, err, out
    from ingot.errors import IngotError, UsageError
    from ingot.lock import file as locks
    from ingot.lock import record
    from ingot.lock.make import make
    from ingot.paths import write_text
    from ingot.sources.ec2 import newest_images

    if every and stack:
        raise UsageError("--all and --stack both name stacks", hint="give one of them")
    if containers and (os_name or arch or stack or every or check or keep or recording or region):
        raise UsageError("--containers goes alone", hint="their packages are the same in every stack")
    catalog, stack = find_stack(stack)
    if containers:
        _lock_containers(catalog)
        return
    catalog.stack(stack)
    stacks = list(catalog.stacks) if every else [stack]
    failed: dict[str, IngotError] = {}
    for each, name, which in locks.keys(catalog, stacks, os_name, arch):
        path = locks.path_of(each, name, which)
        if check:
            locks.check_file(path, catalog)
            continue
        old = locks.load(path) if path.exists() else None
        progress = Progress()
        with progress.phase(f"lock {each} {name}-{which}"):
            new = make(catalog, each, name, which, keep=old if keep else None).lock
            new = record.keep(new, old)
            if recording:
                new, lacking = record.record(new, progress.tell)
                failed |= {f"{each} {name}-{which}: {component}": why for component, why in lacking.items()}
            new = record.with_images(new, newest_images(new.base_images, which, region)) if region else new
        before = {**old.components, **old.packages, **old.wheels} if old else {}
        for line in locks.changes(before, {**new.components, **new.packages, **new.wheels}):
            out.print(f"  {line}", markup=False)
        write_text(path, locks.dump(new))
    for what, why in failed.items():
        err.print(f"not recorded: {what}: {why}", markup=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)
    if check:
        out.print(f"The locks of stack {', '.join(stacks)} match the catalog.")


def _lock_containers(catalog: Any) -> None:
    """Resolve the requirements of every container, and print what changes."""
    from ingot.console import Progress, out
    from ingot.container import requirements
    from ingot.container.build import CONTAINERS

    for name, source in requirements.sources(catalog, CONTAINERS):
        with Progress().phase(f"lock {source.parent.name}/{source.name}"):
            found = requirements.renew(name, source, catalog)
        for package, (old, new) in found.items():
            out.print(f"  {package} {old or '(none)'} -> {new or '(removed)'}", markup=False)


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
    """Say what an image will hold, why, what is left out, and what does not fit (exit 1)."""
    from ingot.plan.plan import plan as make_plan

    catalog, stack = find_stack(stack)
    data = make_plan(catalog, image, os_name, arch, stack, on, settings or [])
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
    """Find the newest versions that satisfy wishes, an instance type and every rule; exit 1 with the reasons if none.

    The components are those of the stack; its pins do not count.
    """
    from ingot.console import out
    from ingot.plan.solve import solve as find

    catalog, stack = find_stack(stack)
    data = find(catalog, stack, os_name, arch, wants or [], on)
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
    """Compare two stacks, two locks or two manifests and print release notes in Markdown."""
    from ingot.lock.diff import notes, state
    from ingot.lock.file import path_of

    catalog, _ = find_stack("")
    paths = [path_of(each, os_name, arch) if each in catalog.stacks else Path(each) for each in (before, after)]
    for each, path in zip((before, after), paths, strict=True):
        if not path.exists() and path.suffix not in (".yml", ".json"):
            catalog.stack(each)
    print(notes(*map(state, paths)), end="")
