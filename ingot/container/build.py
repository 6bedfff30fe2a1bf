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
from ingot.catalog.catalog import Catalog
from ingot.catalog.names import lineage
from ingot.console import Progress
from ingot.container import buildkit, requirements
from ingot.errors import IngotError, UsageError
from ingot.image.base import ensure_base
from ingot.image.setup import ensure_docker, ensure_local_tools
from ingot.lock import file as locks
from ingot.model.container import Container
from ingot.model.lock import Lock
from ingot.model.types import LOCAL_ARCH
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
class Request:
    """Which container, for what."""

    name: str
    os_name: str
    arch: str
    stack: str
    accelerator: str

    @property
    def tag(self) -> str:
        """The name of the finished container image."""
        return tag_of(self.name, self.accelerator, self.os_name, self.arch)

    @property
    def dir(self) -> Path:
        """Where logs lie."""
        path = paths.ROOT / "build" / "containers" / f"{self.accelerator}-{self.os_name}-{self.arch}"
        path.mkdir(parents=True, exist_ok=True)
        return path


@dataclass(frozen=True)
class Step:
    """One image of the chain from the base to the leaf: whether it was there, how long it took, its size."""

    container: str
    tag: str
    unchanged: bool
    seconds: float
    size_bytes: int


def tag_of(name: str, accelerator: str, os_name: str, arch: str) -> str:
    """The name of a container's image in Docker."""
    return f"ingot/{name}:{accelerator}-{os_name}-{arch}"


def chain(catalog: Catalog, name: str) -> list[tuple[str, Container]]:
    """The container `name` after everything that it is FROM."""
    catalog.container(name)
    return [(each, catalog.container(each)) for each in reversed(lineage(name, catalog))]


def system_of(catalog: Catalog, accelerator: str) -> str:
    """The operating system that containers for an accelerator are built on; UsageError where none are."""
    systems: dict[str, str] = {name: row.os for name, row in catalog.container_systems.items()}
    if accelerator not in systems:
        there = ", ".join(systems)
        raise UsageError(f"no container is built for {accelerator!r}", place="--accelerator", hint=f"there is: {there}")
    return systems[accelerator]


def asked(catalog: Catalog, name: str, os_name: str, arch: str, stack: str, accelerator: str) -> Request:
    """The request for a container, whose variant and system are found where they are not named."""
    variants: list[str] = [*catalog.container(name).accelerators]
    accelerator = accelerator or ("cpu" if "cpu" in variants else variants[0])
    return Request(name, os_name or system_of(catalog, accelerator), arch, stack, accelerator)


def check(request: Request, catalog: Catalog) -> None:
    """UsageError when the container is not known, or not built for what was asked."""
    row = catalog.container(request.name)
    catalog.check_arch(request.os_name, request.arch)
    catalog.stack(request.stack)
    wanted = f"{request.accelerator} on {request.os_name} {request.arch}"
    built = [f"{each} on {system_of(catalog, each)} {LOCAL_ARCH}" for each in row.accelerators]
    there = ", ".join(built)
    if wanted not in built:
        raise UsageError(f"the container {request.name} is not built for {wanted}", hint=f"there is: {there}")
    if origins.mirror() is not None:
        variable = origins.VARIABLE
        raise UsageError("containers are not built from a mirror yet", place=variable, hint=f"unset {variable}")


def check_nccl(request: Request, catalog: Catalog, lock: Lock) -> str:
    """What was found of NCCL, in a sentence; IngotError when the base and the requirements bring different versions.

    A framework loads the NCCL of its wheel, while the plugin and the tests of the base are of the base's.
    """
    root, row = chain(catalog, request.name)[0]
    roles = _roles(request, row)
    base = lock.components["nccl"].version if "nccl" in roles and "nccl" in lock.components else ""
    lists = [CONTAINERS / each / f"requirements-{request.accelerator}.txt" for each, _ in chain(catalog, request.name)]
    wheels = {path: version for path in lists if (version := requirements.nccl(path))}
    first = base or next(iter(wheels.values()), "")
    for path, version in wheels.items():
        if version != first:
            where = f"in {root}, by lock {lock.stack} {lock.key}" if base else f"in {next(iter(wheels))}"
            hint = f"`ingot lock --containers` takes that of the lock; or pin nccl to =={version} in the stack"
            raise IngotError(f"NCCL is {version} here and {first} {where}", place=str(path), hint=hint)
    if not base:
        return f"{first or 'none'} by the requirements; {root} for {request.accelerator} has none to compare with"
    return f"{base} in {root}" + (" and by the requirements" if wheels else "; the requirements bring none")


def _roles(request: Request, row: Container) -> list[str]:
    """The roles that make a container of its variant, none where it is made from another container."""
    return next((roles for accelerator, roles in row.roles.items() if accelerator == request.accelerator), [])


def _require_resolved(request: Request, row: Container, lock: Lock) -> None:
    """IngotError when the lock does not say all that the roles need, before anything is built."""
    mine = lock.of(_roles(request, row)).unresolved
    if lacks := [name for name in mine if not name.startswith("base_image.")]:
        raise IngotError(
            f"{request.tag} cannot be built: nobody has published all of {', '.join(lacks)}",
            place=str(locks.path_of(request.stack, request.os_name, request.arch)),
            hint=f"`ingot lock --os {lock.os} --arch {lock.arch} --record` records what vendors' hosts answer",
        )


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
def _context(request: Request, name: str, root: bool, date: int) -> Iterator[Path]:
    """A folder with what the container `name` is made from: of the base, as in the checkout, with the one lock.

    Its files have the one `date`, whenever they were checked out.
    """
    ignore = shutil.ignore_patterns(*UNUSED)
    with tempfile.TemporaryDirectory(prefix=".context-", dir=request.dir) as folder:
        context = Path(folder) / "context"
        if not root:
            shutil.copytree(CONTAINERS / name, context, ignore=ignore)
        for each in ROOT_INPUTS if root else ():
            source, copy = paths.ROOT / each, context / each
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, copy, ignore=ignore) if source.is_dir() else shutil.copy(source, copy)
        if root:
            copy = context / _lock_name(request)
            copy.parent.mkdir(parents=True)
            shutil.copy(locks.path_of(request.stack, request.os_name, request.arch), copy)
        for path in (context, *context.rglob("*")):
            os.utime(path, (date, date), follow_symlinks=False)
        yield context


def _lock_name(request: Request) -> str:
    return f"locks/{request.stack}/{request.os_name}-{request.arch}.yml"


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


def build(request: Request, catalog: Catalog, progress: Progress) -> dict[str, Any]:
    """Build the container and everything that it is FROM; what has not changed is left as it is, and said to be."""
    check(request, catalog)
    path = locks.path_of(request.stack, request.os_name, request.arch)
    lock, date = locks.load(path), epoch(path)
    locks.check(lock, catalog)
    found = check_nccl(request, catalog, lock)
    _require_resolved(request, chain(catalog, request.name)[0][1], lock)
    progress.note(f"nccl: {found}")
    ensure_docker()
    ensure_local_tools()
    with paths.alone(request.dir):
        log = request.dir / f"{request.name}.log"
        log.write_text("")
        base = _system(lock, log)
        steps: list[Step] = []
        inputs, parent = "", base
        for name, row in chain(catalog, request.name):
            with _context(request, name, not row.parent, date) as context:
                told = (base, inputs, request.accelerator, str(date), json.dumps(_roles(request, row)))
                inputs = _digest(context, *told)
                arguments = {"INPUTS": inputs, "ACCELERATOR": request.accelerator, EPOCH: str(date)}
                steps.append(_step(request, lock, name, row, parent, arguments, context, progress, log))
            parent = steps[-1].tag
    return {
        "container": request.name,
        "tag": request.tag,
        "stack": request.stack,
        "os": request.os_name,
        "arch": request.arch,
        "accelerator": request.accelerator,
        "inputs_sha256": inputs,
        "nccl": found,
        "source_date_epoch": date,
        "steps": [asdict(step) for step in steps],
        "log": str(log),
    }


def _step(
    request: Request,
    lock: Lock,
    name: str,
    row: Container,
    parent: str,
    arguments: dict[str, str],
    context: Path,
    progress: Progress,
    log: Path,
) -> Step:
    """Build one image of the chain, unless one with these inputs is there."""
    tag = tag_of(name, request.accelerator, request.os_name, request.arch)
    tools = f"ingot/container-tools:{lock.key}"
    if inputs_of(tag) == arguments["INPUTS"] and (row.parent or _exists(tools)):
        progress.note(f"{name}: unchanged")
        return Step(name, tag, True, 0.0, _size(tag))
    began = time.monotonic()
    with progress.phase(name):
        if row.parent:
            buildkit.build(context, DOCKERFILE, tag, arguments | {"PARENT": parent, "TOOLS": tools}, log=log)
        else:
            _build_base(request, name, row, arguments | {"BASE_IMAGE": parent}, [tools, tag], context, log)
        # The image that this one takes the name from would stay without a name.
        run(["docker", "image", "prune", "--force", "--filter", f"label=ingot.container={name}"])
    return Step(name, tag, False, round(time.monotonic() - began, 1), _size(tag))


def _build_base(
    request: Request, name: str, row: Container, arguments: dict[str, str], tags: list[str], context: Path, log: Path
) -> None:
    """Build two images of one file: `tags` are those of the one with pip, by which others are made, and of the base."""
    lock_name, dockerfile = _lock_name(request), f"containers/{BASE}/{DOCKERFILE}"
    roles = _roles(request, row)
    if missing := [role for role in roles if not (paths.ROOT / "roles" / role).is_dir()]:
        raise IngotError(f"there is no role {missing[0]}", place=str(paths.CATALOG / "containers.yml"))
    arguments |= {
        "STACK": request.stack,
        "LOCK": lock_name,
        "LOCK_SHA256": hashlib.sha256((context / lock_name).read_bytes()).hexdigest(),
        "NAME": name,
        "ROLES": json.dumps(roles),
    }
    for tag, options in zip(tags, (["--target", "tools"], []), strict=True):
        buildkit.build(context, dockerfile, tag, arguments, log=log, options=options)
