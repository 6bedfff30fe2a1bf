"""The commands for framework containers: container, smoke, pair."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ingot.cli.options import ArchOption, FrozenOption, JsonOption, StackOption, catalog, print_json, systems

if TYPE_CHECKING:
    from ingot.catalog.catalog import Catalog
    from ingot.model.target import ContainerSelection

app = typer.Typer(rich_markup_mode=None)


def _containers() -> list[str]:
    return sorted(catalog().containers)


def _accelerators() -> list[str]:
    return sorted(catalog().container_systems)


NameArg = Annotated[str, typer.Argument(help="Container of catalog/containers.yml.", autocompletion=_containers)]
SystemOption = Annotated[
    str,
    typer.Option(
        "--os", help="Operating system; by default that of the variant.", autocompletion=systems, show_default=False
    ),
]
AcceleratorOption = Annotated[
    str,
    typer.Option(
        "--accelerator",
        help="Variant; cpu by default, if there is one.",
        autocompletion=_accelerators,
        show_default=False,
    ),
]


def _of_variant(run: Callable[["ContainerSelection", "Catalog", bool, bool], None]) -> Callable[..., None]:
    """Give a command of a container the options that select its variant."""

    def command(
        name: NameArg,
        os_name: SystemOption = "",
        arch: ArchOption = "x86_64",
        stack: StackOption = "",
        accelerator: AcceleratorOption = "",
        frozen: FrozenOption = False,
        as_json: JsonOption = False,
    ) -> None:
        from ingot.lock import select

        whole = catalog()
        selection = select.container(whole, name, stack or whole.newest_stack, os_name, arch, accelerator)
        run(selection, whole, frozen, as_json)

    # Not functools.wraps: typer would read the options of `run`.
    command.__name__, command.__doc__ = run.__name__, run.__doc__
    return command


@app.command(epilog="Example: ingot container fsdp --accelerator nvidia")
@_of_variant
def container(selection: "ContainerSelection", whole: "Catalog", frozen: bool, as_json: bool) -> None:
    """Build a framework container from the lock.

    Records what it lacks in its lock, and builds its parents first; skips unchanged containers.
    """
    from ingot.console import Progress, out
    from ingot.container.build import build

    report = build(selection, whole, Progress(), frozen=frozen)
    if as_json:
        print_json(report)
        return
    for step in report["steps"]:
        state = "unchanged" if step["unchanged"] else f"built in {step['seconds']} s"
        out.print(f"{step['tag']:42}{step['size_bytes'] / 1e6:8.0f} MB  {state}", markup=False)


@app.command(epilog="Example: ingot smoke fsdp")
@_of_variant
def smoke(selection: "ContainerSelection", whole: "Catalog", frozen: bool, as_json: bool) -> None:
    """Run a short training in a container.

    Builds the container first if it has changed, then runs it without network and without root. Exits with 1 if the run
    breaks a rule of containers/NAME/smoke.yml.
    """
    from ingot.console import Progress, err, out
    from ingot.container import smoke as module
    from ingot.container.build import CONTAINERS, build

    name = selection.name
    rule = module.read(CONTAINERS / name)
    progress = Progress()
    build(selection, whole, progress, frozen=frozen)
    folder = selection.dir / name
    folder.mkdir(exist_ok=True)
    with progress.phase("smoke"):
        result = module.smoke(selection.tag, rule, folder)
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
    host: Annotated[Path, typer.Argument(help="Host image: lock file or manifest.json.")],
    container: Annotated[str, typer.Argument(help="Container: Docker image or manifest.json.")],
    as_json: JsonOption = False,
) -> None:
    """Check that a container fits a host image.

    Exits with 1 and the reasons if it does not. Both must be of one stack, and shared components of one lock; the
    driver must support the container's CUDA; libfabric, NCCL with its plugin, and PMIx must be compatible. A version
    that one side lacks is listed as not compared.
    """
    from rich.markup import escape
    from rich.table import Table

    from ingot.console import out
    from ingot.container.pair import pair as compare
    from ingot.container.side import container_of, host_of

    whole = catalog()
    report = compare(host_of(host, whole), container_of(container, whole), whole)
    if as_json:
        print_json(report)
    else:
        table = Table("", "host", "container", "result", "why", box=None, pad_edge=False)
        for comparison in report["compared"]:
            reason = "" if comparison["state"] == "fits" else comparison["why"]
            reason += f" ({comparison['source']})" if comparison["state"] == "refused" and comparison["source"] else ""
            cells = (
                comparison["what"],
                comparison["host"] or "–",
                comparison["container"] or "–",
                comparison["state"],
                reason,
            )
            table.add_row(*map(escape, cells))
        out.print(table)
        verdict = "fits" if report["fits"] else "does not fit"
        out.print(f"{report['container']} {verdict} {report['host']}.", markup=False, soft_wrap=True)
    raise typer.Exit(0 if report["fits"] else 1)
