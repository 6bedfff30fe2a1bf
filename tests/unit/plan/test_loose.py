"""Settings that no grammar here reads are found by their names and what follows."""

import pytest

from ingot.plan.loose import loosely
from ingot.plan.script import How


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('A_B = "c d"', [("A_B", "c d", 1)]),
        ('os.environ["A_B"] = "1"', [("A_B", "1", 1)]),
        ("os.environ.setdefault('A_B', '1')", [("A_B", "1", 1)]),
        ('{"A_B": "1", "C_D": 2}', [("A_B", "1", 1), ("C_D", "2", 1)]),
        ("export A_B := 1", [("A_B", "1", 1)]),
        ('name = "A_B"\n  value = "1"', [("A_B", "1", 1)]),
        ("- name: A_B\n  value: 1", [("A_B", "1", 1)]),
        ("A_B = module.value", [("A_B", None, 1)]),
        ("# A_B = 1\n// A_B = 1", []),
        ("the variable A_B is", []),
    ],
)
def test_settings_are_found_line_by_line(text: str, expected: list[tuple[str, str | None, int]]) -> None:
    assert [(one.name, one.value, one.line) for one in loosely(text, 1, How())] == expected
