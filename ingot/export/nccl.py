"""Renders runs of NVIDIA's nccl-tests, and turns what they print into numbers and a verdict."""

import re
from dataclasses import asdict, dataclass
from typing import Any

from ingot.catalog.catalog import Catalog
from ingot.catalog.instance_types import describe
from ingot.errors import IngotError, UsageError
from ingot.export.launch import environment_of, node_facts, templates
from ingot.yamlfile import nearest

# Its programs, without `_perf`: the folder src of https://github.com/NVIDIA/nccl-tests
COLLECTIVES = (
    *("all_reduce", "all_gather", "reduce_scatter", "alltoall", "broadcast", "reduce", "sendrecv", "gather", "scatter"),
)
# How floors are measured: catalog/accelerators.yml.
FLOOR_COLLECTIVE, FLOOR_NODES = "all_reduce", 2
SIZE = re.compile(r"\d+[KMG]?")
WIDTH = 50


def render(
    catalog: Catalog,
    collective: str,
    *,
    instance_type: str,
    nodes: int,
    os_name: str,
    stack: str,
    command_line: str,
    container: str = "",
    largest: str = "16G",
    environment: list[str] | None = None,
) -> tuple[str, list[str]]:
    """A batch script for Slurm, and remarks for who submits it."""
    if collective not in COLLECTIVES:
        raise UsageError(f"nccl-tests has no {collective!r}", hint=nearest(collective, COLLECTIVES))
    if not SIZE.fullmatch(largest):
        raise UsageError(f"{largest!r} is no size", place="--largest", hint="write bytes, or 512M or 16G")
    facts = node_facts(instance_type, nodes)
    if facts["accelerator"] != "nvidia":
        has = facts["accelerator"] if facts["accelerator"] != "cpu" else "no accelerator"
        raise UsageError(f"NCCL is for NVIDIA's GPUs; {instance_type} has {has}", place="--instance-type")
    target = catalog.target(stack, os_name, facts["arch"])
    settings, remarks = environment_of(target, facts, environment or [])
    if nodes == 1:
        remarks.append("note: one node tells of NVLink or PCIe alone; EFA is used from two on")
    text = templates().get_template("nccl.sbatch.j2").render(
        header=f"Written by `{' '.join(command_line.split())}`: stack {target.stack}, {target.key}.",
        collective=collective,
        nodes=nodes,
        devices=facts["devices"],
        container=container,
        settings=settings,
        largest=largest,
    )  # fmt: skip
    return text, remarks


@dataclass(frozen=True)
class Measured:
    """One of the two measurements of a size: time in microseconds, bandwidths in GB/s, wrong elements if checked."""

    time: float
    algbw: float
    busbw: float
    wrong: float | None


@dataclass(frozen=True)
class Row:
    """What was measured for one size, in bytes; the second one works in place."""

    size: int
    count: int
    type: str
    redop: str
    out_of_place: Measured
    in_place: Measured

    @property
    def busbw(self) -> float:
        """The better one of the two bus bandwidths."""
        return max(self.out_of_place.busbw, self.in_place.busbw)


@dataclass(frozen=True)
class Run:
    """One run of a program: `collective` and `version` are empty where an older one does not say them."""

    collective: str
    version: str
    hosts: list[str]
    ranks: int
    rows: list[Row]
    out_of_bounds: int | None
    average: float | None

    @property
    def peak(self) -> float:
        """The best bus bandwidth of all sizes."""
        return max(row.busbw for row in self.rows)


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1] if found else ""


def parse(text: str, place: str) -> Run:
    """The run in a log, in which other lines may stand too; IngotError when there is none.

    Columns are found by the heading, as they differ by release and option: src/util.cu and, of older releases,
    src/common.cu of https://github.com/NVIDIA/nccl-tests
    """
    heading: list[str] = []
    rows = []
    for line in text.splitlines():
        if re.match(r"#\s+size\s+count\s+type\b", line):
            heading = line.strip("#").split()
        elif heading and re.match(r"\s*\d+\s+\d+\s+[a-z]", line):
            rows.append(_row(heading, line.split(), place))
    if not rows:
        hint = "give the log of a run, with the lines that nccl-tests prints"
        raise IngotError("there is no result of nccl-tests in it", place=place, hint=hint)
    placed = re.findall(r"^#\s+Rank\s+\d+ .*?\bon\s+(\S+) device", text, re.MULTILINE)
    wrong = _first(r"^# Out of bounds values : (\d+)", text)
    average = _first(r"^# Avg bus bandwidth\s+: (\S+)", text)
    return Run(
        collective=_first(r"^# Collective test starting: (?:\S*/)?(\w+)_perf", text),
        version=_first(r"^# nccl-tests version (\S+)", text),
        hosts=sorted(set(placed)),
        ranks=len(placed),
        rows=rows,
        out_of_bounds=int(wrong) if wrong else None,
        average=float(average) if average else None,
    )


def _row(heading: list[str], words: list[str], place: str) -> Row:
    """A line of numbers by its heading, which has the columns of a measurement twice."""
    times = [at for at, name in enumerate(heading) if name in ("time", "cputime")]
    try:
        named = dict(zip(heading[: times[0]], words, strict=False))
        first, second = (_measured(heading[at:], words[at:]) for at in times)
        return Row(int(named["size"]), int(named["count"]), named["type"], named.get("redop", ""), first, second)
    except (IndexError, KeyError, ValueError):
        raise IngotError(f"cannot read the line {' '.join(words)!r}", place=place) from None


def _measured(heading: list[str], words: list[str]) -> Measured:
    """The four columns from the time on; the last is `#wrong`, or `error` in older releases, which has no count."""
    time, algbw, busbw = map(float, words[:3])
    wrong = float(words[3]) if heading[3] == "#wrong" and words[3] != "N/A" else None
    return Measured(time, algbw, busbw, wrong)


def floor_of(instance_type: str, run: Run) -> tuple[float, str]:
    """The bus bandwidth below which a run is taken as faulty, 0 where none is known, and a word on it.

    Of the floors in the catalog it is the highest one that the network can reach at all.
    """
    facts = describe(instance_type)
    if run.collective != FLOOR_COLLECTIVE or len(run.hosts) != FLOOR_NODES:
        return 0, f"floors are known of {FLOOR_COLLECTIVE} on {FLOOR_NODES} nodes only"
    found = re.fullmatch(r"(?:(\d+)x )?(\d+) Gigabit", facts["network"])
    ranks = run.ranks or FLOOR_NODES * facts["devices"]
    # Each machine receives as many bytes as it reduces: catalog/accelerators.yml.
    reach = int(found[1] or 1) * int(found[2]) / 8 * 2 * (ranks - 1) / ranks if found else 0.0
    known = {
        value: source for source, values in facts["floors"].items() for value in values if not reach or value <= reach
    }
    if not known:
        return 0, f"no floor is known of {instance_type}"
    value = max(known)
    return value, f"the floor of {instance_type} is {value} GB/s (source {known[value]} of catalog/accelerators.yml)"


@dataclass(frozen=True)
class Verdict:
    """The floor that a run was judged by, 0 for none, a remark on it, and sentences on what is wrong."""

    floor: float
    remark: str
    faults: list[str]


def judge(run: Run, instance_type: str = "", floor: float = 0) -> Verdict:
    """What is wrong with a run, by the floor of an instance type or by another one."""
    remark = f"the floor is {floor:g} GB/s" if floor else ""
    if instance_type and not floor:
        floor, remark = floor_of(instance_type, run)
    return Verdict(floor, remark, faults(run, floor))


def faults(run: Run, floor: float) -> list[str]:
    """Sentences on what is wrong with a run."""
    said = []
    wrong = [row.size for row in run.rows if (row.out_of_place.wrong or 0) + (row.in_place.wrong or 0) > 0]
    if wrong or run.out_of_bounds:
        sizes = ", ".join(map(human, wrong)) or "sizes that it does not name"
        said.append(f"results were wrong at {sizes}")
    if run.average is None:
        said.append(f"it did not finish: nothing follows {human(run.rows[-1].size)}")
    if run.peak < floor:
        said.append(f"the best bus bandwidth is {run.peak:g} GB/s, below {floor:g}")
    return said


def human(size: int) -> str:
    """A size as people say it: `8 MiB`."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size} {unit}"
        size //= 1024
    return f"{size} GiB"


def as_data(run: Run) -> dict[str, Any]:
    """A run as JSON has it."""
    return {**asdict(run), "peak_busbw": run.peak}


def csv(runs: dict[str, Run]) -> list[list[Any]]:
    """The rows of a table: a heading, then one for each size of each file."""
    parts = ("time_us", "algbw_gbs", "busbw_gbs", "wrong")
    heading = ["file", "collective", "nodes", "ranks", "size", "count", "type", "redop"]
    rows: list[list[Any]] = [[*heading, *parts, *(f"in_place_{part}" for part in parts)]]
    for name, run in runs.items():
        for row in run.rows:
            both = [value for each in (row.out_of_place, row.in_place) for value in asdict(each).values()]
            rows.append(
                [name, run.collective, len(run.hosts), run.ranks, row.size, row.count, row.type, row.redop, *both]
            )
    return rows


def plot(run: Run, floor: float) -> list[str]:
    """Bars of the bus bandwidth by size, and where the floor is."""
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
