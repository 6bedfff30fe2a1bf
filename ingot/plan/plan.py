"""Says what a lock will put into an image, why each version, and what was left out, before anything is built."""

from collections.abc import Collection
from typing import Any

from ingot.catalog.catalog import Catalog
from ingot.catalog.instance_types import describe
from ingot.catalog.rules import SEVERITIES, broken, locked_parts
from ingot.lock import select
from ingot.model.target import ImageSelection, Target
from ingot.plan.fit import findings
from ingot.plan.solve import context_of, relock


def of_selection(selection: ImageSelection, catalog: Catalog, instance_type: str = "") -> dict[str, Any]:
    """The plan as data: components with version, source and reason; what is left out; download in bytes; findings, the
    worst first. Sizes are None where no index has been read."""
    lock, base = selection.lock, selection.base
    known = bool(lock.packages)
    return {
        "image": selection.name,
        "stack": lock.stack,
        "os": lock.os,
        "arch": lock.arch,
        "components": {
            name: {"version": entry.version, "source": entry.source, "why": entry.why, "hold": entry.hold}
            for name, entry in lock.components.items()
        },
        "left_out": lock.left_out,
        "brought": selection.brought,
        "accepted": lock.accepted,
        "unresolved": {n: w for n, w in lock.unresolved.items() if n in lock.components or n == f"base_image.{base}"},
        "packages": len(lock.packages) if known else None,
        "download_bytes": sum(package.size for package in lock.packages.values()) if known else None,
        "installed_bytes": sum(package.installed for package in lock.packages.values()) * 1024 if known else None,
        "instance_type": instance_type or None,
        "findings": _findings(selection, catalog, instance_type),
    }


def _findings(selection: ImageSelection, catalog: Catalog, instance_type: str) -> list[dict[str, Any]]:
    """The rules that the image breaks, and what does not fit the instance type."""
    lock, row = selection.lock, selection.image
    context = context_of(lock.os, lock.arch, row.platform, row.accelerator, instance_type)
    found = [
        {
            "severity": each.severity,
            "message": each.message,
            "rule": each.rule,
            "fix": f"change the stack or the image so that {each.rule} holds, or accept it in the stack and say why",
            "sources": [each.source],
        }
        for each in broken(locked_parts(lock.components), catalog.components, context, lock.accepted)
    ]
    found += findings(lock, row, describe(instance_type)) if instance_type else []
    return sorted(found, key=lambda each: SEVERITIES.index(each["severity"]))


def plan(
    catalog: Catalog,
    target: Target,
    image: str,
    instance_type: str = "",
    settings: Collection[str] = (),
) -> dict[str, Any]:
    """The plan of the committed lock, which must be that of the catalog as it is; with a type, what does not fit it.

    With `settings`, of the stack resolved anew with them: IngotError with the chain of reasons when nothing fits.
    """
    if settings:
        lock = relock(catalog, target, catalog.image(image), settings, instance_type)
        selection = select.image_of_lock(catalog, target, image, lock)
    else:
        selection = select.image(catalog, target, image)
    return of_selection(selection, catalog, instance_type)
