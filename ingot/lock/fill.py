"""Fills in what an image or container lacks in its lock before it is built: versions, digests, its base image's name.

The lock is written in one step: an interrupted recording leaves the old one.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from packaging.version import Version

from ingot import paths
from ingot.catalog.catalog import Catalog
from ingot.catalog.rules import Context, broken, contains, locked_parts
from ingot.console import Progress
from ingot.errors import IngotError
from ingot.lock import images, select
from ingot.lock.file import changes, dump, load
from ingot.lock.grade import grades
from ingot.lock.record import Forbids, record, with_images
from ingot.model.lock import Lock, LockedComponent
from ingot.model.target import ContainerSelection, ImageSelection
from ingot.sources.ec2 import newest_images
from ingot.sources.signatures import Tell, Unreachable

Selection = TypeVar("Selection", ImageSelection, ContainerSelection)


def fill(
    selection: Selection,
    part: Callable[[Selection], Lock],
    catalog: Catalog,
    progress: Progress,
    *,
    region: str = "",
    frozen: bool = False,
) -> Selection:
    """The selection, with all that `part` of its lock lacks recorded; the lock is written if that changes it.

    With `region`, the name of the image's base image there is recorded as well. With `frozen`, nothing is recorded.
    Raises IngotError if the part then lacks what a build needs, or if a vendor has something else than the lock names.
    """
    base = selection.base if isinstance(selection, ImageSelection) and region else ""
    lock = part(selection)
    names = {name for name, pin in grades(lock).items() if pin.grade in ("signature", "unresolved")}
    failed: dict[str, IngotError] = {}
    if not frozen and (names or (base and base not in lock.images)):
        with progress.phase("record"):
            bases = [base] if base else []
            whole, failed, lines = update(catalog, selection.lock_path, names, bases, region, progress.tell)
        for line in lines:
            progress.note(f"  {line}")
        selection = selection.with_lock(whole)
        lock = part(selection)
    select.require_complete(selection, lock, failed, base=base, frozen=frozen)
    _require_same(selection, failed)
    for name, error in failed.items():
        progress.note(f"not recorded, its signature is checked in the build: {name}: {error.message}")
    return selection


def _require_same(selection: ImageSelection | ContainerSelection, failed: Mapping[str, IngotError]) -> None:
    """IngotError if a vendor's host answers with something else than the lock names."""
    changed = {name: error for name, error in failed.items() if not isinstance(error, Unreachable)}
    if changed:
        raise IngotError(
            f"{selection.name} for {selection.target.key} differs from what its vendors have:\n  "
            + "\n  ".join(f"{name}: {error.message}" for name, error in changed.items()),
            place=str(selection.lock_path),
            hint="; ".join(dict.fromkeys(error.hint for error in changed.values() if error.hint)),
        )


def update(
    catalog: Catalog, path: Path, names: Collection[str] | None, bases: Iterable[str], region: str, tell: Tell
) -> tuple[Lock, dict[str, IngotError], list[str]]:
    """Record what the lock at `path` lacks of components `names` (None for all) and base images in `region`.

    Writes the lock if that changes it, and returns it with the errors by component and the changes as lines.
    """
    with paths.alone(paths.cache_dir("recording")):
        # Another build may have recorded the same while this one waited.
        old = load(path)
        new, failed = complete(catalog, old, names, bases, region, tell)
        if new != old:
            save(catalog, path, new)
    return new, failed, changes(old, new)


def complete(
    catalog: Catalog, lock: Lock, names: Collection[str] | None, bases: Iterable[str], region: str, tell: Tell
) -> tuple[Lock, dict[str, IngotError]]:
    """`lock` with all that can be recorded of components `names` and base images, and the error of each that cannot."""
    missing = {name: lock.base_images[name] for name in bases if name not in lock.images}
    if missing:
        lock = with_images(lock, newest_images(missing, lock.arch, region))
    return record(lock, tell, names, forbids(catalog, lock))


def save(catalog: Catalog, path: Path, lock: Lock) -> None:
    """Write a lock, and the digests of its stack's images."""
    paths.write_text(path, dump(lock))
    images.write(catalog, lock.stack)


def forbids(catalog: Catalog, lock: Lock) -> Forbids:
    """Says why a component of `lock` cannot have a version: it is out of its pin's range, or breaks a rule."""
    stack = catalog.stack(lock.stack)

    def errors(components: Mapping[str, LockedComponent]) -> Iterable[tuple[str, str]]:
        context = Context(lock.os, lock.arch)
        problems = broken(locked_parts(components), catalog.components, context, lock.accepted)
        return [(problem.rule, problem.message) for problem in problems if problem.severity == "error"]

    def reason(name: str, version: str) -> str:
        spec = stack.pins[name].on(lock.os).version
        if not contains(spec, Version(version)):
            return f"the pin is {spec}"
        before = {rule for rule, _ in errors(lock.components)}
        entry = lock.components[name].model_copy(update={"version": version})
        return next((message for rule, message in errors({**lock.components, name: entry}) if rule not in before), "")

    return reason
