"""YAML and JSON of any kind set variables in a few ways, and a template is read with its expressions as text."""

from pathlib import Path

import pytest

from ingot.plan.script import How
from ingot.plan.structured import structured


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("env:\n  A: 1\n", [("A", "1", 2)]),
        ("env: [{name: A, value: 1}]", [("A", "1", 1)]),
        ("env: [{name: A, valueFrom: {}}]", [("A", None, 1)]),
        ("env: [A=1, B]", [("A", "1", 1)]),
        ("x:\n  env_vars: {A: null}\n", [("A", "", 2)]),
        ("Environment:\n  Variables: {A: !Ref B}\n", [("A", None, 2)]),
        ("run: A=1 x\n", [("A", "1", 1)]),
        ("a: &a {env: {A: 1}}\nb: *a\nc: *a\n", [("A", "1", 1)]),
        ("env: {A: '{{ .Values.a }}'}", [("A", "{{ .Values.a }}", 1)]),
        ("env:\n  {{- range .Values.env }}\n  A: {{ .x }}\n  {{- end }}\n", [("A", "{{ .x }}", 3)]),
        ("env: {A: ${B}}\n", [("A", "${B}", 1)]),
        ("description: A=1 x\n", []),
    ],
)
def test_variables_are_found(text: str, expected: list[tuple[str, str | None, int]]) -> None:
    found = structured(text, Path("job.yaml"), 1, How())
    assert [(one.name, one.value, one.line) for one in found if one.sets] == expected
