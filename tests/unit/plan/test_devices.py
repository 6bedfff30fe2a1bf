"""A job of several nodes that asks for no EFA, on a type that has it, is found before it runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.commandline import ingot

JOB = """\
kind: PyTorchJob
spec:
  pytorchReplicaSpecs:
    Worker:
      replicas: 2
      template:
        spec:
          nodeSelector: {node.kubernetes.io/instance-type: g5.12xlarge}
          containers:
          - name: pytorch
            resources:
              limits: {nvidia.com/gpu: 4}
"""
BATCH = """\
type: multinode
nodeProperties:
  numNodes: 2
  nodeRangeProperties:
  - targetNodes: '0:'
    container: {instanceType: p5.48xlarge, command: [x]}
"""


def found(tmp_path: Path, name: str, text: str, *options: str) -> list[tuple[str, int]]:
    """(severity, line) of what is found about devices."""
    (tmp_path / name).write_text(text)
    report: dict[str, Any] = json.loads(ingot("check", "--file", tmp_path / name, "--json", *options).stdout)
    places = [each for each in report["findings"] if each["rule"] == "efa-not-requested"]
    return [(each["severity"], int(each["place"].rpartition(":")[2])) for each in places]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (JOB, [("error", 8)]),
        (JOB.replace("replicas: 2", "replicas: ${NODES}"), [("error", 8)]),
        (JOB.replace("gpu: 4", "gpu: 4, vpc.amazonaws.com/efa: 1"), []),
        (JOB.replace("replicas: 2", "replicas: 1"), []),
        (JOB.replace("PyTorchJob", "Deployment"), []),
        # A type without EFA.
        (JOB.replace("g5.12xlarge", "g5.xlarge"), []),
        (JOB.replace("- name: pytorch", "- name: pytorch\n            securityContext: {privileged: true}"), []),
        (BATCH, [("error", 3)]),
        (BATCH.replace("[x]", "[x], linuxParameters: {devices: [{hostPath: /dev/infiniband/uverbs0}]}"), []),
        (BATCH.replace("numNodes: 2", "numNodes: 1"), []),
    ],
)
def test_a_manifest_of_several_nodes_without_efa_is_an_error(
    tmp_path: Path, text: str, expected: list[tuple[str, int]]
) -> None:
    assert found(tmp_path, "job.yaml", text) == expected


def test_a_type_that_the_file_does_not_name_is_the_option_s(tmp_path: Path) -> None:
    text = JOB.replace("nodeSelector: {node.kubernetes.io/instance-type: g5.12xlarge}", "restartPolicy: Never")
    assert found(tmp_path, "job.yaml", text) == []
    assert found(tmp_path, "job.yaml", text, "--instance-type", "p5.48xlarge") == [("error", 8)]
    # Variables of EFA say that it is meant.
    text = text.replace("- name: pytorch", "- name: pytorch\n            env: [{name: FI_PROVIDER, value: efa}]")
    assert found(tmp_path, "job.yaml", text) == [("warning", 8)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("docker run --gpus all \\\n  image x\n", [("warning", 1)]),
        ("docker run --gpus all \\\n  --device=/dev/infiniband/uverbs0 image x\n", []),
        ("docker run --privileged --gpus all image x\n", []),
        ('docker run --gpus all "${ARGS[@]}" image x\n', []),
        ("docker run image x\n# docker run --gpus all image\n", []),
        (f"kubectl apply -f - <<EOF\napiVersion: v1\n{JOB}EOF\n", [("error", 10)]),
    ],
)
def test_a_script_that_starts_containers_without_efa_is_told(
    tmp_path: Path, text: str, expected: list[tuple[str, int]]
) -> None:
    assert found(tmp_path, "job.sh", text, "--instance-type", "p5.48xlarge") == expected


@pytest.mark.parametrize("scheduler", ["slurm", "kubernetes", "jobset", "pytorchjob", "batch"])
@pytest.mark.parametrize("instance_type", ["p5.48xlarge", "trn1.32xlarge", "g5.xlarge"])
def test_what_ingot_writes_is_clean(tmp_path: Path, scheduler: str, instance_type: str) -> None:
    words = ("--instance-type", instance_type, "--nodes", "2", "--container", "registry.example/t:1")
    done = ingot("launch", scheduler, "fsdp", *words)
    assert done.returncode == 0, done.stderr
    name = {"slurm": "job.sbatch", "batch": "job.json"}.get(scheduler, "job.yaml")
    assert found(tmp_path, name, done.stdout, "--instance-type", instance_type) == []
    assert ingot("check", "--file", tmp_path / name).returncode == 0
