"""Builds an image on this machine: lock, artifacts, base, converge, disk, boot, suite, report.

Each step lives in a module of its own; this one orders them, keeps the facts for the report, and leaves nothing behind
when a step fails or the user interrupts.
"""

import hashlib
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ingot import paths
from ingot.catalog.catalog import Catalog
from ingot.console import Progress
from ingot.errors import IngotError
from ingot.image import sbom
from ingot.image.base import ensure_base
from ingot.image.disk import make_disk, require_space
from ingot.image.events import Converge, Follower
from ingot.image.machine import boot
from ingot.image.packer import packer_build
from ingot.image.setup import ensure_docker, ensure_local_tools, ensure_packer
from ingot.image.verify import Result, verify
from ingot.lock import file as locks
from ingot.lock.make import make
from ingot.model.lock import Lock
from ingot.run import container, run
from ingot.sources import origins
from ingot.sources.apt import Archive
from ingot.sources.fetch import Fetched, fetch, forget

# What a build takes on this machine, by the image's accelerator: downloads, the container, the disk. Measured from
# empty caches; not for Neuron, which no system that is built here has.
FREE_GIB = {"cpu": 6, "nvidia": 15, "neuron": 15}
# What decides an image besides its lock; documentation, tests and the command line do not.
INPUTS = ("roles", "plugins", "playbooks", "packer", "containers/disk-tools", "catalog/images.yml")
INPUT_MODULES = ("image/base.py", "image/disk.py")


@dataclass(frozen=True)
class Request:
    """What to build, and how stubbornly."""

    image: str
    os_name: str
    arch: str
    stack: str
    rebuild: bool = False
    frozen: bool = False

    @property
    def tag(self) -> str:
        """The name of the finished image in Docker."""
        return f"ingot/{self.image}:{self.os_name}-{self.arch}"

    @property
    def name(self) -> str:
        """A name for this build's containers."""
        return f"ingot-{self.image}-{self.os_name}-{self.arch.replace('_', '-')}"

    @property
    def dir(self) -> Path:
        """Where the build leaves its results."""
        return paths.build_dir(self.image, self.os_name, self.arch)


def inputs_digest(lock_path: Path) -> str:
    """SHA-256 over every file that decides the image."""
    files = [lock_path, *(paths.ROOT / "ingot" / name for name in INPUT_MODULES)]
    own = paths.own_catalog()
    files += [own / "images.yml"] if own and (own / "images.yml").exists() else []
    for name in INPUTS:
        path = paths.ROOT / name
        files += [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    total = hashlib.sha256()
    for file in sorted(file for file in files if "__pycache__" not in file.parts):
        shown = file.relative_to(paths.ROOT if file.is_relative_to(paths.ROOT) or own is None else own)
        total.update(f"{shown}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def git_commit() -> str:
    """The commit of the checkout, with `-dirty` when files differ from it; empty outside of git."""
    done = subprocess.run(
        ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
        cwd=paths.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip()


@dataclass(frozen=True)
class Inputs:
    """What an image is made from: the digest over its files, and the commit of the checkout."""

    sha256: str
    git_commit: str


def _sweep(request: Request) -> None:
    """Remove containers that an earlier build of this image was killed too hard to remove."""
    left = run(["docker", "ps", "-aq", "--filter", f"name=^{request.name}"]).split()
    if left:
        run(["docker", "rm", "-f", "-v", *left])


def unchanged(request: Request, lock_path: Path) -> dict[str, Any] | None:
    """The last report, when nothing that decides the image has changed since and its disk is still there."""
    report_path = request.dir / "report.json"
    if request.rebuild or not report_path.exists():
        return None
    report: dict[str, Any] = json.loads(report_path.read_text())
    there = Path(report["paths"]["disk"]).exists()
    return report if there and report["inputs_sha256"] == inputs_digest(lock_path) else None


def refresh(
    request: Request, catalog: Catalog, lock: Lock, archive: Archive, progress: Progress
) -> tuple[Lock, list[str]]:
    """The lock with those pins renewed that the archive no longer holds, and what changed."""
    archive.update()
    gone = archive.gone(lock.packages)
    if not gone:
        return lock, []
    path = locks.path_of(request.stack, request.os_name, request.arch)
    names = ", ".join(gone[:5]) + (" …" if len(gone) > 5 else "")
    if request.frozen:
        raise IngotError(
            f"the archive no longer holds {len(gone)} pinned packages: {names}",
            place=str(path),
            hint="build without --frozen to refresh those pins, or run `ingot lock`",
        )
    progress.note(f"the archive no longer holds {len(gone)} pinned packages ({names}); refreshing those pins")
    new = make(catalog, request.stack, request.os_name, request.arch, keep=lock).lock
    changed = locks.changes(lock.packages, new.packages)
    for line in changed:
        progress.note(f"  {line}")
    paths.write_text(path, locks.dump(new))
    return new, changed


def _converge(
    request: Request,
    catalog: Catalog,
    lock: Lock,
    inputs: Inputs,
    base_tag: str,
    fetched: Fetched,
    progress: Progress,
    log: Path,
) -> Converge:
    """Run the roles in a container of the base by Packer, and commit it as the image."""
    roles = catalog.image(request.image).roles
    variables = {
        "image": request.image,
        "os": request.os_name,
        "arch": request.arch,
        "stack": request.stack,
        "catalog": str(paths.own_catalog() or ""),
        "base_image": base_tag,
        "container_name": f"{request.name}-build",
        "result_image": request.tag,
        "apt_archives": str(fetched.archives),
        "wheels": str(fetched.wheels),
        "events": str(request.dir / "events.jsonl"),
        "inputs_sha256": inputs.sha256,
        "git_commit": inputs.git_commit,
        **origins.packer_variables(lock.repositories["debian"].suites, lock.archive.components, request.dir),
    }
    with Follower(request.dir / "events.jsonl", roles, progress.tell) as follower:
        try:
            packer_build("docker.image", variables, log=log)
        except IngotError as error:
            failed = error
        else:
            # The image that this one takes the name from would stay without a name.
            run(["docker", "image", "prune", "--force", "--filter", f"label=ingot.image={request.image}"])
            return follower.converge
    raise follower.converge.explained(log) or failed


def _look(request: Request, lock: Lock, lock_path: Path, inputs: Inputs, log: Path) -> Result:
    """Verify the image before it boots; write its manifest and SBOM beside the disk."""
    with container(request.tag, f"{request.name}-look") as name:
        result = verify(f"docker://{name}", lock_path=lock_path, image=request.image, log=log)
        manifest = run(["docker", "exec", name, "cat", "/usr/share/ingot/manifest.json"])
        dpkg = run(["docker", "exec", name, "dpkg-query", "-W", "-f", sbom.QUERY])
    paths.write_text(request.dir / "manifest.json", manifest)
    wheels = [(name, wheel.version) for name, wheel in lock.wheels.items()]
    paths.write_text(request.dir / "sbom.cdx.json", sbom.make(lock, request.image, dpkg, wheels, inputs.sha256))
    return result


def _insist(result: Result, where: str, log: Path) -> None:
    if result.failed:
        lines = [
            f"{test}: {message.strip().splitlines()[-1] if message.strip() else ''}"
            for test, message in result.failures
        ]
        raise IngotError(f"{result.failed} tests fail {where}\n  " + "\n  ".join(lines[:15]), hint=f"full log: {log}")


def _require_resolved(lock: Lock) -> None:
    """IngotError when the lock does not say all that a build needs, before anything is launched."""
    if lock.unresolved:
        raise IngotError(
            f"{lock.key} cannot be built: nobody has published all of {', '.join(lock.unresolved)}",
            hint=f"`ingot plan` says what lacks, `ingot lock --os {lock.os} --arch {lock.arch} --record` records what "
            "vendors' hosts answer; debian13 and debian12 are built on this machine",
        )


def local(request: Request, catalog: Catalog, progress: Progress) -> dict[str, Any]:
    """Build `request` and return its report; an image whose inputs have not changed is returned as it is.

    Raises IngotError at the first step that fails. Logs, disk, manifest, SBOM and report lie in `request.dir`.
    """
    image = catalog.image(request.image)
    catalog.check_local(request.os_name, request.arch)
    catalog.stack(request.stack)
    lock_path = locks.path_of(request.stack, request.os_name, request.arch)
    lock = locks.load(lock_path)
    if (old := unchanged(request, lock_path)) is not None:
        return old | {"unchanged": True}
    locks.check(lock, catalog)
    _require_resolved(lock)
    lock.check_accelerator(image)
    with paths.alone(request.dir, f"another build is using {request.dir}"):
        return _build(request, catalog, lock, lock_path, progress)


def _build(request: Request, catalog: Catalog, lock: Lock, lock_path: Path, progress: Progress) -> dict[str, Any]:
    log = request.dir / "build.log"
    log.write_text("")
    disk_path = request.dir / "disk.raw"
    require_space(request.dir, FREE_GIB[catalog.image(request.image).accelerator])
    with progress.phase("set-up"):
        ensure_docker()
        ensure_local_tools()
        ensure_packer()
        _sweep(request)
    archive = Archive(request.os_name, catalog.operating_system(request.os_name), request.arch)
    with progress.phase("archive"):
        lock, refreshed = refresh(request, catalog, lock, archive, progress)
    # Read once: what is edited from now on is another image.
    inputs = Inputs(inputs_digest(lock_path), git_commit())
    with progress.phase("artifacts"):
        fetched = fetch(
            lock, archive, on_progress=lambda done, total: progress.tell(f"{done >> 20} of {total >> 20} MiB"), log=log
        )
        forget(lock)
    with progress.phase("base"):
        base = ensure_base(lock, log=log)
    with progress.phase("converge"):
        converge = _converge(request, catalog, lock, inputs, base.tag, fetched, progress, log)
    with progress.phase("disk and suite on the image"), ThreadPoolExecutor(1) as pool:
        looking = pool.submit(_look, request, lock, lock_path, inputs, log)
        release = str(lock.components["kernel"].facts["release"])
        disk = make_disk(request.tag, disk_path, kernel_release=release, log=log)
        on_image = looking.result()
    _insist(on_image, "on the image", log)
    with ExitStack() as stack:
        with progress.phase("boot"):
            machine = stack.enter_context(boot(disk_path, log=log))
        boot_facts = {"wall_seconds": round(machine.wall_seconds, 1), "systemd": machine.userspace}
        with progress.phase("suite in the machine"):
            in_machine = verify(
                f"ssh://{machine.host}",
                lock_path=lock_path,
                image=request.image,
                log=log,
                ssh_config=machine.ssh_config,
                on_progress=lambda done, total: progress.tell(f"{done} of {total} tests"),
            )
    _insist(in_machine, "in the machine", log)
    manifest = json.loads((request.dir / "manifest.json").read_text())
    mine = lock.of(catalog.image(request.image).roles)
    report = {
        "image": request.image,
        "stack": request.stack,
        "os": request.os_name,
        "arch": request.arch,
        "inputs_sha256": inputs.sha256,
        "git_commit": inputs.git_commit,
        "base": asdict(base),
        "refreshed": refreshed,
        "declared": {name: component.version for name, component in mine.components.items()},
        "observed": manifest["observed"],
        "left_out": mine.left_out,
        "seconds": {name: round(seconds, 1) for name, seconds in progress.seconds.items()},
        "role_seconds": {name: round(seconds, 1) for name, seconds in converge.roles.items() if name},
        "tasks": converge.counts,
        "size": {"disk_bytes": disk.apparent_bytes, "disk_allocated_bytes": disk.allocated_bytes},
        "boot": boot_facts,
        "suite": {
            place: {"passed": result.passed, "skipped": result.skipped, "seconds": round(result.seconds, 1)}
            for place, result in (("image", on_image), ("machine", in_machine))
        },
        "paths": {
            "disk": str(disk_path),
            "manifest": str(request.dir / "manifest.json"),
            "sbom": str(request.dir / "sbom.cdx.json"),
            "log": str(log),
        },
    }
    paths.write_text(request.dir / "report.json", json.dumps(report, indent=1, default=str) + "\n")
    return report
