"""Takes into a lock what the package manager of a base image says it would install for an image's roles.

The answer is the file that `playbooks/asked.yml` writes on an instance, before roles run. The system's own archive is
reached from there alone.
"""

from pathlib import Path

from ingot import paths
from ingot.catalog.catalog import Catalog
from ingot.errors import IngotError
from ingot.lock import file as locks
from ingot.lock import fill
from ingot.lock.grade import rules
from ingot.model.lock import Asked, AskedPackage, Lock
from ingot.model.target import ImageSelection
from ingot.model.types import Strict
from ingot.yamlfile import load

# How many packages an error names.
NAMED = 5


class Answer(Strict):
    """The packages by name, the names that no repository has, the date of the archive, and whether the lock's own date
    was asked for (`dated`)."""

    packages: dict[str, AskedPackage]
    missing: list[str]
    date: str
    dated: bool


def read(file: Path) -> Answer:
    """The answer in `file`."""
    return load(file, Answer)


def graded(asked: Asked) -> dict[str, dict[str, str]]:
    """Version and grade of each package of an answer."""
    return {
        name: {"version": package.version, "grade": rules.asked(package.model_dump())}
        for name, package in asked.packages.items()
    }


def take(catalog: Catalog, selection: ImageSelection, file: Path, *, frozen: bool = False) -> Lock:
    """The lock of `selection` with the answer in `file`; it is written if that changes it.

    With `frozen`, IngotError if the answer is not what the lock has.
    """
    answer, path = read(file), selection.lock_path
    with paths.alone(paths.cache_dir("recording")):
        lock = locks.load(path)
        if frozen:
            require_same(selection, lock, answer)
            return lock
        new = merged(lock, selection.base, answer)
        if new != lock:
            fill.save(catalog, path, new)
    return new


def merged(lock: Lock, base: str, answer: Answer) -> Lock:
    """`lock` with an answer about the base image `base`; packages that other images need of it stay."""
    before = lock.asked.get(base)
    if before and not differing(before, answer):
        return lock
    packages = {**(before.packages if before else {}), **answer.packages}
    date = before.date if before and answer.dated else answer.date
    asked = Asked(image=lock.images[base].name, date=date, packages=dict(sorted(packages.items())))
    return lock.model_copy(update={"asked": {**lock.asked, base: asked}})


def differing(before: Asked, answer: Answer) -> dict[str, str]:
    """What the archive offers instead of what the lock has, or although it has nothing: one sentence per package."""
    found = {}
    for name, offered in answer.packages.items():
        locked = before.packages.get(name)
        if locked is None:
            found[name] = f"the lock has no {name}, the archive offers {offered.version}"
        elif locked.version != offered.version:
            found[name] = f"the lock has {name} {locked.version}, the archive offers {offered.version}"
        elif locked.sha256 != offered.sha256:
            found[name] = f"the lock has {name} {locked.version} with another digest than the archive"
    gone = [name for name in answer.missing if name in before.packages]
    return found | {name: f"the lock has {name} {before.packages[name].version}, the archive has none" for name in gone}


def require_same(selection: ImageSelection, lock: Lock, answer: Answer) -> None:
    """IngotError that names each package of an answer that is not the lock's."""
    before = lock.asked.get(selection.base)
    where = f"{selection.name} for {selection.target.key}"
    again = f"build {selection.name} without --frozen, which records what the archive has now"
    if before is None:
        raise IngotError(
            f"{where} is not frozen: nothing is recorded of what the system's own archive adds to {selection.base}",
            place=str(selection.lock_path),
            hint=again,
        )
    if wrong := list(differing(before, answer).values()):
        more = f"; and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        moved = "" if answer.dated else ", which has moved on"
        raise IngotError(
            f"{where} differs from the archive of {before.date}{moved}: {'; '.join(wrong[:NAMED])}{more}",
            place=str(selection.lock_path),
            hint=again,
        )
