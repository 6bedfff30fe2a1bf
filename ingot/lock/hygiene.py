"""Lists pins that are due for review, and how sure pins are."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

from ingot import paths
from ingot.catalog.catalog import Catalog
from ingot.catalog.instance_types import unknown_facts
from ingot.lock.file import load
from ingot.lock.grade import counts, grades


def stale(catalog: Catalog, today: date) -> list[str]:
    """One line per pin whose review was due before `today`, longest overdue first."""
    due = [
        (pin.review_after, f"{stack}: {name} {pin.version}, review was due {pin.review_after}: {pin.why}")
        for stack, entry in catalog.stacks.items()
        for name, pin in entry.pins.items()
        if pin.review_after < today
    ]
    return [line for _, line in sorted(due)]


def unresolved(catalog: Catalog) -> dict[str, Any]:
    """By lock, the number of components of each grade and what keeps components from the grade `digest`; and the
    facts of instance types that no source has."""
    locks = {}
    for path in sorted(path for stack in catalog.stacks for path in paths.lock_dir(stack).glob("*.yml")):
        lock = load(path)
        pins = grades(lock)
        less = {name: asdict(pin) for name, pin in pins.items() if pin.grade != "digest"}
        locks[f"{lock.stack} {lock.key}"] = {"grades": counts(pins.values()), "less": less}
    return {"locks": locks, "instance_types": unknown_facts(catalog.path)}


def lines(facts: Mapping[str, Any]) -> list[str]:
    """`unresolved` as lines."""
    found = []
    for name, lock in facts["locks"].items():
        total = ", ".join(f"{count} {grade}" for grade, count in lock["grades"].items())
        found += [f"lock {name}: {total}"]
        found += [f"lock {name}: {part}: {pin['grade']}, lacks {pin['lacks']}" for part, pin in lock["less"].items()]
    return found + [
        f"instance type {name}: no source has its {names}" for name, names in facts["instance_types"].items()
    ]
