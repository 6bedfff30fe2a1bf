"""Judges a container by a short run of it: the command and the pass rule are data, `containers/NAME/smoke.yml`.

The program prints lines of JSON, each an event of one rank; other lines are for people. `loss` has a `step` and a
`loss`; `samples` lists what the rank has read, and `end` is its last word. Events with a `part`, such as an epoch, are
compared within it.
"""

import json
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from ingot import yamlfile
from ingot.errors import IngotError
from ingot.model.types import Strict
from ingot.paths import alone
from ingot.run import TAIL_LINES, run

FILE = "smoke.yml"
# Each takes less than a minute on two idle cores, which `make bench` measures; one that is still at it now hangs.
HUNG_SECONDS = 300
Record = dict[str, Any]
# As a scheduler runs it on a shared machine: no network, no rights, nothing to write to but memory. The name is one
# that resolves without a network.
CONFINED = [
    "--network=none", "--hostname=localhost", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
]  # fmt: skip


class Expect(Strict):
    """What must hold of the run: each key is one rule.

    `same` names facts at the end that are equal on all ranks, `once` events that one rank alone reports. `readers` is
    how many ranks tell what they read: one for each copy of a model that several ranks share, 0 for every rank.
    """

    ranks: int = Field(ge=2)
    first_loss_above: float
    last_loss_below: float
    disjoint_samples: bool = True
    readers: int = 0
    same: list[str] = Field([])
    once: list[str] = Field([])


class Smoke(Strict):
    """A file `smoke.yml`: what to run, and what must hold."""

    command: list[str] = Field(min_length=1)
    expect: Expect


@dataclass(frozen=True)
class Result:
    """How a run ended: what broke the rule (nothing: it passed), what was seen, and what it printed."""

    faults: list[str]
    seconds: float
    losses: dict[int, float]
    output: str

    @property
    def tail(self) -> str:
        """The last lines that it printed, without the long lists of samples."""
        lines = [line for line in self.output.strip().splitlines() if '"samples": [' not in line]
        return "\n".join(lines[-TAIL_LINES:])


def read(folder: Path) -> Smoke:
    """The file in the folder of a container."""
    if not (folder / FILE).exists():
        raise IngotError("this container has no run to judge it by", place=str(folder / FILE))
    return yamlfile.load(folder / FILE, Smoke)


def records(output: str) -> list[Record]:
    """The events in what a program printed."""
    lines = [line for line in output.splitlines() if line.startswith('{"event"')]
    return [json.loads(line) for line in lines]


def losses(events: list[Record]) -> dict[int, float]:
    """The loss after each step."""
    return {event["step"]: event["loss"] for event in events if event["event"] == "loss"}


def judge(events: list[Record], expect: Expect) -> list[str]:
    """Every rule that does not hold, as a sentence."""
    ends = [event for event in events if event["event"] == "end"]
    ranks = sorted(event["rank"] for event in ends)
    faults = [] if ranks == list(range(expect.ranks)) else [f"{expect.ranks} ranks should end, these did: {ranks}"]
    curve = list(losses(events).values())
    if not curve:
        faults.append("no loss was reported")
    # Not `<=`: a loss that is no number any more passes no comparison.
    if curve and not curve[0] > expect.first_loss_above:
        faults.append(f"the first loss is {curve[0]:.4g}, it should be above {expect.first_loss_above}")
    if curve and not curve[-1] < expect.last_loss_below:
        faults.append(f"the last loss is {curve[-1]:.4g}, it should be below {expect.last_loss_below}")
    faults += _shared(events, expect.readers or expect.ranks) if expect.disjoint_samples else []
    for fact in expect.same:
        if len(seen := {str(event.get(fact)) for event in ends}) > 1 or "None" in seen:
            faults.append(f"the ranks end with different {fact}")
    for name in expect.once:
        parts = [event.get("part") for event in events if event["event"] == name]
        if not parts or len(parts) != len(set(parts)):
            faults.append(f"one rank should report each {name}, there were {len(parts)} for {len(set(parts))}")
    return faults


def _shared(events: list[Record], readers: int) -> list[str]:
    """Samples that a rank or two have read more than once, by part; or that not every reader has told."""
    parts: dict[Any, dict[int, list[int]]] = defaultdict(dict)
    for event in events:
        if event["event"] == "samples":
            parts[event["part"]][event["rank"]] = event["samples"]
    if not parts:
        return ["no rank told which samples it read"]
    faults = []
    for part, told in parts.items():
        read_by_all = [sample for samples in told.values() for sample in samples]
        again = len(read_by_all) - len(set(read_by_all))
        if len(told) != readers or not all(told.values()):
            faults.append(f"part {part}: {len(told)} of {readers} ranks told which samples they read")
        if again:
            faults.append(f"part {part}: {again} of {len(read_by_all)} samples were read more than once")
    return faults


@contextmanager
def _name(tag: str, folder: Path) -> Iterator[str]:
    """A name for the container, which is gone afterwards, and which an earlier run may have been too dead to remove."""
    name = f"ingot-smoke-{tag.removeprefix('ingot/').replace(':', '-')}"
    gone = ["docker", "rm", "--force", "--volumes", name]
    with alone(folder, f"another run of {tag} is going on"):
        subprocess.run(gone, capture_output=True, check=False)
        try:
            yield name
        finally:
            subprocess.run(gone, capture_output=True, check=False)


def smoke(tag: str, what: Smoke, folder: Path) -> Result:
    """Run the image `tag` as `what` says, confined and as the image's own user, and judge it; `folder` gets a log."""
    user = run(["docker", "image", "inspect", "--format", "{{.Config.User}}", tag]).strip()
    faults = ["the container runs as root"] if user.split(":")[0] in ("", "0", "root") else []
    began, late = time.monotonic(), False
    log = folder / "smoke.log"
    with _name(tag, folder) as name, log.open("w+") as out:
        words = ["docker", "run", "--name", name, *CONFINED, tag, *what.command]
        try:
            code = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=HUNG_SECONDS, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            code, late = 0, True
    seconds = time.monotonic() - began
    output = log.read_text()
    events = records(output)
    faults += [f"it did not end within {HUNG_SECONDS} s"] if late else []
    faults += [f"it ended with {code}"] if code else []
    return Result(faults + judge(events, what.expect), round(seconds, 1), losses(events), output)
