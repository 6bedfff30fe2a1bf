"""Builds framework containers: the base from the lock by the collection's roles, then what is FROM it, one by one.

What a container is made from is copied into a folder first: the folder is what Docker is sent, and the digest over it
and over the parent's digest, which is a label of the result, says whether the container has to be built.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ingot import paths
from ingot.console import Progress
from ingot.container import buildkit, requirements
from ingot.errors import IngotError, UsageError
from ingot.image.base import ensure_base
from ingot.image.setup import ensure_docker, ensure_local_tools
from ingot.lock import select
from ingot.model.container import Container
from ingot.model.lock import Lock
from ingot.model.target import ContainerSelection, Target
from ingot.run import run
from ingot.sources import origins

CONTAINERS = paths.ROOT / "containers"
DOCKERFILE = "Dockerfile"
# What a row without a parent is built by, and what makes a bare system of a registry's image of it.
BASE, SYSTEM = "base", "system"
# What the base is made from besides its lock, in the checkout.
ROOT_INPUTS = (f"containers/{BASE}", "galaxy.yml", "meta", "playbooks", "plugins", "roles")
# What is in a container's folder and not in the container.
UNUSED = ("README.md", "smoke.yml", "*.in", "__pycache__")
INPUTS_LABEL = "ingot.inputs"
# https://reproducible-builds.org/specs/source-date-epoch/
EPOCH = "SOURCE_DATE_EPOCH"


@dataclass(frozen=True)
class Step:
    """One image of the chain from the base to the leaf: whether it was there, how long it took, its size."""

    container: str
    tag: str
    unchanged: bool
    seconds: float
    size_bytes: int


def check_nccl(selection: ContainerSelection) -> str:
    """What was found of NCCL, in a sentence; IngotError when the base and the requirements bring different versions.

    A framework loads the NCCL of its wheel, while the plugin and the tests of the base are of the base's.
    """
    root, lock = selection.chain[0][0], selection.lock
    base = lock.components["nccl"].version if {"nccl"} <= {*selection.roles} & {*lock.components} else ""
    lists = [CONTAINERS / each / f"requirements-{selection.accelerator}.txt" for each, _ in selection.chain]
    wheels = {path: version for path in lists if (version := requirements.nccl(path))}
    first = base or next(iter(wheels.values()), "")
    for path, version in wheels.items():
        if version != first:
            where = f"in {root}, by lock {lock.stack} {lock.key}" if base else f"in {next(iter(wheels))}"
            hint = f"`ingot lock containers` takes that of the lock; or pin nccl to =={version} in the stack"
            raise IngotError(f"NCCL is {version} here and {first} {where}", place=str(path), hint=hint)
    if not base:
        return f"{first or 'none'} by the requirements; {root} for {selection.accelerator} has none to compare with"
    return f"{base} in {root}" + (" and by the requirements" if wheels else "; the requirements bring none")


def system_tag(lock: Lock, image: str) -> str:
    """The name of the bare system that is made of a registry's `image`."""
    return f"ingot/{SYSTEM}:{lock.key}-{_digest(CONTAINERS / SYSTEM, image)[:12]}"


def _system(lock: Lock, log: Path) -> str:
    """The image of the bare system: from the distribution's archive, or where the lock names one, its registry's.

    That one gets what roles and compilers need, of the day's versions; it is made once.
    """
    if lock.container_image is None:
        return ensure_base(lock, log=log).tag
    tag = system_tag(lock, lock.container_image.image)
    if not _exists(tag):
        buildkit.build(CONTAINERS / SYSTEM, DOCKERFILE, tag, {"IMAGE": lock.container_image.image}, log=log)
    return tag


def _digest(folder: Path, *others: str) -> str:
    """SHA-256 over the files of `folder`, by name and content, and over `others`."""
    total = hashlib.sha256("\0".join(others).encode())
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        mode = "x" if file.stat().st_mode & 0o100 else "-"
        shown = f"{file.relative_to(folder)}\0{mode}"
        total.update(f"{shown}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def epoch(lock: Path) -> int:
    """The date, in seconds since 1970, that what is written while a container is built gets.

    That is SOURCE_DATE_EPOCH, else when the lock was committed: only a new lock has another, and no package in it is
    later. A lock that git does not know has the date of its file.
    """
    if wanted := os.environ.get(EPOCH, ""):
        if not wanted.isdecimal():
            raise UsageError(f"{wanted!r} is no number of seconds since 1970", place=EPOCH, hint=f"unset {EPOCH}")
        return int(wanted)
    words = ["git", "-C", str(lock.parent), "log", "-1", "--format=%ct", "--", lock.name]
    try:
        committed = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        committed = ""
    return int(committed or lock.stat().st_mtime)


@contextmanager
def _context(selection: ContainerSelection, name: str, root: bool, date: int) -> Iterator[Path]:
    """A folder with what the container `name` is made from: of the base, as in the checkout, with the one lock.

    Its files have the one `date`, whenever they were checked out.
    """
    ignore = shutil.ignore_patterns(*UNUSED)
    with tempfile.TemporaryDirectory(prefix=".context-", dir=selection.dir) as folder:
        context = Path(folder) / "context"
        if not root:
            shutil.copytree(CONTAINERS / name, context, ignore=ignore)
        for each in ROOT_INPUTS if root else ():
            source, copy = paths.ROOT / each, context / each
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, copy, ignore=ignore) if source.is_dir() else shutil.copy(source, copy)
        if root:
            copy = context / _lock_name(selection.target)
            copy.parent.mkdir(parents=True)
            shutil.copy(selection.lock_path, copy)
        for path in (context, *context.rglob("*")):
            os.utime(path, (date, date), follow_symlinks=False)
        yield context


def _lock_name(target: Target) -> str:
    return f"locks/{target.stack}/{target.key}.yml"


def _exists(tag: str) -> bool:
    return bool(run(["docker", "image", "ls", "--quiet", tag]).split())


def inputs_of(tag: str) -> str:
    """The digest that the image `tag` was made from, empty when there is no such image."""
    if not _exists(tag):
        return ""
    return run(
        ["docker", "image", "inspect", "--format", f'{{{{index .Config.Labels "{INPUTS_LABEL}"}}}}', tag]
    ).strip()


def _size(tag: str) -> int:
    return int(run(["docker", "image", "inspect", "--format", "{{.Size}}", tag]))


def build(selection: ContainerSelection, progress: Progress) -> dict[str, Any]:
    """Build the container and everything that it is FROM; what has not changed is left as it is, and said to be."""
    if origins.mirror() is not None:
        variable = origins.VARIABLE
        raise UsageError("containers are not built from a mirror yet", place=variable, hint=f"unset {variable}")
    target, lock, date = selection.target, selection.lock, epoch(selection.lock_path)
    nccl = check_nccl(selection)
    select.require_complete(selection, lock.of(selection.roles))
    progress.note(f"nccl: {nccl}")
    ensure_docker()
    ensure_local_tools()
    with paths.alone(selection.dir):
        log = selection.dir / f"{selection.name}.log"
        log.write_text("")
        base = _system(lock, log)
        steps: list[Step] = []
        inputs, parent = "", base
        for name, row in selection.chain:
            with _context(selection, name, not row.parent, date) as context:
                roles = json.dumps([] if row.parent else selection.roles)
                told = (base, inputs, selection.accelerator, str(date), roles)
                inputs = _digest(context, *told)
                arguments = {"INPUTS": inputs, "ACCELERATOR": selection.accelerator, EPOCH: str(date)}
                steps.append(_step(selection, name, row, parent, arguments, context, progress, log))
            parent = steps[-1].tag
    return {
        "container": selection.name,
        "tag": selection.tag,
        "stack": target.stack,
        "os": target.os,
        "arch": target.arch,
        "accelerator": selection.accelerator,
        "inputs_sha256": inputs,
        "nccl": nccl,
        "source_date_epoch": date,
        "steps": [asdict(step) for step in steps],
        "log": str(log),
    }


def _step(
    selection: ContainerSelection,
    name: str,
    row: Container,
    parent: str,
    arguments: dict[str, str],
    context: Path,
    progress: Progress,
    log: Path,
) -> Step:
    """Build one image of the chain, unless one with these inputs is there."""
    tag = selection.tag_of(name)
    tools = f"ingot/container-tools:{selection.target.key}"
    if inputs_of(tag) == arguments["INPUTS"] and (row.parent or _exists(tools)):
        progress.note(f"{name}: unchanged")
        return Step(name, tag, True, 0.0, _size(tag))
    began = time.monotonic()
    with progress.phase(name):
        if row.parent:
            buildkit.build(context, DOCKERFILE, tag, arguments | {"PARENT": parent, "TOOLS": tools}, log=log)
        else:
            _build_base(selection, name, arguments | {"BASE_IMAGE": parent}, [tools, tag], context, log)
        # The image that this one takes the name from would stay without a name.
        run(["docker", "image", "prune", "--force", "--filter", f"label=ingot.container={name}"])
    return Step(name, tag, False, round(time.monotonic() - began, 1), _size(tag))


def _build_base(
    selection: ContainerSelection,
    name: str,
    arguments: dict[str, str],
    tags: list[str],
    context: Path,
    log: Path,
) -> None:
    """Build two images of one file: `tags` are those of the one with pip, by which others are made, and of the base."""
    lock_name, dockerfile = _lock_name(selection.target), f"containers/{BASE}/{DOCKERFILE}"
    arguments |= {
        "STACK": selection.target.stack,
        "LOCK": lock_name,
        "LOCK_SHA256": hashlib.sha256((context / lock_name).read_bytes()).hexdigest(),
        "NAME": name,
        "ROLES": json.dumps(selection.roles),
    }
    for tag, options in zip(tags, (["--target", "tools"], []), strict=True):
        buildkit.build(context, dockerfile, tag, arguments, log=log, options=options)
