"""What a job starts: the training program of a container of the catalog, or the user's own."""

import re
from dataclasses import dataclass

from ingot.catalog.catalog import Catalog
from ingot.errors import UsageError

# The pods of every kind of job get this name, a role and an index, and a name in DNS has at most 63 characters.
NAME = re.compile(r"[a-z]([-a-z0-9]{0,48}[a-z0-9])?")
MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class Program:
    """A program for torchrun: the job's name, the words that name the program, and its arguments.

    `checkpoints` is the program's option for their folder, if it has one. `accelerators` are the variants of Ingot's
    container; none if the program is the user's own.
    """

    name: str
    words: list[str]
    arguments: list[str]
    checkpoints: str = ""
    accelerators: tuple[str, ...] = ()

    def command(self, checkpoints: str) -> list[str]:
        """What follows torchrun's options; `checkpoints` is the folder, or empty."""
        return [*self.words, *([self.checkpoints, checkpoints] if checkpoints else []), *self.arguments]


def of_catalog(catalog: Catalog, container: str, name: str, arguments: list[str]) -> Program:
    """The training program of a container; UsageError if it has none."""
    row = catalog.container(container)
    if not row.script:
        names = ", ".join(sorted(each for each, other in catalog.containers.items() if other.script))
        raise UsageError(f"{container} has no training script to launch", hint=f"use one of {names}")
    words = [row.script, *row.arguments]
    return Program(_checked(name or container), words, arguments, row.checkpoints, tuple(row.accelerators))


def of_user(script: str, module: str, name: str, arguments: list[str]) -> Program:
    """A script or module of the user's, where the nodes have it; UsageError if it cannot be one."""
    if script and module:
        raise UsageError("--script and --module exclude each other", hint="give one of them")
    if module and not MODULE.fullmatch(module):
        raise UsageError(f"not a module: {module!r}", place="--module", hint="write package.module")
    stem = module.rpartition(".")[2] or re.sub(r"\.py$", "", script.rpartition("/")[2])
    own = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")
    words = ["-m", module] if module else [script]
    return Program(_checked(name or own), words, arguments)


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        hint = "use at most 50 lower-case letters, digits and dashes, beginning with a letter"
        raise UsageError(f"not a name for a job: {name!r}", place="--name", hint=hint)
    return name
