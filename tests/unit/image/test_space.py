"""The map of an image shows every byte once, with the component that brings it."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ingot import paths
from ingot.image.space import SYSTEM, UNOWNED, by_component, largest, squarified
from ingot.lock import file as locks

LOCK = locks.load(paths.LOCKS / "2026.11" / "debian13-x86_64.yml")


def test_a_package_counts_for_the_component_that_brings_it() -> None:
    found = {"packages": {"docker.io": 50, "libc6": 10, "mystery": 1}, "folders": {"/opt/x": 7}}
    space = by_component(found, LOCK)
    assert space == {"docker": {"docker.io": 50}, SYSTEM: {"libc6": 10, "mystery": 1}, UNOWNED: {"/opt/x": 7}}
    assert list(space) == ["docker", SYSTEM, UNOWNED]


@given(some.dictionaries(some.text("abc", min_size=1), some.integers(0, 1 << 40), min_size=1), some.floats(0.2, 5))
def test_boxes_cover_the_map_in_proportion(sizes: dict[str, int], shape: float) -> None:
    boxes = squarified(sizes, shape)
    whole = sum(sizes.values())
    assert {box.name for box in boxes} == {name for name, size in sizes.items() if size}
    for box in boxes:
        assert -0.01 <= box.x <= 100.01
        assert box.x + box.width <= 100.02
        assert box.y + box.height <= 100.02
        # Sides are rounded to a thousandth of a per cent.
        assert box.width * box.height / 1e4 == pytest.approx(box.size / whole, abs=1e-4)


def test_small_parts_are_one() -> None:
    assert dict(largest({"a": 5, "b": 1, "c": 2, "d": 1}, 2)) == {"a": 5, "c": 2, "2 others": 2}
