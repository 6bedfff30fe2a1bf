"""What a job asks of its scheduler: where it queues, for how long it may run, what is mounted."""

import re
from dataclasses import dataclass, fields

from ingot.errors import UsageError

KUBERNETES = ("kubernetes", "jobset", "pytorchjob")
# Option -> the schedulers that have such a thing, and what to do with the others.
ONLY = {
    "partition": (("slurm",), "a queue is --queue"),
    "account": (("slurm",), "leave it out"),
    "qos": (("slurm",), "leave it out"),
    "namespace": (KUBERNETES, "leave it out"),
    "queue": ((*KUBERNETES, "batch"), "Slurm's queues are partitions: --partition"),
    "zone": (KUBERNETES, "its queue or partition decides"),
    "secret": (KUBERNETES, "export the variable before `sbatch`; Batch takes secrets by ARN in the definition"),
}
WORD = re.compile(r"[A-Za-z0-9][\w.,@-]*")
TIME = re.compile(r"(?:(\d+)-)?(\d{1,3}):([0-5]\d)(?::([0-5]\d))?")
# AWS Batch ends no attempt earlier: https://docs.aws.amazon.com/batch/latest/userguide/job_timeouts.html
BATCH_SECONDS = 60


@dataclass(frozen=True)
class Mount:
    """Something that all nodes have, and the folder at which the program finds it.

    `source` is a path of the nodes, or in Kubernetes the name of a persistent volume claim.
    """

    name: str
    source: str
    target: str


@dataclass(frozen=True)
class Scheduling:
    """A job's place in its scheduler; what is empty is left to the scheduler. `time` is `[D-]HH:MM[:SS]`."""

    partition: str = ""
    account: str = ""
    qos: str = ""
    namespace: str = ""
    queue: str = ""
    zone: str = ""
    secret: str = ""
    time: str = ""

    @property
    def seconds(self) -> int:
        """The limit of `time` in seconds; 0 if there is none."""
        match = TIME.fullmatch(self.time)
        if not match:
            return 0
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds

    @property
    def time_of_slurm(self) -> str:
        """The limit as `D-HH:MM:SS`: to Slurm, `12:00` is twelve minutes."""
        minutes, seconds = divmod(self.seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours // 24}-{hours % 24:02d}:{minutes:02d}:{seconds:02d}"

    def check(self, scheduler: str) -> None:
        """UsageError for what the scheduler does not have, and for malformed names and times."""
        for field in fields(self):
            value = getattr(self, field.name)
            place = f"--{field.name}"
            if not value:
                continue
            if field.name == "time":
                if not TIME.fullmatch(value) or self.seconds < BATCH_SECONDS:
                    hint = "write hours and minutes, 12:00, or days before them, 2-00:00; a minute at least"
                    raise UsageError(f"not a time: {value!r}", place=place, hint=hint)
                continue
            schedulers, hint = ONLY[field.name]
            if scheduler not in schedulers:
                raise UsageError(f"{scheduler} has no {field.name}", place=place, hint=hint)
            if not WORD.fullmatch(value):
                raise UsageError(f"not a name: {value!r}", place=place, hint="use letters, digits, dashes and dots")


def mounts_of(given: list[str], scheduler: str, checkpoints: str, claim: str) -> list[Mount]:
    """What a job mounts, `SOURCE:TARGET` each, and the folder of its checkpoints; UsageError if one is malformed."""
    kubernetes = scheduler in KUBERNETES
    found = [Mount("checkpoints", claim if kubernetes else checkpoints, checkpoints)] if checkpoints else []
    for number, text in enumerate(given):
        source, _, target = text.partition(":")
        source_form, form = (r"[a-z0-9][-a-z0-9.]*", "CLAIM:/data") if kubernetes else (r"/[^\s:,]*", "/fsx/data:/data")
        if not re.fullmatch(source_form, source) or not re.fullmatch(r"/[^\s:,]*", target):
            raise UsageError(f"not a mount: {text!r}", place="--mount", hint=f"write {form}")
        if any(target == mount.target for mount in found):
            raise UsageError(f"{target} is mounted twice", place="--mount", hint="give each its own folder")
        found.append(Mount(f"mount-{number}", source, target))
    return found
