"""Reads the runs of NVIDIA's nccl-tests in a log, whatever a launcher or a collector of logs has put around them."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile

# Colours, and what a terminal's progress bar leaves behind.
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# Each printed once at the beginning of a run, in this order; older releases lack the first two.
# src/common.cu and src/util.cu of https://github.com/NVIDIA/nccl-tests
BEGINNINGS = (
    ("version", re.compile(r"# nccl-tests version (\S+)")),
    ("collective", re.compile(r"# Collective test starting: (?:\S*/)?(\w+)_perf")),
    ("options", re.compile(r"# nThread \d+ ")),
)
HEADING = re.compile(r"#\s+(size\s+count\s+type\b.*)")
RANK = re.compile(r"#\s+Rank\s+\d+ .*?\bon\s+(\S+) device")
OUT_OF_BOUNDS = re.compile(r"# Out of bounds values : (\d{1,18})")
AVERAGE = re.compile(r"# Avg bus bandwidth\s+: ([\d.]+)")
# A row begins with the size, the count and the type; a launcher's prefix may end in a number.
ROW = re.compile(r"(?:^|(?<=[^\w.]))(\d{1,18}\s+\d{1,18}\s+[a-z]\w*(?=\s|$).*)")
NUMBER = re.compile(r"-?\d[\d.]*(?:e[+-]?\d+)?|N/A|inf|-?nan", re.IGNORECASE)
MESSAGE = re.compile(r"[A-Za-z][\w.-]*:\d+:\d+ \[\d+\] .*NCCL (?:INFO|WARN|TRACE|ERROR)\b.*")
# What says that the network is not EFA: the fault, and the lines that show it.
NOT_EFA = (
    ("NCCL used TCP", re.compile(r"Using network Socket|via NET/Socket/|Initialized NET plugin Socket")),
    ("NCCL used its transport for InfiniBand", re.compile(r"Using network IB\b|via NET/IB/")),
    (
        "the plugin aws-ofi-nccl did not start",
        re.compile(r"NET/OFI.*(?:initialization failed|No eligible providers)|Failed to initialize any NET plugin"),
    ),
    ("NCCL found no network plugin", re.compile(r"NET/Plugin ?: (?:No plugin found|Could not find)", re.IGNORECASE)),
    (
        "the plugin took another provider than efa",
        re.compile(r"Selected provider is (?!efa\b)[\w;-]+", re.IGNORECASE),
    ),
)
# Why a run ended.
DEATH = re.compile(
    r"Test (?:NCCL|CUDA) failure|srun: error|Bus error|Segmentation fault|Killed|out of memory|DUE TO TIME LIMIT|OOM|"
    r"CANCELLED|exited on signal|non-zero exit|MPI_ABORT|NCCL WARN.*(?:timeout|remote process)"
)
LONGEST = 160


@dataclass(frozen=True)
class Measured:
    """One measurement of a size: time in microseconds, bandwidths in GB/s, number of wrong elements if checked."""

    time: float
    algbw: float
    busbw: float
    wrong: float | None


@dataclass(frozen=True)
class Row:
    """The two measurements of one size in bytes, out of place and in place."""

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


@dataclass
class Run:
    """One run of a program, which begins on `line`; `collective` and `version` are empty for releases that do not
    print them. `evidence` has lines of the log that show a fault of the network: fault -> line; `death` is the last
    line that says why the run ended."""

    line: int
    collective: str = ""
    version: str = ""
    hosts: list[str] = field(default_factory=list)
    ranks: int = 0
    rows: list[Row] = field(default_factory=list)
    out_of_bounds: int | None = None
    average: float | None = None
    evidence: dict[str, str] = field(default_factory=dict)
    death: str = ""

    @property
    def peak(self) -> float:
        """The best bus bandwidth of all sizes; 0 without any."""
        return max((row.busbw for row in self.rows), default=0)


class _Reader:
    """Takes the lines of a log one after the other."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self._seen: set[str] = set()
        self._heading: list[str] = []
        self._pending: list[str] = []

    def take(self, number: int, line: str) -> None:
        mark = line.find("#")
        hashed = line[mark:] if mark >= 0 else ""
        for kind, pattern in BEGINNINGS:
            if match := pattern.match(hashed):
                self._begin(number, kind)
                if match.groups():
                    setattr(self.runs[-1], kind, match[1])
                return
        if match := HEADING.match(hashed):
            self._begin(number, "heading")
            self._heading = match[1].split()
        elif self.runs and hashed and self._comment(self.runs[-1], hashed):
            return
        elif self.runs and self._heading:
            self._row(line)
        self._evidence(number, line)

    def _begin(self, number: int, kind: str) -> None:
        """A new run, if the last one has this part of its beginning already, or results."""
        if not self.runs or kind in self._seen or self.runs[-1].rows:
            self.runs.append(Run(number))
            self._seen = set()
        self._seen.add(kind)
        self._heading, self._pending = [], []

    @staticmethod
    def _comment(run: Run, text: str) -> bool:
        if match := RANK.match(text):
            run.hosts = sorted({*run.hosts, match[1]})
            run.ranks += 1
        elif match := OUT_OF_BOUNDS.match(text):
            run.out_of_bounds = int(match[1])
        elif match := AVERAGE.match(text):
            run.average = _number(match[1])
        return match is not None

    def _row(self, line: str) -> None:
        """A row, or a part of one: its numbers come after the run of its size, and other lines come between."""
        line = MESSAGE.sub("", line)
        if match := ROW.search(line):
            self._pending = match[1].split()
        elif self._pending:
            numbers = [*takewhile(NUMBER.fullmatch, reversed(line[-LONGEST * 2 :].split()))]
            self._pending += reversed(numbers)
        if self._pending and len(self._pending) >= len(self._heading):
            row = _measured_row(self._heading, self._pending)
            self._pending = []
            if row:
                self.runs[-1].rows.append(row)

    def _evidence(self, number: int, line: str) -> None:
        if not any(word in line for word in ("NET", "Provider", "provider", "network")) and not DEATH.search(line):
            return
        if not self.runs:
            self.runs.append(Run(number))
        run = self.runs[-1]
        for fault, pattern in NOT_EFA:
            if fault not in run.evidence and (match := pattern.search(line)):
                run.evidence[fault] = f"line {number}: {line[match.start() :].strip()[:LONGEST]}"
        if match := DEATH.search(line):
            run.death = f"line {number}: {line[match.start() :].strip()[:LONGEST]}"


def runs(text: str) -> list[Run]:
    """The runs in a log, which may have other lines, in order; none if nothing in it is of nccl-tests."""
    reader = _Reader()
    for number, line in enumerate(ESCAPES.sub("", text).split("\n"), 1):
        reader.take(number, line.rstrip())
    started = [run for run in reader.runs if run.rows or run.ranks or run.collective or run.version]
    # What NCCL says before the first run begins is about it.
    if started and reader.runs[0] not in started:
        started[0].evidence = {**reader.runs[0].evidence, **started[0].evidence}
    return started


def _number(text: str) -> float:
    """A number of a table; 0 for one that is none."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def _measured_row(heading: list[str], fields: list[str]) -> Row | None:
    """A line of numbers by its heading, which repeats the columns of a measurement; they differ by release and
    option. None if it is not such a line."""
    times = [at for at, name in enumerate(heading) if name in ("time", "cputime")]
    if len(times) != 2:
        return None
    named = dict(zip(heading[: times[0]], fields, strict=False))
    measured = [*_halves(heading, fields, times)]
    if len(measured) != 2:
        return None
    return Row(int(named["size"]), int(named["count"]), named["type"], named.get("redop", ""), *measured)


def _halves(heading: list[str], fields: list[str], times: list[int]) -> Iterator[Measured]:
    """The four columns from each `time`; the last is `#wrong`, or `error` in older releases, which is not a count."""
    for at in times:
        if len(fields) >= at + 4 and len(heading) >= at + 4:
            time, algbw, busbw = map(_number, fields[at : at + 3])
            counted = heading[at + 3] == "#wrong" and fields[at + 3] != "N/A"
            yield Measured(time, algbw, busbw, _number(fields[at + 3]) if counted else None)
