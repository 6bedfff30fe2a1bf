"""Says what is in a finished AMI, from its lock and from the files that its two instances have left."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingot.image import sbom, verdict
from ingot.image.space import by_component
from ingot.lock import asked
from ingot.lock.grade import grades
from ingot.model.target import ImageSelection


def contents(selection: ImageSelection, folder: Path) -> dict[str, Any]:
    """What the report says of the contents of a finished AMI, from the files that its two instances have left."""
    space, boot, manifest = (
        json.loads((folder / name).read_text()) for name in ("space.json", "boot.json", verdict.MANIFEST)
    )
    target, lock = selection.target, selection.lock
    return {
        "image": selection.name,
        "stack": target.stack,
        "os": target.os,
        "arch": target.arch,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "declared": {name: component.version for name, component in lock.components.items()},
        "observed": manifest["observed"],
        "grades": {name: pin.grade for name, pin in grades(lock).items()},
        "left_out": lock.left_out,
        "space": by_component(space, lock),
        "packages": sbom.versions((folder / "packages.tsv").read_text()),
        "boot": boot,
        "asked": _asked(selection),
    }


def _asked(selection: ImageSelection) -> dict[str, Any]:
    """What roles added from the system's own archive: its date, and the packages by version and grade."""
    answer = selection.lock.asked.get(selection.base)
    return {"date": answer.date, "packages": asked.graded(answer)} if answer else {}
