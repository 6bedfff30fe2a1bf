"""Sums up what takes the space of an image, by component, and lays it out as a map."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ingot.model.lock import Lock

# What belongs to no component.
SYSTEM, UNOWNED = "base system", "no package"


def by_component(found: Mapping[str, Mapping[str, int]], lock: Lock) -> dict[str, dict[str, int]]:
    """Bytes by component and package, the largest first, from what the probe has found in an image of `lock`.

    A package that several components bring counts for the first of them.
    """
    owners: dict[str, str] = {}
    for name, entry in lock.components.items():
        for package in (*entry.packages, *entry.exact, *entry.files):
            owners.setdefault(package, name)
    for package, archived in lock.packages.items():
        first = next((name for name in lock.components if name in archived.by), "")
        owners.setdefault(package, first or SYSTEM)
    groups: dict[str, dict[str, int]] = {}
    for package, size in found["packages"].items():
        groups.setdefault(owners.get(package, SYSTEM), {})[package] = size
    groups[UNOWNED] = dict(found["folders"])
    return {
        name: dict(sorted(parts.items(), key=lambda part: (-part[1], part[0])))
        for name, parts in sorted(groups.items(), key=lambda group: (-sum(group[1].values()), group[0]))
    }


@dataclass(frozen=True)
class Box:
    """A rectangle, in per cent of the map that it is in."""

    name: str
    size: int
    x: float
    y: float
    width: float
    height: float


def squarified(sizes: Mapping[str, int], shape: float = 1.0) -> list[Box]:
    """Boxes as near to squares as they get, whose areas are as the sizes; the map is `shape` times as wide as high.

    Bruls, Huizing and van Wijk, Squarified Treemaps, https://vanwijk.win.tue.nl/stm.pdf.
    """
    left = [(name, size) for name, size in sorted(sizes.items(), key=lambda item: -item[1]) if size > 0]
    whole = sum(size for _, size in left)
    x = y = 0.0
    width, height = shape, 1.0
    boxes: list[Box] = []
    while left:
        side = min(width, height)
        scale = width * height / sum(size for _, size in left)
        count = 1
        while count < len(left) and _worst(left[: count + 1], side, scale) <= _worst(left[:count], side, scale):
            count += 1
        row, left = left[:count], left[count:]
        depth = sum(size for _, size in row) * scale / side
        at = 0.0
        for name, size in row:
            long = size * scale / depth
            place = (x, y + at, depth, long) if width >= height else (x + at, y, long, depth)
            boxes.append(_box(name, size, place, shape))
            at += long
        if width >= height:
            x, width = x + depth, width - depth
        else:
            y, height = y + depth, height - depth
    assert sum(box.size for box in boxes) == whole
    return boxes


def _worst(row: Sequence[tuple[str, int]], side: float, scale: float) -> float:
    """The ratio of the sides of the least square box, were this the row along `side`."""
    areas = [size * scale for _, size in row]
    total = sum(areas)
    return max(side * side * max(areas) / total**2, total**2 / (side * side * min(areas)))


def _box(name: str, size: int, place: tuple[float, float, float, float], shape: float) -> Box:
    return Box(name, size, *(round(100 * value / of, 3) for value, of in zip(place, (shape, 1, shape, 1), strict=True)))


def largest(parts: Mapping[str, int], count: int) -> Iterator[tuple[str, int]]:
    """The `count` largest, and the others in one."""
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    yield from ordered[:count]
    if rest := ordered[count:]:
        yield f"{len(rest)} others", sum(size for _, size in rest)
