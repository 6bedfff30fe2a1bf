"""The commands about framework containers: container, smoke, pair."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ingot.model.target import ContainerSelection

from ingot.cli.options import ArchOption, JsonOption, StackOption, catalog, print_json, systems

app = typer.Typer(rich_markup_mode=None)


def _containers() -> list[str]:
    return sorted(catalog().containers)


def _accelerators() -> list[str]:
    return sorted(catalog().container_systems)


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


def _select(name: str, os_name: str, arch: str, stack: str, accelerator: str) -> "ContainerSelection":
    from ingot.lock import select

    whole = catalog()
    return select.container(whole, name, stack or whole.newest_stack, os_name, arch, accelerator)


@app.command(epilog="Example: ingot container fsdp --accelerator nvidia")
def container(
    name: NameArg,
    os_name: SystemOption = "",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    accelerator: AcceleratorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Build a framework container from the lock.

    What it is FROM is built first; what has not changed is left alone.
    """
    from ingot.console import Progress, out
    from ingot.container.build import build

    report = build(_select(name, os_name, arch, stack, accelerator), Progress())
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
    """Train briefly in a container and judge the run.

    The run has neither network nor root; the rule is in containers/NAME/smoke.yml, and the exit status is 1 if the run
    breaks it. The container is built first where it has changed.
    """
    from ingot.console import Progress, err, out
    from ingot.container import smoke as module
    from ingot.container.build import CONTAINERS, build

    selection = _select(name, os_name, arch, stack, accelerator)
    what = module.read(CONTAINERS / name)
    progress = Progress()
    build(selection, progress)
    folder = selection.dir / name
    folder.mkdir(exist_ok=True)
    with progress.phase("smoke"):
        result = module.smoke(selection.tag, what, folder)
    curve = list(result.losses.values())
    if as_json:
        facts = {"container": name, "tag": selection.tag, "passed": not result.faults, "faults": result.faults}
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
    """Compare a container with the host it runs on.

    The exit status is 1, with the reasons, if they do not go together. Both have to be of one stack, and what they
    share of one lock; the driver has to know the container's CUDA, and libfabric, NCCL with its plugin, and PMIx
    have to speak with each other. What one of them does not have, or does not say, is named as not compared.
    """
    from rich.markup import escape
    from rich.table import Table

    from ingot.console import out
    from ingot.container.pair import container_of, host_of
    from ingot.container.pair import pair as compare

    whole = catalog()
    report = compare(host_of(host, whole), container_of(container, whole), whole)
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
