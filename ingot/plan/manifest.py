"""Reads the manifest of a finished image or container, whose shape is checked once, here."""

from dataclasses import dataclass
from typing import Any

from ingot.errors import IngotError

HINT = "give the manifest.json that a build writes next to its disk"


@dataclass(frozen=True)
class Manifest:
    """What a manifest says: versions that were declared and observed, and where EFA came from."""

    image: str
    stack: str
    os: str
    arch: str
    declared: dict[str, str]
    observed: dict[str, str]
    details: dict[str, str]
    packages: dict[str, str]
    left_out: dict[str, str]
    efa_source: str | None

    @staticmethod
    def of(data: Any, place: str) -> "Manifest":
        """The manifest in `data`, read from `place`; IngotError names what is not as it must be."""
        if not isinstance(data, dict) or "observed" not in data or "declared" not in data:
            raise IngotError("not a manifest of an image", place=place, hint=HINT)
        declared = _mapping(data["declared"], "declared", place)
        entries = _mapping(declared.get("components"), "declared.components", place)
        brought = _mapping(data.get("brought"), "brought", place)
        for name, entry in entries.items():
            if not isinstance(entry, dict) or not isinstance(entry.get("version", 0), (str, type(None))):
                raise IngotError(f"not a manifest: declared.components.{name} has no version", place=place, hint=HINT)
        efa = entries.get("efa", {}).get("source")
        return Manifest(
            image=str(data.get("image", "")),
            stack=str(declared.get("stack", "")),
            os=str(declared.get("os", "")),
            arch=str(declared.get("arch", "")),
            declared={str(name): entry.get("version") or "" for name, entry in entries.items()},
            observed=_texts(data["observed"], "observed", place),
            details=_texts(data.get("details"), "details", place),
            packages=_texts(data.get("packages"), "packages", place),
            left_out=_texts(declared.get("left_out"), "declared.left_out", place),
            # Every base image has EFA by its installer.
            efa_source=efa if isinstance(efa, str) else "base_image" if "efa" in brought else None,
        )


def _mapping(table: Any, what: str, place: str) -> dict[Any, Any]:
    if table is not None and not isinstance(table, dict):
        raise IngotError(f"not a manifest: {what} must be a mapping", place=place, hint=HINT)
    return table or {}


def _texts(table: Any, what: str, place: str) -> dict[str, str]:
    return {str(name): text for name, text in _mapping(table, what, place).items() if isinstance(text, str)}
