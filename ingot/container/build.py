"""Builds framework containers: the base from the lock by the collection's roles, then each container FROM it.

The inputs of a container are copied to a folder, which is Docker's context. An image is labelled with the digest of
this folder and its parent's digest, and is rebuilt if that changes.
"""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ingot import paths
from ingot.catalog.catalog import Catalog
from ingot.console import Progress
from ingot.container import buildkit, requirements
from ingot.errors import IngotError, UsageError
from ingot.image.base import ensure_base
from ingot.image.inputs import SHARED_ROLES
from ingot.image.setup import ensure_docker, ensure_local_tools
from ingot.lock.fill import fill
from ingot.lock.grade import grades
from ingot.model.container import Container
from ingot.model.lock import Lock
from ingot.model.target import ContainerSelection, Target
from ingot.run import run
from ingot.sources import origins

CONTAINERS = paths.ROOT / "containers"
DOCKERFILE = "Dockerfile"
# Folders of Dockerfiles: for containers without a parent, for those with one, for the bare system from a registry.
BASE, LEAF, SYSTEM = "base", "leaf", "system"
# The module that programs share; the stage of the leaves' Dockerfile without the programs.
PROGRAMS, PACKAGES = "ingot_train", "packages"
# Inputs of the base in the checkout, besides its lock and its roles.
ROOT_INPUTS = (f"containers/{BASE}", "galaxy.yml", "meta", "playbooks", "plugins")
# Files in a container's folder that builds do not read.
UNUSED = ("README.md", "smoke.yml", "*.in", "left-out-*.txt", "__pycache__")
INPUTS_LABEL = "ingot.inputs"
# https://reproducible-builds.org/specs/source-date-epoch/
EPOCH = "SOURCE_DATE_EPOCH"


@dataclass(frozen=True)
class Step:
    """One image of the chain from base to leaf: whether it was up to date, build time in seconds, size in bytes."""

    container: str
    tag: str
    unchanged: bool
    seconds: float
    size_bytes: int


def check_nccl(selection: ContainerSelection) -> str:
    """A sentence about the NCCL in the container; IngotError if base and requirements have different versions.

    A framework loads the NCCL of its wheel, but the plugin and tests of the base are built for the base's NCCL.
    """
    root, lock = selection.chain[0][0], selection.lock
    base = lock.components["nccl"].version if {"nccl"} <= {*selection.roles} & {*lock.components} else ""
    lists = [CONTAINERS / name / f"requirements-{selection.accelerator}.txt" for name, _ in selection.chain]
    wheels = {path: version for path in lists if (version := requirements.nccl(path))}
    first = base or next(iter(wheels.values()), "")
    for path, version in wheels.items():
        if version != first:
            where = (
                f"{root} has {first} by lock {lock.stack} {lock.key}" if base else f"{next(iter(wheels))} has {first}"
            )
            hint = f"run `ingot lock containers` to use the lock's, or pin nccl to =={version} in the stack"
            raise IngotError(f"NCCL versions differ: {version} here, {where}", place=str(path), hint=hint)
    if not base:
        return f"{first or 'none'} in the requirements; none in {root} for {selection.accelerator}"
    return f"{base} in {root}" + (" and in the requirements" if wheels else "; none in the requirements")


def system_tag(lock: Lock, image: str) -> str:
    """The tag of the bare system built from a registry's `image`."""
    return f"ingot/{SYSTEM}:{lock.key}-{_digest(CONTAINERS / SYSTEM, image)[:12]}"


def _system(lock: Lock, log: Path) -> str:
    """The image of the bare system, from the distribution's archive or from the lock's image in a registry.

    The latter gets the packages that roles and compilers need, in their current versions; it is built once.
    """
    if lock.container_image is None:
        return ensure_base(lock, log=log).tag
    tag = system_tag(lock, lock.container_image.image)
    if not _exists(tag):
        buildkit.build(CONTAINERS / SYSTEM, DOCKERFILE, tag, {"IMAGE": lock.container_image.image}, log=log)
    return tag


def _digest(folder: Path, *others: str) -> str:
    """SHA-256 of the names, modes and contents of the files in `folder`, and of `others`."""
    total = hashlib.sha256("\0".join(others).encode())
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        mode = "x" if file.stat().st_mode & 0o100 else "-"
        name = f"{file.relative_to(folder)}\0{mode}"
        total.update(f"{name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def epoch(lock: Path) -> int:
    """The date of all files that a build writes, in seconds since 1970.

    SOURCE_DATE_EPOCH, else the commit time of the lock: only a new lock changes it, and no package in it is later. For
    a lock outside of git, the modification time of its file.
    """
    if given := os.environ.get(EPOCH, ""):
        if not given.isdecimal():
            raise UsageError(f"not a number of seconds since 1970: {given!r}", place=EPOCH, hint=f"unset {EPOCH}")
        return int(given)
    command = ["git", "-C", str(lock.parent), "log", "-1", "--format=%ct", "--", lock.name]
    try:
        committed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        committed = ""
    return int(committed or lock.stat().st_mtime)


@contextmanager
def _context(selection: ContainerSelection, name: str, row: Container, date: int) -> Iterator[Path]:
    """A folder with the inputs of the container `name`, laid out as the checkout: without a parent, its root with the
    lock; else its folder containers.

    All files have the same `date`, whatever their time of checkout.
    """
    with paths.temporary() as folder:
        context = folder / "context"
        if row.parent:
            shared = [f"{LEAF}/{DOCKERFILE}", f"{LEAF}/{DOCKERFILE}.dockerignore"]
            _copy(CONTAINERS, context, [*shared, *([f"{LEAF}/{PROGRAMS}"] if row.start else []), name])
        else:
            roles = (f"roles/{role}" for role in (*SHARED_ROLES, *selection.roles))
            _copy(paths.ROOT, context, [*ROOT_INPUTS, *roles])
            copy = context / _lock_name(selection.target)
            copy.parent.mkdir(parents=True)
            shutil.copy(selection.lock_path, copy)
        for path in (context, *context.rglob("*")):
            os.utime(path, (date, date), follow_symlinks=False)
        yield context


def _copy(folder: Path, context: Path, names: Iterable[str]) -> None:
    """Copy the files and folders `names` from `folder` to the same paths in `context`, without unused files."""
    ignore = shutil.ignore_patterns(*UNUSED)
    for name in names:
        source, copy = folder / name, context / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, copy, ignore=ignore) if source.is_dir() else shutil.copy(source, copy)


def _lock_name(target: Target) -> str:
    return f"locks/{target.stack}/{target.key}.yml"


def _exists(tag: str) -> bool:
    return bool(run(["docker", "image", "ls", "--quiet", tag]).split())


def inputs_of(tag: str) -> str:
    """The digest of the inputs of the image `tag`; empty if there is no such image."""
    if not _exists(tag):
        return ""
    return run(
        ["docker", "image", "inspect", "--format", f'{{{{index .Config.Labels "{INPUTS_LABEL}"}}}}', tag]
    ).strip()


def _size(tag: str) -> int:
    return int(run(["docker", "image", "inspect", "--format", "{{.Size}}", tag]))


def build(
    selection: ContainerSelection, catalog: Catalog, progress: Progress, *, frozen: bool = False
) -> dict[str, Any]:
    """Build the container and its ancestors, skip those that are up to date, and return the report.

    What the container lacks in its lock is recorded first; with `frozen`, its absence is an error.
    """
    if origins.mirror() is not None:
        variable = origins.VARIABLE
        raise UsageError("containers cannot be built from a mirror", place=variable, hint=f"unset {variable}")
    nccl = check_nccl(selection)
    selection = fill(selection, lambda it: it.lock.of(it.roles), catalog, progress, frozen=frozen)
    target, lock, date = selection.target, selection.lock, epoch(selection.lock_path)
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
            with _context(selection, name, row, date) as context:
                lists = [json.dumps([] if row.parent else selection.roles), json.dumps(row.start)]
                inputs = _digest(context, base, inputs, selection.accelerator, str(date), *lists)
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
        "grades": {name: pin.grade for name, pin in grades(lock.of(selection.roles)).items()},
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
    """Build one image of the chain, unless it exists with the same inputs."""
    tag = selection.tag_of(name)
    tools = f"ingot/container-tools:{selection.target.key}"
    if inputs_of(tag) == arguments["INPUTS"] and (row.parent or _exists(tools)):
        progress.note(f"{name}: unchanged")
        return Step(name, tag, True, 0.0, _size(tag))
    began = time.monotonic()
    with progress.phase(name):
        if row.parent:
            _build_leaf(name, row, arguments | {"PARENT": parent, "TOOLS": tools}, tag, context, log)
        else:
            _build_base(selection, name, arguments | {"BASE_IMAGE": parent}, [tools, tag], context, log)
        # Removes the previous image of this name, now untagged.
        run(["docker", "image", "prune", "--force", "--filter", f"label=ingot.container={name}"])
    return Step(name, tag, False, round(time.monotonic() - began, 1), _size(tag))


def _build_leaf(name: str, row: Container, arguments: dict[str, str], tag: str, context: Path, log: Path) -> None:
    """Build the image of the shared Dockerfile, then FROM it that of the container's own Dockerfile, if any.

    An unfinished image has no digest of its inputs, so that an interrupted build starts again.
    """
    own = (context / name / DOCKERFILE).exists()
    shared = {**arguments, "NAME": name, "COMMAND": shlex.join(row.start)} | ({"INPUTS": ""} if own else {})
    options = [] if row.start else ["--target", PACKAGES]
    buildkit.build(context, f"{LEAF}/{DOCKERFILE}", tag, shared, log=log, options=options)
    if own:
        inputs = arguments["INPUTS"]
        buildkit.build(context / name, DOCKERFILE, tag, {"PARENT": tag, "INPUTS": inputs}, log=log)


def _build_base(
    selection: ContainerSelection,
    name: str,
    arguments: dict[str, str],
    tags: list[str],
    context: Path,
    log: Path,
) -> None:
    """Build two images of one Dockerfile; `tags` are the tag of the build tools and the tag of the base."""
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
