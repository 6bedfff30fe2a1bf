"""The support matrix: the version of each component on each operating system."""

from collections.abc import Mapping

from ingot.catalog.catalog import Catalog
from ingot.lock.file import load, path_of, targets
from ingot.lock.grade import Pin, grades
from ingot.model.lock import Lock


def matrix(catalog: Catalog, stack: str) -> str:
    """A Markdown table of a stack's components by operating system, on x86_64."""
    locks = [load(path_of(target)) for target in targets(catalog, [stack], arch="x86_64")]
    pins = {lock.key: grades(lock) for lock in locks}
    lines = [f"| stack {stack} | {' | '.join(lock.os for lock in locks)} |", "|---" * (len(locks) + 1) + "|"]
    names = dict.fromkeys([*catalog.stacks[stack].pins, *(name for lock in locks for name in lock.left_out)])
    for name in names:
        lines.append(f"| `{name}` | {' | '.join(_cell(lock, pins[lock.key], name) for lock in locks)} |")
    return "\n".join(lines)


def _cell(lock: Lock, pins: Mapping[str, Pin], name: str) -> str:
    """The version of a component or part in a lock, or its grade if the lock has no version of it."""
    if name in lock.left_out:
        return "left out"
    return (lock.components[name].version or pins[name].grade) if name in lock.components else "included"
