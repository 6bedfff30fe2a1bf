"""The support matrix: the version of each component on each operating system."""

from ingot.catalog.catalog import Catalog
from ingot.lock.file import UNKNOWN, load, path_of, targets
from ingot.model.lock import Lock


def matrix(catalog: Catalog, stack: str) -> str:
    """A Markdown table of a stack's components by operating system, on x86_64."""
    locks = [load(path_of(target)) for target in targets(catalog, [stack], arch="x86_64")]
    lines = [f"| stack {stack} | {' | '.join(lock.os for lock in locks)} |", "|---" * (len(locks) + 1) + "|"]
    names = dict.fromkeys([*catalog.stacks[stack].pins, *(name for lock in locks for name in lock.left_out)])
    for name in names:
        lines.append(f"| `{name}` | {' | '.join(_cell(lock, name) for lock in locks)} |")
    return "\n".join(lines)


def _cell(lock: Lock, name: str) -> str:
    """The version of a component or part in a lock."""
    if name in lock.left_out:
        return "left out"
    return (lock.components[name].version or UNKNOWN) if name in lock.components else "included"
