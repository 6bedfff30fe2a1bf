"""Lists pins that are due for review, and missing facts."""

from datetime import date

from ingot import paths
from ingot.catalog.catalog import Catalog
from ingot.catalog.instance_types import read_families
from ingot.lock.file import load


def stale(catalog: Catalog, today: date) -> list[str]:
    """One line per pin whose review was due before `today`, longest overdue first."""
    due = [
        (pin.review_after, f"{stack}: {name} {pin.version}, review was due {pin.review_after}: {pin.why}")
        for stack, entry in catalog.stacks.items()
        for name, pin in entry.pins.items()
        if pin.review_after < today
    ]
    return [line for _, line in sorted(due)]


def unresolved(catalog: Catalog) -> list[str]:
    """One line per thing without a sourced fact, in locks and among instance families."""
    lines = []
    for path in sorted(path for stack in catalog.stacks for path in paths.lock_dir(stack).glob("*.yml")):
        lock = load(path)
        lines += [f"lock {lock.stack} {lock.key}: {name}: {why}" for name, why in lock.unresolved.items()]
    return lines + [f"instance family {name}: {why}" for name, why in read_families(catalog.path).unresolved.items()]
