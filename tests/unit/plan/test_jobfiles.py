"""What a job's files set is found with its line, and what only looks like it is not."""

import time
from pathlib import Path

import pytest

from ingot.errors import IngotError
from ingot.plan.jobfiles import settings


def found(tmp_path: Path, name: str, text: str) -> list[tuple[str, str | None, int]]:
    """(variable, value, line) of a file with this name and text."""
    file = tmp_path / name
    file.write_text(text)
    return [(each.name, each.value, int(each.place.removeprefix(f"{file}:"))) for each in settings(file)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("export A=1", [("A", "1", 1)]),
        ("export A=1 B='2 3'", [("A", "1", 1), ("B", "2 3", 1)]),
        ("export A", []),
        ("A=1", [("A", "1", 1)]),
        ("A=1 B=2 python train.py C=3", [("A", "1", 1), ("B", "2", 1)]),
        ("if true; then A=1 x; fi && B=2 y", [("A", "1", 1), ("B", "2", 1)]),
        ("(export A=1)", [("A", "1", 1)]),
        ("A+=:/lib", [("A", ":/lib", 1)]),
        ("env -i A=1 python B=2", [("A", "1", 1)]),
        ("sudo -E A=1 python", [("A", "1", 1)]),
        ("declare -x A=1", [("A", "1", 1)]),
        ("# export A=1", []),
        ("x # A=1", []),
        ("export A=b#c", [("A", "b#c", 1)]),
        ("export A='b # c'", [("A", "b # c", 1)]),
        ("echo 'A=1 is said'", []),
        ("export A=${B:-c d} C=$(e f)", [("A", "${B:-c d}", 1), ("C", "$(e f)", 1)]),
        ("export A=/b:$A", [("A", "/b:$A", 1)]),
        ("export A=it's", [("A", "it's", 1)]),
        ("python --option=A=1 -x A=1 -e B=2", []),
        ("#SBATCH --nodes=2\n#SBATCH --export=ALL,A=1,B=2  # why", [("A", "1", 2), ("B", "2", 2)]),
        ("##SBATCH --export=A=1", []),
        ("x #SBATCH --export=A=1", []),
        ("srun --export=ALL,A=1 python", [("A", "1", 1)]),
        ("srun --export ALL,A=1 python", [("A", "1", 1)]),
        # Slurm cuts at the commas of a value as well.
        ("srun --export=A=^docker,lo x", [("A", "^docker", 1)]),
        ("mpirun -n 2 -x A=1 -x PATH \\\n  -x B=2 ./all_reduce_perf", [("A", "1", 1), ("B", "2", 2)]),
        ("/opt/amazon/openmpi/bin/mpirun -x A=1 x", [("A", "1", 1)]),
        ("docker run -e A=1 --env B=2 --env=C=3 -e D image", [("A", "1", 1), ("B", "2", 1), ("C", "3", 1)]),
        ("srun bash -c 'export A=1\nB=2 python'", [("A", "1", 1), ("B", "2", 2)]),
        ("cat <<EOF > x\nexport A=don't\nEOF\nexport B=it's", [("A", "don't", 2), ("B", "it's", 4)]),
        ("mpirun x 2>&1 -x A=1", [("A", "1", 1)]),
        ("env -u A B=2 python", [("B", "2", 1)]),
        ("ID=$(sbatch --export=ALL,A=1 job.sh)", [("A", "1", 1), ("ID", "$(sbatch --export=ALL,A=1 job.sh)", 1)]),
        ("ID=`sbatch\\\n --export=A=1 x`", [("ID", "`sbatch\\\n --export=A=1 x`", 1), ("A", "1", 2)]),
        ('bash -c "export A=\\"b c\\""', [("A", "b c", 1)]),
        # What is not valid shell, or not yet, hides nothing after it.
        ("fi\n}\nexport A={{ a }}\nexport B=1", [("A", "{{", 3), ("B", "1", 4)]),
        ("if true; then\nexport A=1", [("A", "1", 2)]),
        ("cat <<EOF > x\nexport A=1\n\nexport B=2", [("A", "1", 2), ("B", "2", 4)]),
    ],
)
def test_a_script_sets(tmp_path: Path, text: str, expected: list[tuple[str, str | None, int]]) -> None:
    assert found(tmp_path, "job.sbatch", text) == expected


@pytest.mark.parametrize(
    "text",
    [
        ": <<'DOC'\nexport A=1\nDOC",
        "cat <<TXT\n  export A=1\nTXT",
        "cat <<TXT\n\n  export A=1\nTXT",
        "cat >&2 <<-TXT\n\texport A=1\n\tTXT\nexit 1",
        "usage() { cat <<'TXT'\n  export A=1   # for EFA\nTXT\n}",
        "export A=1\nunset A\nsrun x",
        "export A=1; echo $A\nunset -v B A",
        "A=1 && unset A",
        "if true; then A=1; unset A; fi",
        "if true; then A=1; fi; unset A",
        "declare -x A=1\nexport -n A",
        "export -n A=1",
    ],
)
def test_what_has_no_effect_is_not_set(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, "job.sh", text) == []


@pytest.mark.parametrize(
    "text",
    [
        # Text that goes on to another program, to a file or into a variable, or begins as a script, may be one.
        "bash <<EOF\nexport A=1\nEOF",
        "cat <<EOF | ssh host\nexport A=1\nEOF",
        "cat <<EOF > job.sh\nexport A=1\nEOF",
        "{ cat <<EOF\nexport A=1\nEOF\n} > job.sh",
        "cat <<EOF\n#!/bin/sh\nexport A=1\nEOF",
        'bash -c "$(cat <<EOF\nexport A=1\nEOF\n)"',
        # Something has run with it, or nobody knows whether it is taken away.
        "export A=1\nsrun x\nunset A",
        "A=1 srun x\nunset A",
        "export A=1\nif true; then unset A; fi\nsrun x",
        "export A=1\ntest -n x && unset A\nsrun x",
        "export A=1\n(unset A)\nsrun x",
        "export A=1\nforget() { unset A; }\nsrun x",
        "unset A\nexport A=1",
        "export A=1\nunset -f A",
    ],
)
def test_what_may_have_an_effect_is_set(tmp_path: Path, text: str) -> None:
    assert [(name, value) for name, value, _ in found(tmp_path, "job.sh", text)] == [("A", "1")]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("A=" + "x" * 1_000_000, 1),
        ("".join(f"cat <<END{at}\nexport A=1\n" for at in range(2000)), 2000),
        ("A=1\n" + "$(" * 50_000, 1),
        ("A=1\n" + '"$(' * 50_000, 1),
        ("A=1\n" + "a | " * 10_000, 1),
        ("A=1\n" + "(bash -c 'B=$(C=2 x)'\n" * 10_000, 20_001),
    ],
)
def test_the_time_grows_with_the_size_alone(tmp_path: Path, text: str, count: int) -> None:
    begin = time.process_time()
    assert len(found(tmp_path, "job.sh", text)) == count
    # Most take a tenth of a second; what grew with the square of the size took half a minute.
    assert time.process_time() - begin < 8


def test_a_long_script_is_read_whole(tmp_path: Path) -> None:
    block = 'run() {\n  cat > x <<EOF\nexport A=\'1\nEOF\n  echo "\n\n  B=2\n"\n  export C=3\n}\n'
    lines = found(tmp_path, "job.sh", block * 2000)
    assert lines == [item for at in range(2000) for item in (("A", "'1", 10 * at + 3), ("C", "3", 10 * at + 9))]


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


def test_a_dockerfile_sets_what_is_in_its_last_stage(tmp_path: Path) -> None:
    text = (
        "ARG FROM=cuda\nFROM base AS Common\nENV A=1\nFROM common AS build\nENV NO=1\nFROM ${FROM} as runtime\n"
        "ENV NO=1\nFROM --platform=linux/amd64 common\nCOPY --from=build /out /out\nENV B=2\n"
    )
    assert found(tmp_path, "Dockerfile", text) == [("A", "1", 3), ("B", "2", 10)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ARG KIND=gpu\nFROM a AS for-gpu\nENV A=1\nFROM b AS for-cpu\nENV B=1\nFROM for-${KIND}", ["A"]),
        ("FROM a AS for-gpu\nENV A=1\nFROM b AS for-cpu\nENV B=1\nFROM for-${KIND:-cpu}", ["B"]),
        ("ARG KIND\nFROM a AS for-gpu\nENV A=1\nFROM b AS for-cpu\nENV B=1\nFROM c AS d\nFROM for-$KIND", ["A", "B"]),
        ("FROM a AS b\nENV A=1\nFROM registry.example/b:$TAG\nENV B=1", ["B"]),
        ("FROM a\nRUN <<EOF\nENV A=1\nEOF\nENV B=1", ["B"]),
        ("FROM a\nRUN x && \\\n  cat <<-'EOF' > y <<Z\nENV A=1\n\tEOF\nENV A=1\nZ\nENV B=1", ["B"]),
        ("FROM a\nRUN cat <<<EOF << x\nENV A=1\nEOF\nENV B=1", ["A", "B"]),
        ("FROM a\nRUN <<EOF\nENV A=1\n", ["A"]),
    ],
)
def test_a_dockerfile_is_read_by_stage_and_without_here_documents(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    assert [name for name, _, _ in found(tmp_path, "Dockerfile", text)] == expected


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
    with pytest.raises(IngotError, match="is not YAML") as caught:
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
