"""Builds an image on this machine: lock, artifacts, base, converge, disk, boot, suite, report.

Each step is a module of its own; this one runs them in order, collects the facts for the report, and cleans up when a
step fails or the user interrupts.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ingot import paths
from ingot.catalog.catalog import Catalog
from ingot.console import Progress
from ingot.errors import IngotError
from ingot.image import history, verdict
from ingot.image.bare import Bare
from ingot.image.base import ensure_base
from ingot.image.disk import disk_containers, make_disk, require_space
from ingot.image.events import Converge, Follower
from ingot.image.inputs import Inputs, inputs_digest, inputs_of, suite_digest
from ingot.image.judge import FILES, judge
from ingot.image.look import look
from ingot.image.packer import packer_build, target_variables, wait_for_killed
from ingot.image.page import conclude
from ingot.image.setup import ensure_docker, ensure_local_tools, ensure_packer
from ingot.image.timeline import timeline
from ingot.lock import file as locks
from ingot.lock import images, select
from ingot.lock.fill import fill
from ingot.lock.grade import grades
from ingot.lock.make import make
from ingot.model.target import ImageSelection
from ingot.run import containers, remove, run
from ingot.sources import origins
from ingot.sources.apt import Archive
from ingot.sources.fetch import Fetched, fetch, forget

# The disk space that a build needs, by accelerator: downloads, container, disk. Measured from empty caches, except for
# Neuron, which no system that is built locally supports.
FREE_GIB = {"cpu": 6, "nvidia": 15, "neuron": 15}
LOG = "build.log"


def _containers_of(selection: ImageSelection) -> str:
    """The prefix of the names of the containers of all builds in the folder of `selection`, and of no others."""
    folder = hashlib.sha256(str(selection.dir.resolve()).encode()).hexdigest()[:8]
    return f"ingot-{selection.name}-{selection.target.key.replace('_', '-')}-{folder}-"


def _own_containers(selection: ImageSelection) -> str:
    """A name for the containers of this build alone, so that none that is being removed is in the way."""
    return f"{_containers_of(selection)}{uuid.uuid4().hex[:8]}"


def _take_over(selection: ImageSelection, progress: Progress) -> None:
    """Remove the containers of earlier builds in this folder that were killed, and wait for what still cleans up."""
    for _ in range(2):
        if left := [*containers(_containers_of(selection)), *containers(disk_containers(selection.dir / verdict.DISK))]:
            remove(*left)
        # Without its container the killed build's Packer ends soon; it may have started another one before.
        wait_for_killed(selection.dir, progress.note)


def refresh(
    selection: ImageSelection, catalog: Catalog, archive: Archive, progress: Progress, *, frozen: bool = False
) -> tuple[ImageSelection, list[str]]:
    """The selection with new pins for the packages that the archive no longer has, and the list of changes."""
    archive.update()
    gone = archive.gone(selection.lock.packages)
    if not gone:
        return selection, []
    target, path = selection.target, selection.lock_path
    names = ", ".join(gone[:5]) + (" …" if len(gone) > 5 else "")
    if frozen:
        raise IngotError(
            f"the archive no longer holds {len(gone)} pinned packages: {names}",
            place=str(path),
            hint="build without --frozen to refresh those pins, or run `ingot lock`",
        )
    progress.note(f"the archive no longer holds {len(gone)} pinned packages ({names}); refreshing those pins")
    lock = locks.load(path)
    new = make(catalog, target, keep=lock).lock
    changed = locks.changes(lock, new)
    for line in changed:
        progress.note(f"  {line}")
    paths.write_text(path, locks.dump(new))
    images.write(catalog, target.stack)
    return select.image_of_lock(catalog, target, selection.name, new), changed


def _converge(
    selection: ImageSelection,
    name: str,
    inputs: Inputs,
    base_tag: str,
    fetched: Fetched,
    progress: Progress,
    log: Path,
) -> Converge:
    """Run the roles in a container of the base, called `name`, with Packer, and commit it as the image."""
    lock, events = selection.lock, selection.dir / "events.jsonl"
    variables = {
        **target_variables(selection),
        "base_image": base_tag,
        "container_name": name,
        "result_image": selection.tag,
        "apt_archives": str(fetched.archives),
        "wheels": str(fetched.wheels),
        "events": str(events),
        "inputs_sha256": inputs.sha256,
        "git_commit": inputs.git_commit,
        **origins.packer_variables(lock.repositories["debian"].suites, lock.archive.components, selection.dir),
    }
    with Follower(events, selection.image.roles, progress.tell) as follower:
        try:
            packer_build("docker.image", variables, log=log)
        except IngotError as error:
            failed = error
        else:
            # The previous image of this name is now untagged; remove it.
            run(["docker", "image", "prune", "--force", "--filter", f"label=ingot.image={selection.name}"])
            return follower.converge
    raise follower.converge.explained(log) or failed


def local(
    selection: ImageSelection, catalog: Catalog, progress: Progress, *, rebuild: bool = False, frozen: bool = False
) -> dict[str, Any]:
    """Build an image and return its report; without `rebuild`, an image whose inputs have not changed is not built.

    If only the suite has changed, it judges the same disk again. What the image lacks in its lock is recorded first.
    With `frozen`, fail if it lacks a digest, or if the archive no longer has a pinned package. Raises IngotError at the
    first step that fails. Logs, disk, manifest, SBOM and report are in `selection.dir`.
    """
    old = None if rebuild else verdict.read(selection.dir, FILES)
    current = old is not None and old["inputs_sha256"] == inputs_digest(selection)
    if old and current and old.get("suite_sha256") == suite_digest(selection):
        return old | {"unchanged": True}
    select.require_driver(selection)
    select.require_bootable(selection)
    with paths.alone(selection.dir, f"another build is using {selection.dir}"):
        (selection.dir / LOG).write_text("")
        if old and current and (judged := _judge_again(selection, old, catalog, progress)):
            return judged
        selection = fill(selection, lambda it: it.lock, catalog, progress, frozen=frozen)
        return _build(selection, catalog, progress, frozen)


def _judge_again(
    selection: ImageSelection, old: dict[str, Any], catalog: Catalog, progress: Progress
) -> dict[str, Any] | None:
    """The report `old` with the verdict of a suite that has changed; None if Docker no longer has the image."""
    folder, log = selection.dir, selection.dir / LOG
    with progress.phase("set-up"):
        ensure_docker()
        ensure_local_tools()
        _take_over(selection, progress)
    if old["docker_image"] not in run(["docker", "image", "ls", "--quiet", "--no-trunc"]).split():
        return None
    inputs = inputs_of(selection)
    verdict.drop(folder)
    with progress.phase("suite on the image"):
        seen = look(selection, old["docker_image"], _own_containers(selection), inputs.sha256, progress, log)
    judged, files = judge(selection, seen.result, inputs, progress, log)
    return conclude(
        folder, {**old, **judged, "seconds": old["seconds"] | _rounded(progress.seconds)}, files, catalog.budgets
    )


def _build(selection: ImageSelection, catalog: Catalog, progress: Progress, frozen: bool) -> dict[str, Any]:
    target, folder = selection.target, selection.dir
    log, disk_path = folder / LOG, folder / verdict.DISK
    own = _own_containers(selection)
    progress.expect(history.expected(folder))
    bare = Bare(folder)
    require_space(folder, FREE_GIB[selection.image.accelerator])
    with progress.phase("set-up"):
        ensure_docker()
        ensure_local_tools()
        ensure_packer()
        _take_over(selection, progress)
    archive = Archive(target.os, catalog.operating_system(target.os), target.arch)
    with progress.phase("archive"):
        selection, refreshed = refresh(selection, catalog, archive, progress, frozen=frozen)
    lock = selection.lock
    # Read once: later edits are not part of this image.
    inputs = inputs_of(selection)
    with progress.phase("artifacts"):
        fetched = fetch(
            lock, archive, on_progress=lambda done, total: progress.tell(f"{done >> 20} of {total >> 20} MiB"), log=log
        )
        # Other images of this system share the folder, so the whole lock counts.
        forget(locks.load(selection.lock_path))
    with progress.phase("base"):
        base = ensure_base(lock, log=log)
    with progress.phase("converge"):
        converge = _converge(selection, f"{own}-build", inputs, base.tag, fetched, progress, log)
        # By id, as another checkout may build under the same tag.
        image = run(["docker", "image", "inspect", "--format", "{{.Id}}", selection.tag]).strip()
    verdict.drop(folder)
    with progress.phase("disk and suite on the image"), ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look, selection, image, f"{own}-look", inputs.sha256, progress, log)
        release = str(lock.components["kernel"].facts["release"])
        with progress.part("disk"):
            disk = make_disk(image, disk_path, kernel_release=release, log=log)
        seen = looking.result()
    judged, files = judge(selection, seen.result, inputs, progress, log)
    manifest = json.loads((folder / verdict.MANIFEST).read_text())
    locked = lock.of(selection.image.roles)
    report = {
        "image": selection.name,
        "stack": target.stack,
        "os": target.os,
        "arch": target.arch,
        "inputs_sha256": inputs.sha256,
        "git_commit": inputs.git_commit,
        "base": asdict(base),
        "docker_image": image,
        "refreshed": refreshed,
        "declared": {name: component.version for name, component in locked.components.items()},
        "observed": manifest["observed"],
        "grades": {name: pin.grade for name, pin in grades(locked).items()},
        "left_out": locked.left_out,
        "seconds": _rounded(progress.seconds),
        "role_seconds": _rounded({name: seconds for name, seconds in converge.roles.items() if name}),
        "tasks": converge.counts,
        "timeline": timeline(progress, converge, "converge"),
        "space": seen.space,
        "packages": seen.packages,
        "stated_bytes": sum(package.installed for package in locked.packages.values()) * 1024,
        "size": {"disk_bytes": disk.apparent_bytes, "disk_allocated_bytes": disk.allocated_bytes},
        **judged,
        "paths": {
            "disk": str(disk_path),
            "manifest": str(folder / verdict.MANIFEST),
            "sbom": str(folder / verdict.SBOM),
            "log": str(log),
            "report": str(folder / verdict.PAGE),
        },
    }
    bare.again()
    return conclude(folder, {**report, "bare": bare.seconds}, files, catalog.budgets)


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: round(taken, 1) for name, taken in seconds.items()}
