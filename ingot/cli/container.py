"""The commands about framework containers: container, smoke, pair."""

from pathlib import Path
from typing import Annotated

import typer

from ingot.cli.options import ArchOption, JsonOption, StackOption, find_stack, print_json, systems

app = typer.Typer(rich_markup_mode=None)


def _containers() -> list[str]:
    return sorted(find_stack("")[0].containers)


def _accelerators() -> list[str]:
    return sorted(find_stack("")[0].container_systems)


NameArg = Annotated[str, typer.Argument(help="A container of catalog/containers.yml.", autocompletion=_containers)]
SystemOption = Annotated[
    str,
    typer.Option("--os", help="Operating system; the variant's.", autocompletion=systems, show_default=False),
]
AcceleratorOption = Annotated[
    str,
    typer.Option(
        "--accelerator", help="The variant; cpu where there is one.", autocompletion=_accelerators, show_default=False
    ),
]


@app.command(epilog="Example: ingot container fsdp --accelerator nvidia")
def container(
    name: NameArg,
    os_name: SystemOption = "",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    accelerator: AcceleratorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Build a framework container from the lock, and before it what it is FROM; what has not changed is left alone."""
    from ingot.console import Progress, out
    from ingot.container.build import asked, build

    catalog, stack = find_stack(stack)
    report = build(asked(catalog, name, os_name, arch, stack, accelerator), catalog, Progress())
    if as_json:
        print_json(report)
        return
    for step in report["steps"]:
        state = "unchanged" if step["unchanged"] else f"built in {step['seconds']} s"
        out.print(f"{step['tag']:42}{step['size_bytes'] / 1e6:8.0f} MB  {state}", markup=False)


@app.command(epilog="Example: ingot smoke fsdp")
def smoke(
    name: NameArg,
    os_name: SystemOption = "",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    accelerator: AcceleratorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Train in a container, without network or root, and judge it by its rule; exit 1 if it fails.

    The container is built first where it has changed.
    """
    from ingot.console import Progress, err, out
    from ingot.container import smoke as module
    from ingot.container.build import CONTAINERS, asked, build, check

    catalog, stack = find_stack(stack)
    request = asked(catalog, name, os_name, arch, stack, accelerator)
    check(request, catalog)
    what = module.read(CONTAINERS / name)
    progress = Progress()
    build(request, catalog, progress)
    folder = request.dir / name
    folder.mkdir(exist_ok=True)
    with progress.phase("smoke"):
        result = module.smoke(request.tag, what, folder)
    curve = list(result.losses.values())
    if as_json:
        facts = {"container": name, "tag": request.tag, "passed": not result.faults, "faults": result.faults}
        print_json(facts | {"seconds": result.seconds, "losses": result.losses, "log": str(folder / "smoke.log")})
    elif not result.faults:
        out.print(f"{name} passes in {result.seconds} s: loss {curve[0]:.3g} to {curve[-1]:.3g}", markup=False)
    if result.faults:
        err.print(result.tail, markup=False, soft_wrap=True)
        for fault in result.faults:
            err.print(f"failed: {fault}", markup=False, soft_wrap=True)
        err.print(f"  log: {folder / 'smoke.log'}", markup=False, soft_wrap=True)
        raise typer.Exit(1)


@app.command(epilog="Example: ingot pair locks/2026.11/debian13-x86_64.yml ingot/fsdp:cpu-debian13-x86_64")
def pair(
    host: Annotated[Path, typer.Argument(help="The host image: its lock's file, or its manifest.json.")],
    container: Annotated[str, typer.Argument(help="The container: an image in Docker, or its manifest.json.")],
    as_json: JsonOption = False,
) -> None:
    """Say whether a container goes with a host image; exit 1 with the reasons if it does not.

    Both have to be of one stack, and what they share of one lock; the driver has to know the container's CUDA, and
    libfabric, NCCL with its plugin, and PMIx have to speak with each other. What one of them does not have, or does not
    say, is named as not compared.
    """
    from rich.markup import escape
    from rich.table import Table

    from ingot.console import out
    from ingot.container.pair import container_of, host_of
    from ingot.container.pair import pair as compare

    catalog, _ = find_stack("")
    report = compare(host_of(host, catalog), container_of(container, catalog), catalog)
    if as_json:
        print_json(report)
    else:
        table = Table("", "host", "container", "result", "why", box=None, pad_edge=False)
        for row in report["compared"]:
            why = "" if row["state"] == "fits" else row["why"]
            why += f" ({row['source']})" if row["state"] == "refused" and row["source"] else ""
            cells = (row["what"], row["host"] or "–", row["container"] or "–", row["state"], why)
            table.add_row(*map(escape, cells))
        out.print(table)
        verdict = "goes" if report["fits"] else "does not go"
        out.print(f"{report['container']} {verdict} with {report['host']}.", markup=False, soft_wrap=True)
    raise typer.Exit(0 if report["fits"] else 1)
