"""The commands about NCCL on nodes that run: nccl run, nccl report, nccl messages."""

import csv
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ingot.cli.options import JsonOption, StackOption, catalog, print_json, types

app = typer.Typer(help="Measure NCCL on nodes and judge the result.", rich_markup_mode=None)


def _collectives() -> list[str]:
    from ingot.export.nccl import COLLECTIVES

    return list(COLLECTIVES)


@app.command(epilog="Example: ingot nccl run all_reduce --instance-type p5.48xlarge --nodes 2 --os ubuntu2404 | sbatch")
def run(
    collective: Annotated[str, typer.Argument(help="all_reduce, all_gather …", autocompletion=_collectives)],
    on: Annotated[
        str, typer.Option("--instance-type", help="What it runs on.", autocompletion=types, show_default=False)
    ],
    nodes: Annotated[int, typer.Option("--nodes", help="How many of them.")] = 2,
    container: Annotated[
        str,
        typer.Option("--container", help="One that has /opt/nccl-tests, or a squashfs file.", show_default=False),
    ] = "",
    largest: Annotated[str, typer.Option("--largest", help="The largest message: bytes, 512M, 16G.")] = "16G",
    env: Annotated[
        list[str] | None, typer.Option("--env", help="NAME=VALUE for the job, judged by the rules; may be repeated.")
    ] = None,
    os_name: Annotated[
        str, typer.Option("--os", help="The lock whose versions decide the environment.")
    ] = "ubuntu2404",
    stack: StackOption = "",
) -> None:
    """Print a Slurm script that measures a collective.

    It runs nccl-tests; `ingot nccl report` reads its log.
    """
    from ingot.console import err
    from ingot.export.nccl import render

    whole = catalog()
    text, remarks = render(
        whole,
        collective,
        instance_type=on,
        nodes=nodes,
        os_name=os_name,
        stack=stack or whole.newest_stack,
        command_line=shlex.join(["ingot", *sys.argv[1:]]),
        container=container,
        largest=largest,
        environment=env,
    )
    for remark in remarks:
        err.print(remark, markup=False)
    print(text, end="")


@app.command(epilog="Example: ingot nccl report nccl-all_reduce-17.log --instance-type p5.48xlarge")
def report(
    files: Annotated[list[Path], typer.Argument(help="Logs of nccl-tests; several are judged each.")],
    on: Annotated[
        str, typer.Option("--instance-type", help="Whose floor counts.", autocompletion=types, show_default=False)
    ] = "",
    floor: Annotated[
        float, typer.Option("--floor", help="GB/s of bus bandwidth to reach instead.", min=0, show_default=False)
    ] = 0,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one line a size.")] = False,
) -> None:
    """Show and judge bus bandwidth by message size.

    The exit status is 1 when results are wrong, a run did not finish, or its best bus bandwidth is below the floor.
    """
    from ingot.catalog.instance_types import check_name
    from ingot.console import err
    from ingot.errors import IngotError, UsageError
    from ingot.export import nccl

    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other", hint="give one of them")
    if on:
        check_name(on)
    runs = {}
    for path in files:
        try:
            runs[str(path)] = nccl.parse(path.read_text(errors="replace"), str(path))
        except OSError as error:
            raise IngotError(f"cannot be read: {error.strerror}", place=str(path)) from None
    judged = {name: nccl.judge(each, on, floor) for name, each in runs.items()}
    if as_json:
        print_json({name: {**nccl.as_data(each), **asdict(judged[name])} for name, each in runs.items()})
    elif as_csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows(nccl.csv(runs))
    else:
        for name, each in runs.items():
            what = each.collective or "nccl-tests"
            print(f"{name}: {what}, {each.ranks} ranks on {len(each.hosts)} nodes, best {each.peak:g} GB/s")
            print("\n".join(nccl.plot(each, judged[name].floor)))
    for name, verdict in judged.items():
        remarks = [f"note: {verdict.remark}"] if verdict.remark else []
        for said in [*remarks, *verdict.faults]:
            err.print(f"{name}: {said}", markup=False)
    raise typer.Exit(1 if any(verdict.faults for verdict in judged.values()) else 0)


@app.command(epilog="Example: ingot nccl messages job-17-rank0.sqlite")
def messages(
    files: Annotated[list[Path], typer.Argument(help="Exports of Nsight Systems as SQLite, one a rank.")],
    as_json: JsonOption = False,
) -> None:
    """Show the sizes of NCCL's messages by operation.

    Nsight Systems has recorded them.
    """
    from ingot.export.nccl import human
    from ingot.export.nsys import messages as read

    found = {str(path): read(path) for path in files}
    if as_json:
        print_json({name: [asdict(each) for each in rows] for name, rows in found.items()})
        return
    for name, rows in found.items():
        print(name)
        for each in rows:
            sizes = f"{human(each.smallest)} to {human(each.largest)}, median {human(each.median)}"
            print(f"  {each.operation:24}{each.calls:8} calls  {sizes}, {human(each.total)} in all")
            most = max(each.histogram.values())
            for size, calls in each.histogram.items():
                print(f"    {human(size):>8}  {calls:8}  {'█' * max(1, round(calls / most * 40))}")
