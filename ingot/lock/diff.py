"""Turns two locks, or two manifests, into release notes in Markdown."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingot.errors import IngotError
from ingot.model.image import Image
from ingot.model.lock import Lock
from ingot.textfile import read_json
from ingot.yamlfile import read

HINT = "give a lock (locks/…yml) or a manifest.json"


@dataclass(frozen=True)
class State:
    """The state in a lock or manifest: versions of components and packages, and what is left out."""

    title: str
    components: dict[str, str]
    packages: dict[str, str]
    left_out: dict[str, str]


def _versions(table: Any, what: str, path: Path) -> dict[str, str]:
    """Versions by name: of texts, or of entries with a version; IngotError if they are neither."""
    found = {}
    for name, entry in _mapping(table, what, path).items():
        version = entry.get("version") if isinstance(entry, dict) else entry
        if not isinstance(version, str):
            raise IngotError(f"{what}.{name} has no version", place=str(path), hint=HINT)
        found[str(name)] = version
    return found


def _mapping(table: Any, what: str, path: Path) -> dict[Any, Any]:
    if table is not None and not isinstance(table, dict):
        raise IngotError(f"{what} must be a mapping", place=str(path), hint=HINT)
    return table or {}


def state(path: Path) -> State:
    """The state that the lock (YAML) or manifest (JSON) at `path` records."""
    if path.suffix == ".json":
        data = read_json(path)
    else:
        data, _ = read(path)
    declared = data.get("declared", data) if isinstance(data, dict) else None
    if not isinstance(declared, dict) or "components" not in declared:
        raise IngotError("not a lock or manifest", place=str(path), hint=HINT)
    if missing := [key for key in ("stack", "os", "arch") if not isinstance(declared.get(key), str)]:
        raise IngotError(f"not a lock or manifest: it has no {missing[0]}", place=str(path), hint=HINT)
    components = _versions(declared["components"], "components", path)
    observed = _mapping(data.get("observed"), "observed", path)
    components |= {str(name): version for name, version in observed.items() if isinstance(version, str)}
    packages = _versions(data.get("packages"), "packages", path) | _versions(data.get("wheels"), "wheels", path)
    title = f"{declared['stack']} {declared['os']}-{declared['arch']}"
    left_out = {str(name): str(why) for name, why in _mapping(declared.get("left_out"), "left_out", path).items()}
    return State(title, components, packages, left_out)


def of_image(lock: Lock, name: str, image: Image) -> State:
    """The state of an AMI of `image`: its part of the lock, and what its base image brings, marked as brought."""
    part, base = lock.of(image.parts), lock.base_image(name, image)
    brings = lock.base_images[base].brings if base else {}
    components = {
        component: f"{brings[component].version or 'its own'} (base image)" if component in brings else entry.version
        for component, entry in part.components.items()
    }
    packages = {package: entry.version for package, entry in part.packages.items()}
    if base in lock.asked:
        packages |= {package: entry.version for package, entry in lock.asked[base].packages.items()}
    wheels = {wheel: entry.version for wheel, entry in part.wheels.items()}
    title = f"{lock.stack} {lock.key}"
    return State(title, components, packages | wheels, part.left_out)


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """The differences by name, as (before, after); None if it is missing."""
    names = sorted({*before, *after})
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def _table(
    heading: str, before: Mapping[str, str], after: Mapping[str, str], columns: tuple[str, str, str]
) -> list[str]:
    rows = [f"| {name} | {old or '–'} | {new or '–'} |" for name, (old, new) in changed(before, after).items()]
    if not rows:
        return []
    return [f"## {heading}", "", f"| {' | '.join(columns)} |", "|---|---|---|", *rows, ""]


def notes(before: State, after: State) -> str:
    """Release notes from one state to the next: what is changed, added, removed and left out."""
    lines = [f"# {before.title} → {after.title}", ""]
    lines += _table("Components", before.components, after.components, ("component", "before", "after"))
    lines += _table("Left out", before.left_out, after.left_out, ("component", "reason before", "reason after"))
    lines += _table("Packages", before.packages, after.packages, ("package", "before", "after"))
    if len(lines) == 2:
        lines += ["Nothing changed.", ""]
    return "\n".join(lines)
