"""What a job's files set is found with its line, and what only looks like it is not."""

import time
from pathlib import Path

import pytest

from ingot.catalog.settings import read_settings
from ingot.errors import IngotError
from ingot.plan.check import judged
from ingot.plan.jobfiles import job_file, settings


def found(tmp_path: Path, name: str, text: str) -> list[tuple[str, str | None, int]]:
    """(variable, value, line) of a file with this name and text."""
    file = tmp_path / name
    file.write_text(text)
    return [(each.name, each.value, int(each.place.removeprefix(f"{file}:"))) for each in settings(file)]


def test_a_file_of_unknown_kind_is_a_script(tmp_path: Path) -> None:
    assert found(tmp_path, "job.sbatch", "#!/bin/bash\nexport A=1\n") == [("A", "1", 2)]


@pytest.mark.parametrize(
    "name", ["Dockerfile", "Containerfile", "Dockerfile.gpu", "train.dockerfile", "Dockerfile-gpu", "build"]
)
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
    (tmp_path / "job.sh").write_bytes(b"\x7fELF\0\1")
    for path in (tmp_path, tmp_path / "job.sh"):
        with pytest.raises(IngotError, match="cannot be read") as caught:
            settings(path)
        assert caught.value.place == str(path)


PAIR = [("RDMAV_FORK_SAFE", "1"), ("NCCL_NET_GDR_LEVEL", "LOC")]
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: ${JOB_NAME}}
spec:
  containers:
    - name: train
      image: {{ .Values.image }}
      env:
        {{- if .Values.debug }}
        - name: RDMAV_FORK_SAFE
          value: "1"
        {{- end }}
        - {name: NCCL_NET_GDR_LEVEL, value: LOC}
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pod.yaml", POD),
        ("pod.yaml-template", POD),
        ("pod.tmpl", POD),
        ("pod.yaml.j2", POD.replace("{{- if .Values.debug }}", "{% if debug %}").replace("{{- end }}", "{% endif %}")),
        ("submit.sh", f"#!/bin/bash\ncat <<EOF | kubectl apply -f -\n{POD}EOF\n"),
        ("submit.sh", f"kubectl apply -f - <<EOF\n{POD}EOF\n"),
        (
            "compose.yaml",
            "services:\n  a:\n    environment:\n      RDMAV_FORK_SAFE: 1\n      NCCL_NET_GDR_LEVEL: LOC\n",
        ),
        ("compose.yml", "services:\n  a:\n    environment: [RDMAV_FORK_SAFE=1, NCCL_NET_GDR_LEVEL=LOC]\n"),
        ("compose.yml", 'services:\n  a:\n    command: sh -c "RDMAV_FORK_SAFE=1 NCCL_NET_GDR_LEVEL=LOC x"\n'),
        (
            "config.yaml",
            "kind: ConfigMap\ndata:\n  RDMAV_FORK_SAFE: '1'\n  run.sh: |\n    export NCCL_NET_GDR_LEVEL=LOC\n",
        ),
        (
            "task.dstack.yml",
            "env:\n  - RDMAV_FORK_SAFE=1\ncommands:\n  - export NCCL_NET_GDR_LEVEL=LOC\n  - torchrun x\n",
        ),
        ("values.yaml", "env: {RDMAV_FORK_SAFE: '1'}\nextraEnvVars:\n  - {name: NCCL_NET_GDR_LEVEL, value: LOC}\n"),
        ("env_vars.json", '{"RDMAV_FORK_SAFE": "1",\n\t"NCCL_NET_GDR_LEVEL": "LOC"}\n'),
        (
            "job.cfn.yaml",
            "Environment:\n  - {Name: RDMAV_FORK_SAFE, Value: '1'}\nCommand: [mpirun, -x, NCCL_NET_GDR_LEVEL=LOC]\n",
        ),
        ("job.service", "[Service]\nEnvironment=RDMAV_FORK_SAFE=1 \\\n  NCCL_NET_GDR_LEVEL=LOC\n"),
        ("Dockerfile-gpu", 'FROM a\nENV RDMAV_FORK_SAFE=1\nENTRYPOINT ["env", "NCCL_NET_GDR_LEVEL=LOC", "x"]\n'),
        ("Dockerfile", "FROM a\nENV RDMAV_FORK_SAFE=1\nCMD export NCCL_NET_GDR_LEVEL=LOC && x\n"),
        ("main.tf", 'environment = [{\n  name = "RDMAV_FORK_SAFE"\n  value = "1"\n}]\nNCCL_NET_GDR_LEVEL = "LOC"\n'),
        ("launch.py", 'os.environ["RDMAV_FORK_SAFE"] = "1"\nos.environ.setdefault("NCCL_NET_GDR_LEVEL", "LOC")\n'),
        (
            "submit.sh",
            """aws batch submit-job --container-overrides '{"environment": [{"name": "RDMAV_FORK_SAFE", "value": "1"},
  {"name": "NCCL_NET_GDR_LEVEL", "value": "LOC"}]}'\n""",
        ),
        (
            "job.yaml",
            "a: &e\n- {name: RDMAV_FORK_SAFE, value: 1}\n- {name: NCCL_NET_GDR_LEVEL, value: LOC}\nb: *e\nc: *e\n",
        ),
    ],
)
def test_variables_are_found_in_files_of_any_kind(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    file = job_file(tmp_path / name, judged(read_settings()))
    assert [(each.name, each.value) for each in file.settings] == PAIR
    assert file.unclear is None
    for each in file.settings:
        assert each.name in text.splitlines()[int(each.place.rpartition(":")[2]) - 1]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_a_text_is_read_in_any_usual_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "job.sh").write_bytes("# é\r\nexport A=1\r\n".encode(encoding))
    assert [(each.name, each.value) for each in settings(tmp_path / "job.sh")] == [("A", "1")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested more than 100 levels deep"),
        ('{"a":' * 100_000, "nested more than 100 levels deep"),
        ("&a [*a]", "inside of what it stands for"),
        (
            "a: &a x\n"
            + "".join(f"a{at}: &a{at} [{'*a' + str(at - 1) if at else '*a'}{', *a' * 8}]\n" for at in range(9)),
            "",
        ),
        (
            "a0: &a0 x\n" + "".join(f"a{at + 1}: &a{at + 1} [{', '.join([f'*a{at}'] * 9)}]\n" for at in range(9)),
            "aliases",
        ),
        ("? [a, b]\n: c\n? {a: b}\n: d\n", ""),
        ("a: \x07 b\n", ""),
        ("- \t- x: [}", "not valid YAML"),
    ],
)
def test_yaml_of_any_shape_is_read_or_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "job.yaml").write_text(text)
    if not message:
        assert settings(tmp_path / "job.yaml") == []
        return
    with pytest.raises(IngotError, match=message) as caught:
        settings(tmp_path / "job.yaml")
    assert caught.value.place.startswith(f"{tmp_path / 'job.yaml'}:")


def test_a_large_file_takes_time_by_its_size_alone(tmp_path: Path) -> None:
    texts = {
        "a.sh": "export NCCL_DEBUG=INFO\n" + "python train.py | tee log\n" * 40_000,
        "a.yaml": "- name: NCCL_DEBUG\n  value: INFO\n" + "- name: A\n  value: b\n" * 60_000,
        "Dockerfile": "FROM a\nENV NCCL_DEBUG=INFO\n" + "RUN x \\\n  y\n" * 80_000,
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        begin = time.process_time()
        assert [each.name for each in job_file(tmp_path / name, judged(read_settings())).settings] == ["NCCL_DEBUG"]
        assert time.process_time() - begin < 5
