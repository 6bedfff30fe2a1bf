"""Renders job files for NVIDIA's nccl-tests, and parses and judges their output."""

import re
from dataclasses import asdict, dataclass
from typing import Any

from ingot.catalog.catalog import Catalog
from ingot.catalog.instance_types import describe
from ingot.errors import IngotError, UsageError
from ingot.export.launch import Job, environment_of, node_facts, templates
from ingot.export.nccl_log import Run, runs
from ingot.yamlfile import nearest

# The programs of nccl-tests without `_perf`: the folder src of https://github.com/NVIDIA/nccl-tests
COLLECTIVES = (
    *("all_reduce", "all_gather", "reduce_scatter", "alltoall", "broadcast", "reduce", "sendrecv", "gather", "scatter"),
)
# How floors are measured: catalog/accelerators.yml.
FLOOR_COLLECTIVE, FLOOR_NODES = "all_reduce", 2
SIZE = re.compile(r"\d+[KMG]?")
WIDTH = 50


def render(catalog: Catalog, collective: str, job: Job, *, largest: str = "16G") -> tuple[str, list[str]]:
    """A batch script for Slurm, and remarks for the user."""
    if collective not in COLLECTIVES:
        raise UsageError(f"nccl-tests has no collective {collective!r}", hint=nearest(collective, COLLECTIVES))
    if not SIZE.fullmatch(largest):
        raise UsageError(f"not a size: {largest!r}", place="--largest", hint="write bytes, 512M or 16G")
    facts = node_facts(job.instance_type, job.nodes)
    if facts["accelerator"] != "nvidia":
        accelerator = facts["accelerator"] if facts["accelerator"] != "cpu" else "no accelerator"
        message = f"NCCL needs NVIDIA GPUs; {job.instance_type} has {accelerator}"
        raise UsageError(message, place="--instance-type", hint="use a type with NVIDIA GPUs: `ingot list`")
    target = catalog.target(job.stack or catalog.newest_stack, job.os_name, facts["arch"])
    settings, remarks = environment_of(target, facts, job.environment)
    if job.nodes == 1:
        remarks.append("note: one node measures only NVLink or PCIe; EFA needs two or more nodes")
    text = templates().get_template("nccl.sbatch.j2").render(
        header=f"Written by `{job.command_line}`: stack {target.stack}, {target.key}.",
        collective=collective,
        nodes=job.nodes,
        devices=facts["devices"],
        container=job.container,
        settings=settings,
        largest=largest,
    )  # fmt: skip
    return text, remarks


def read(text: str, place: str) -> list[Run]:
    """The runs in a log, which may have other lines; IngotError if there is none."""
    found = runs(text)
    if not found:
        hint = "give the log of a run, with the output of nccl-tests"
        raise IngotError("no results of nccl-tests in this file", place=place, hint=hint)
    return found


def floor_of(instance_type: str, run: Run) -> tuple[float, str]:
    """The minimum bus bandwidth of a healthy run, 0 if unknown, and a remark on it.

    It is the highest floor of the catalog that the network can reach.
    """
    facts = describe(instance_type)
    if run.collective != FLOOR_COLLECTIVE or len(run.hosts) != FLOOR_NODES:
        return 0, f"only {FLOOR_COLLECTIVE} on {FLOOR_NODES} nodes has floors"
    match = re.fullmatch(r"(?:(\d+)x )?(\d+) Gigabit", facts["network"] or "")
    ranks = run.ranks or FLOOR_NODES * (facts["devices"] or 1)
    # Each node receives as many bytes as it reduces: catalog/accelerators.yml.
    reach = int(match[1] or 1) * int(match[2]) / 8 * 2 * (ranks - 1) / ranks if match else 0.0
    floors = {
        value: source for source, values in facts["floors"].items() for value in values if not reach or value <= reach
    }
    if not floors:
        return 0, f"{instance_type} has no known floor"
    value = max(floors)
    return value, f"the floor of {instance_type} is {value} GB/s (source {floors[value]} of catalog/accelerators.yml)"


@dataclass(frozen=True)
class Verdict:
    """The floor of a run, 0 for none, a remark on it, and the faults of the run, one sentence each."""

    floor: float
    remark: str
    faults: list[str]


def judge(run: Run, instance_type: str = "", floor: float = 0) -> Verdict:
    """The verdict on a run, by the given floor or by that of an instance type."""
    remark = f"the floor is {floor:g} GB/s" if floor else ""
    if instance_type and not floor:
        floor, remark = floor_of(instance_type, run)
    return Verdict(floor, remark, faults(run, floor))


def faults(run: Run, floor: float) -> list[str]:
    """The faults of a run, one sentence each."""
    # A run on one node sends nothing by the network.
    messages = [f"{fault}: {line}" for fault, line in run.evidence.items()] if len(run.hosts) != 1 else []
    wrong = [row.size for row in run.rows if (row.out_of_place.wrong or 0) + (row.in_place.wrong or 0) > 0]
    if wrong or run.out_of_bounds:
        sizes = ", ".join(map(human, wrong)) or "unnamed sizes"
        messages.append(f"wrong results at {sizes}")
    if run.average is None:
        last = f"its last size is {human(run.rows[-1].size)}" if run.rows else "it has no result"
        messages.append(f"the run did not finish; {last}" + (f"; {run.death}" if run.death else ""))
    if run.rows and run.peak < floor:
        messages.append(f"the best bus bandwidth is {run.peak:g} GB/s, below {floor:g}")
    return messages


def human(size: int) -> str:
    """A size with its unit: `8 MiB`."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size} {unit}"
        size //= 1024
    return f"{size} GiB"


def as_data(run: Run) -> dict[str, Any]:
    """A run as data for JSON."""
    return {**asdict(run), "peak_busbw": run.peak}


def named(path: str, found: list[Run]) -> dict[str, Run]:
    """The runs of a file by name: the file's, with the line on which each begins if there are several."""
    return {path if len(found) == 1 else f"{path}:{run.line}": run for run in found}


def csv(named_runs: dict[str, Run]) -> list[list[Any]]:
    """The rows of a CSV table: a heading, then one row per size and file."""
    parts = ("time_us", "algbw_gbs", "busbw_gbs", "wrong")
    heading = ["file", "collective", "nodes", "ranks", "size", "count", "type", "redop"]
    rows: list[list[Any]] = [[*heading, *parts, *(f"in_place_{part}" for part in parts)]]
    for name, run in named_runs.items():
        for row in run.rows:
            both = [value for half in (row.out_of_place, row.in_place) for value in asdict(half).values()]
            rows.append(
                [name, run.collective, len(run.hosts), run.ranks, row.size, row.count, row.type, row.redop, *both]
            )
    return rows


def plot(run: Run, floor: float) -> list[str]:
    """Bars of the bus bandwidth by size, with a mark at the floor."""
    top = max(run.peak, floor) or 1
    mark = round(floor / top * WIDTH)
    lines = []
    for row in run.rows:
        bar = "█" * round(row.busbw / top * WIDTH)
        line = bar.ljust(WIDTH)
        if floor and len(bar) < mark:
            line = f"{line[: mark - 1]}|{line[mark:]}"
        lines.append(f"{human(row.size):>8}  {row.busbw:8.2f}  {line.rstrip()}")
    return lines
