"""Shows what a lock puts into an image, the reason for each version, and what is left out, before anything is built."""

from collections.abc import Collection
from typing import Any

from ingot.catalog.catalog import Catalog
from ingot.catalog.instance_types import describe
from ingot.catalog.rules import SEVERITIES, broken, locked_parts
from ingot.lock import select
from ingot.lock.grade import Pin, counts, grades
from ingot.model.lock import LockedComponent
from ingot.model.target import ImageSelection, Target
from ingot.model.types import BASE_IMAGE
from ingot.plan.audit import of_plan
from ingot.plan.fit import findings
from ingot.plan.solve import context_of, relock


def of_selection(selection: ImageSelection, catalog: Catalog, instance_type: str = "") -> dict[str, Any]:
    """The plan as data: components with version, grade, source and reason; what is left out; download in bytes;
    findings, worst first. Sizes are None if the lock's packages are not resolved."""
    lock, base = selection.lock, selection.base
    pins = grades(lock, selection.fixed)
    resolved = bool(lock.packages)
    return {
        "image": selection.name,
        "stack": lock.stack,
        "os": lock.os,
        "arch": lock.arch,
        "components": {name: _component(selection, name, entry, pins[name]) for name, entry in lock.components.items()},
        "grades": counts(pins.values()),
        "left_out": lock.left_out,
        "brought": {name: brought.version for name, brought in selection.brought.items()},
        "accepted": lock.accepted,
        "base_image": lock.images[base].name if base in lock.images else None,
        "unresolved": {name: pin.lacks for name, pin in pins.items() if pin.grade == "unresolved"},
        "packages": len(lock.packages) if resolved else None,
        "download_bytes": sum(package.size for package in lock.packages.values()) if resolved else None,
        "installed_bytes": sum(package.installed for package in lock.packages.values()) * 1024 if resolved else None,
        "instance_type": instance_type or None,
        "findings": _findings(selection, catalog, instance_type),
        "advisories": of_plan(selection, catalog),
    }


def _component(selection: ImageSelection, name: str, entry: LockedComponent, pin: Pin) -> dict[str, Any]:
    """A component as its row: of what the base image brings, the base image's version, or none where nobody knows it
    before the image is there."""
    graded = {"grade": pin.grade, "lacks": pin.lacks}
    if name not in selection.fixed:
        return {"version": entry.version, **graded, "source": entry.source, "why": entry.why, "hold": entry.hold}
    brought = selection.fixed[name]
    why = f"The base image brings {'it' if not brought.note else f'it: {brought.note}'}."
    return {"version": brought.version, **graded, "source": BASE_IMAGE, "why": why, "hold": False}


def _findings(selection: ImageSelection, catalog: Catalog, instance_type: str) -> list[dict[str, Any]]:
    """The rules that the image breaks, and its mismatches with the instance type."""
    lock, image = selection.in_image, selection.image
    context = context_of(lock.os, lock.arch, image.platform, image.accelerator, instance_type)
    problems = [
        {
            "severity": problem.severity,
            "message": problem.message,
            "rule": problem.rule,
            "fix": f"change the stack or image so that {problem.rule} holds, or accept it in the stack with a reason",
            "sources": [problem.source],
        }
        for problem in broken(locked_parts(lock.components), catalog.components, context, lock.accepted)
    ]
    problems += findings(lock, image, describe(instance_type)) if instance_type else []
    return sorted(problems, key=lambda problem: SEVERITIES.index(problem["severity"]))


def plan(
    catalog: Catalog,
    target: Target,
    image: str,
    instance_type: str = "",
    settings: Collection[str] = (),
) -> dict[str, Any]:
    """The plan of the committed lock, which must be current; with an instance type, its mismatches as well.

    With `settings`, the plan of the stack resolved again with them: IngotError with the chain of reasons if none fits.
    """
    if settings:
        lock = relock(catalog, target, catalog.image(image), settings, instance_type)
        selection = select.image_of_lock(catalog, target, image, lock)
    else:
        selection = select.image(catalog, target, image)
    return of_selection(selection, catalog, instance_type)
