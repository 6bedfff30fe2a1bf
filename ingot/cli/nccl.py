"""The commands that measure NCCL: nccl run, nccl report, nccl messages."""

import csv
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ingot.cli.options import JsonOption, StackOption, catalog, command_line, ec2_name, print_file, print_json, types

app = typer.Typer(help="Measure NCCL and check the results.", rich_markup_mode=None)


def _collectives() -> list[str]:
    from ingot.export.nccl import COLLECTIVES

    return list(COLLECTIVES)


@app.command(epilog="Example: ingot nccl run all_reduce --instance-type p5.48xlarge --nodes 2 --os ubuntu2404 | sbatch")
def run(
    collective: Annotated[
        str, typer.Argument(help="Collective: all_reduce, all_gather …", autocompletion=_collectives)
    ],
    on: Annotated[
        str,
        typer.Option(
            "--instance-type",
            help="Instance type of the nodes.",
            callback=ec2_name,
            autocompletion=types,
            show_default=False,
        ),
    ],
    nodes: Annotated[int, typer.Option("--nodes", help="Number of nodes.")] = 2,
    container: Annotated[
        str,
        typer.Option(
            "--container", help="Reference or squashfs file of a container with /opt/nccl-tests.", show_default=False
        ),
    ] = "",
    largest: Annotated[str, typer.Option("--largest", help="Largest message: bytes, 512M, 16G.")] = "16G",
    env: Annotated[
        list[str] | None, typer.Option("--env", help="NAME=VALUE for the job, checked by the rules; may be repeated.")
    ] = None,
    os_name: Annotated[str, typer.Option("--os", help="System whose lock sets the environment.")] = "ubuntu2404",
    stack: StackOption = "",
) -> None:
    """Print a Slurm script that measures a collective.

    The script runs nccl-tests; `ingot nccl report` reads its log.
    """
    from ingot.export.launch import Job
    from ingot.export.nccl import render

    job = Job(on, nodes, os_name, stack, command_line(), container, env or [])
    print_file(*render(catalog(), collective, job, largest=largest))


@app.command(epilog="Example: ingot nccl report nccl-all_reduce-17.log --instance-type p5.48xlarge")
def report(
    files: Annotated[list[Path], typer.Argument(help="Logs of nccl-tests, each checked on its own.")],
    on: Annotated[
        str,
        typer.Option(
            "--instance-type",
            help="Instance type whose floor applies.",
            callback=ec2_name,
            autocompletion=types,
            show_default=False,
        ),
    ] = "",
    floor: Annotated[
        float,
        typer.Option(
            "--floor", help="Required bus bandwidth in GB/s, instead of the catalog's.", min=0, show_default=False
        ),
    ] = 0,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, one line per size.")] = False,
) -> None:
    """Show and check bus bandwidth by message size.

    Each run in a log has its own verdict. Exits with 1 if one of them has wrong results, did not finish, did not use
    EFA between nodes as the log says, or has its best bus bandwidth below the floor, or if a file has no run.
    """
    import math

    from ingot.catalog.instance_types import check_name
    from ingot.console import err
    from ingot.errors import IngotError, UsageError
    from ingot.export import nccl
    from ingot.export.nccl_log import Run
    from ingot.textfile import read_text

    if not math.isfinite(floor):
        raise UsageError(f"not a bandwidth: {floor}", place="--floor", hint="give GB/s, for example 250")
    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other", hint="give one of them")
    if on:
        check_name(on)
    runs: dict[str, Run] = {}
    unread: list[tuple[str, str]] = []
    for path in files:
        try:
            runs |= nccl.named(str(path), nccl.read(read_text(path), str(path)))
        except IngotError as error:
            if len(files) == 1:
                raise
            unread.append((str(path), error.message))
    verdicts = {name: nccl.judge(run, on, floor) for name, run in runs.items()}
    if as_json:
        judged = {name: {**nccl.as_data(run), **asdict(verdicts[name])} for name, run in runs.items()}
        print_json(judged | {name: {"faults": [message]} for name, message in unread})
    elif as_csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows(nccl.csv(runs))
    else:
        for name, run in runs.items():
            program = run.collective or "nccl-tests"
            print(f"{name}: {program}, {run.ranks} ranks on {len(run.hosts)} nodes, best {run.peak:g} GB/s")
            print("\n".join(nccl.plot(run, verdicts[name].floor)))
    for name, verdict in verdicts.items():
        notes = [f"note: {verdict.remark}"] if verdict.remark else []
        for message in [*notes, *verdict.faults]:
            err.print(f"{name}: {message}", markup=False, soft_wrap=True)
    for name, message in unread:
        err.print(f"{name}: {message}", markup=False, soft_wrap=True)
    raise typer.Exit(1 if unread or any(verdict.faults for verdict in verdicts.values()) else 0)


@app.command(epilog="Example: ingot nccl messages job-17-rank0.sqlite")
def messages(
    files: Annotated[list[Path], typer.Argument(help="SQLite exports of Nsight Systems, one per rank.")],
    as_json: JsonOption = False,
) -> None:
    """Show NCCL message sizes by operation.

    Reads profiles of Nsight Systems.
    """
    from ingot.export.nccl import human
    from ingot.export.nsys import messages as read

    profiles = {str(path): read(path) for path in files}
    if as_json:
        print_json({name: [asdict(operation) for operation in profile] for name, profile in profiles.items()})
        return
    for name, profile in profiles.items():
        print(name)
        for operation in profile:
            sizes = f"{human(operation.smallest)} to {human(operation.largest)}, median {human(operation.median)}"
            total = human(operation.total)
            print(f"  {operation.operation:24}{operation.calls:8} calls  {sizes}, {total} in total")
            most = max(operation.histogram.values())
            for size, calls in operation.histogram.items():
                print(f"    {human(size):>8}  {calls:8}  {'█' * max(1, round(calls / most * 40))}")
