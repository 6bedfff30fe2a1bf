"""Runs a container briefly and judges the run; `containers/NAME/smoke.yml` has the command and the rule.

The program prints events as lines of JSON, each of one rank; other lines are ignored. `loss` has a `step` and a `loss`,
`samples` lists the samples that a rank read, and `end` is a rank's last event. Events with a `part`, such as an epoch,
are compared within it.
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
# A run takes less than a minute on two idle cores, as `make bench` measures; longer than this, it hangs.
HUNG_SECONDS = 300
Record = dict[str, Any]
# As on a shared machine: no network, no capabilities, only memory to write to. The host name resolves without a
# network.
CONFINED = [
    "--network=none", "--hostname=localhost", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
]  # fmt: skip


class Expect(Strict):
    """The rules for a run, one per key.

    `same` names keys of the `end` event that must be equal on all ranks, `once` events that only one rank may report.
    `readers` is the number of ranks that report samples: one per copy of a model that several ranks share, 0 for all.
    """

    ranks: int = Field(ge=2)
    first_loss_above: float
    last_loss_below: float
    disjoint_samples: bool = True
    readers: int = 0
    same: list[str] = Field([])
    once: list[str] = Field([])


class Smoke(Strict):
    """A file `smoke.yml`: the command and its rules."""

    command: list[str] = Field(min_length=1)
    expect: Expect


@dataclass(frozen=True)
class Result:
    """The result of a run: broken rules (none if it passed), seconds, loss by step, and output."""

    faults: list[str]
    seconds: float
    losses: dict[int, float]
    output: str

    @property
    def tail(self) -> str:
        """The last lines of the output, without the long lists of samples."""
        lines = [line for line in self.output.strip().splitlines() if '"samples": [' not in line]
        return "\n".join(lines[-TAIL_LINES:])


def read(folder: Path) -> Smoke:
    """The smoke.yml of a container's folder."""
    if not (folder / FILE).exists():
        raise IngotError("this container has no smoke run", place=str(folder / FILE), hint="choose another container")
    return yamlfile.load(folder / FILE, Smoke)


def records(output: str) -> list[Record]:
    """The events in a program's output."""
    lines = [line for line in output.splitlines() if line.startswith('{"event"')]
    return [json.loads(line) for line in lines]


def losses(events: list[Record]) -> dict[int, float]:
    """The loss after each step."""
    return {event["step"]: event["loss"] for event in events if event["event"] == "loss"}


def judge(events: list[Record], expect: Expect) -> list[str]:
    """The broken rules, one sentence each."""
    ends = [event for event in events if event["event"] == "end"]
    ranks = sorted(event["rank"] for event in ends)
    faults = [] if ranks == list(range(expect.ranks)) else [f"{expect.ranks} ranks should end, but these did: {ranks}"]
    curve = list(losses(events).values())
    if not curve:
        faults.append("no loss was reported")
    # Not `<=`: NaN fails every comparison.
    if curve and not curve[0] > expect.first_loss_above:
        faults.append(f"the first loss is {curve[0]:.4g}, not above {expect.first_loss_above}")
    if curve and not curve[-1] < expect.last_loss_below:
        faults.append(f"the last loss is {curve[-1]:.4g}, not below {expect.last_loss_below}")
    faults += _shared(events, expect.readers or expect.ranks) if expect.disjoint_samples else []
    for fact in expect.same:
        if len(seen := {str(event.get(fact)) for event in ends}) > 1 or "None" in seen:
            faults.append(f"ranks end with different {fact}")
    for name in expect.once:
        parts = [event.get("part") for event in events if event["event"] == name]
        if not parts or len(parts) != len(set(parts)):
            faults.append(f"one rank should report each {name}: {len(parts)} reports for {len(set(parts))}")
    return faults


def _shared(events: list[Record], readers: int) -> list[str]:
    """Samples that were read more than once, and readers that reported none, by part."""
    parts: dict[Any, dict[int, list[int]]] = defaultdict(dict)
    for event in events:
        if event["event"] == "samples":
            parts[event["part"]][event["rank"]] = event["samples"]
    if not parts:
        return ["no rank reported its samples"]
    faults = []
    for part, samples_of in parts.items():
        samples = [sample for listed in samples_of.values() for sample in listed]
        repeated = len(samples) - len(set(samples))
        if len(samples_of) != readers or not all(samples_of.values()):
            faults.append(f"part {part}: {len(samples_of)} of {readers} ranks reported their samples")
        if repeated:
            faults.append(f"part {part}: {repeated} of {len(samples)} samples were read more than once")
    return faults


@contextmanager
def _name(tag: str, folder: Path) -> Iterator[str]:
    """A container name; removes that container before, in case a killed run left it, and after."""
    name = f"ingot-smoke-{tag.removeprefix('ingot/').replace(':', '-')}"
    remove = ["docker", "rm", "--force", "--volumes", name]
    with alone(folder, f"another run of {tag} is in progress"):
        subprocess.run(remove, capture_output=True, check=False)
        try:
            yield name
        finally:
            subprocess.run(remove, capture_output=True, check=False)


def smoke(tag: str, rule: Smoke, folder: Path) -> Result:
    """Run the command of `rule` in the image `tag`, confined and as the image's user, and judge it; log in `folder`."""
    user = run(["docker", "image", "inspect", "--format", "{{.Config.User}}", tag]).strip()
    faults = ["the container runs as root"] if user.split(":")[0] in ("", "0", "root") else []
    began, timed_out = time.monotonic(), False
    log = folder / "smoke.log"
    with _name(tag, folder) as name, log.open("w+") as out:
        command = ["docker", "run", "--name", name, *CONFINED, tag, *rule.command]
        try:
            code = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=HUNG_SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code, timed_out = 0, True
    seconds = time.monotonic() - began
    output = log.read_text()
    events = records(output)
    faults += [f"the run did not end within {HUNG_SECONDS} s"] if timed_out else []
    faults += [f"the run exited with {code}"] if code else []
    return Result(faults + judge(events, rule.expect), round(seconds, 1), losses(events), output)
