"""What a job's files set is found with its line, and what only looks like it is not."""

from pathlib import Path

import pytest

from ingot.errors import IngotError
from ingot.plan.jobfiles import settings


def found(tmp_path: Path, name: str, text: str) -> list[tuple[str, str | None, int]]:
    """(variable, value, line) of a file with this name and text."""
    file = tmp_path / name
    file.write_text(text)
    return [(each.name, each.value, int(each.place.removeprefix(f"{file}:"))) for each in settings(file)]


def test_a_file_of_unknown_kind_is_a_script(tmp_path: Path) -> None:
    assert found(tmp_path, "job.sbatch", "#!/bin/bash\nexport A=1\n") == [("A", "1", 2)]


@pytest.mark.parametrize("name", ["Dockerfile", "Containerfile", "Dockerfile.gpu", "train.dockerfile"])
def test_a_dockerfile_sets_with_env_alone(tmp_path: Path, name: str) -> None:
    text = (
        'FROM base\n# ENV NO=1\nARG NO=1\nENV A=1 B="2 3" \\\n    # a comment\n\n    C=4 \\\n    D=5\n'
        "RUN export NO=1\nENV E f g\nenv H=/opt:$H\n"
    )
    assert found(tmp_path, name, text) == [
        ("A", "1", 4),
        ("B", "2 3", 4),
        ("C", "4", 7),
        ("D", "5", 8),
        ("E", "f g", 10),
        ("H", "/opt:$H", 11),
    ]


MANIFEST = """\
apiVersion: v1
kind: Pod
spec:
  containers:
    - name: train
      env:
        - name: A
          value: "1"
        - {name: B, value: c d}
        - name: D
          valueFrom: {fieldRef: {fieldPath: status.podIP}}
      command: [mpirun, -x, E=2]
      args:
        - -x
        - F=3
---
kind: MPIJob
spec:
  launcher:
    initContainers:
      - env:
          - {name: G, value: "4"}
        command: [bash, -c]
        args:
          - |
            set -e
            export H=5
"""


def test_a_manifest_of_any_kind_sets(tmp_path: Path) -> None:
    assert found(tmp_path, "job.yaml", MANIFEST) == [
        ("A", "1", 7),
        ("B", "c d", 9),
        ("D", None, 10),
        ("E", "2", 12),
        ("F", "3", 15),
        ("G", "4", 22),
        ("H", "5", 27),
    ]


def test_a_job_definition_of_aws_batch_sets(tmp_path: Path) -> None:
    text = '{"container": {\n "environment": [\n  {"name": "A", "value": "1"}],\n "command": ["env", "B=2", "x"]}}'
    assert found(tmp_path, "job.json", text) == [("A", "1", 3), ("B", "2", 4)]


def test_a_manifest_that_is_no_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(IngotError, match="not valid YAML") as caught:
        found(tmp_path, "job.yaml", "a: 1\nb: [c\n")
    assert caught.value.place.startswith(f"{tmp_path / 'job.yaml'}:")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(IngotError, match="there is no such file") as caught:
        settings(tmp_path / "job.sh")
    assert caught.value.place == str(tmp_path / "job.sh")


def test_what_is_no_text_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "job.sh").write_bytes(b"\xff\xfe")
    for path in (tmp_path, tmp_path / "job.sh"):
        with pytest.raises(IngotError, match="cannot be read") as caught:
            settings(path)
        assert caught.value.place == str(path)
