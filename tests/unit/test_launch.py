"""`ingot launch` renders what schedulers take, by the instance type and the rules about the environment."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from commandline import ingot

from ingot.launch import enroot, settings_of

DATA = Path(__file__).parent / "data" / "launch"
GOLDEN = {
    "fsdp.sbatch": [
        *("slurm", "fsdp", "--instance-type", "p5.48xlarge", "--nodes", "4", "--os", "ubuntu2404"),
        *("--container", "registry.example:5000/team/fsdp:1", "--checkpoints", "/fsx/run-1", "--", "--steps", "100"),
    ],
    "cpu-ddp.sbatch": ["slurm", "cpu-ddp", "--instance-type", "hpc7a.48xlarge", "--nodes", "2", "--bare"],
    "fsdp.yaml": [
        *("kubernetes", "fsdp", "--instance-type", "p5en.48xlarge", "--nodes", "2", "--os", "al2023"),
        *("--container", "registry.example/fsdp:1", "--checkpoints", "/checkpoints", "--env", "HF_HOME=/tmp/it's"),
    ],
}


def launch(*words: str) -> str:
    done = ingot("launch", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", GOLDEN)
def test_what_is_rendered_is_what_was_reviewed(name: str) -> None:
    assert launch(*GOLDEN[name]) == (DATA / name).read_text()


@pytest.mark.parametrize("name", GOLDEN)
def test_what_is_rendered_obeys_the_rules_about_the_environment(name: str) -> None:
    on = GOLDEN[name][GOLDEN[name].index("--instance-type") + 1]
    done = ingot("check", "--file", DATA / name, "--instance-type", on, "--os", "ubuntu2404")
    assert done.stdout.startswith("0 error, 0 warning, 0 info"), done.stdout


@pytest.mark.parametrize("version", ["1.32", "1.36"])
def test_a_cluster_accepts_the_manifest(version: str) -> None:
    documents: list[dict[str, Any]] = list(yaml.safe_load_all((DATA / "fsdp.yaml").read_text()))
    assert [each["kind"] for each in documents] == ["Service", "Job"]
    for each in documents:
        kubernetes_validate.validate(each, version, strict=True)
    pod = documents[1]["spec"]["template"]["spec"]
    assert pod["containers"][0]["env"] == [{"name": "HF_HOME", "value": "/tmp/it's"}]


@pytest.mark.parametrize(
    ("instance_type", "limits", "processes"),
    [
        ("p5.48xlarge", {"nvidia.com/gpu": 8, "vpc.amazonaws.com/efa": 32, "hugepages-2Mi": "5120Mi"}, 8),
        ("g5.xlarge", {"nvidia.com/gpu": 1}, 1),
        ("trn1.32xlarge", {"aws.amazon.com/neuron": 16, "vpc.amazonaws.com/efa": 8, "hugepages-2Mi": "5120Mi"}, 16),
        ("hpc7a.48xlarge", {"vpc.amazonaws.com/efa": 2, "hugepages-2Mi": "5120Mi"}, 1),
    ],
)
def test_resources_are_those_of_the_instance_type(instance_type: str, limits: dict[str, Any], processes: int) -> None:
    words = ["kubernetes", "fsdp", "--nodes", "2", "--container", "a/b:1", "--instance-type", instance_type]
    job = list(yaml.safe_load_all(launch(*words, "--os", "ubuntu2404")))[1]
    train = job["spec"]["template"]["spec"]["containers"][0]
    assert train["resources"]["limits"] == limits
    assert f"--nproc-per-node={processes}" in train["command"]


def test_a_variable_that_a_rule_wants_is_set_with_the_reason() -> None:
    old = {"aws_ofi_nccl": "1.5.0", "nccl": "2.19.3", "efa_installer": "1.29.0"}
    found, remarks = settings_of([], old, "p4d.24xlarge", "nvidia")
    assert {each["name"]: each["value"] for each in found} == {
        "NCCL_PROTO": "simple",
        "FI_PROVIDER": "efa",
        "FI_EFA_USE_DEVICE_RDMA": "1",
        "FI_EFA_SET_CUDA_SYNC_MEMOPS": "0",
    }
    assert all(each["reason"] and each["source"].startswith("https://") for each in found)
    assert remarks == []


def test_a_value_of_ones_own_stands_and_is_judged() -> None:
    found, remarks = settings_of(["FI_PROVIDER=efa"], {"aws_ofi_nccl": "1.21.1"}, "p5.48xlarge", "nvidia")
    assert [(each["name"], each["value"]) for each in found] == [("FI_PROVIDER", "efa")]
    assert [(each["severity"], each["variable"]) for each in remarks] == [("info", "FI_PROVIDER")]


def test_advice_is_told_and_not_followed() -> None:
    done = ingot("launch", "slurm", "fsdp", "--instance-type", "g5.12xlarge", "--container", "a/b:1")
    assert "export" not in done.stdout
    assert "info: NCCL_SHM_USE_CUDA_MEMCPY" in done.stderr


@pytest.mark.parametrize(
    ("reference", "as_pyxis_writes_it"),
    [
        ("registry.example:5000/team/fsdp:1", "registry.example:5000#team/fsdp:1"),
        ("localhost/fsdp:1", "localhost#fsdp:1"),
        ("team/fsdp:1", "team/fsdp:1"),
        ("/fsx/fsdp.sqsh", "/fsx/fsdp.sqsh"),
    ],
)
def test_pyxis_separates_the_registry_by_a_hash(reference: str, as_pyxis_writes_it: str) -> None:
    assert enroot(reference) == as_pyxis_writes_it


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("slurm fsdp --instance-type p5.48xlarge", 2, "fsdp has no variant for nvidia"),
        ("slurm pytorch --instance-type c5n.large", 2, "name one of cpu-ddp, fsdp"),
        ("slurm fsdpp --instance-type c5n.large", 2, "did you mean 'fsdp'?"),
        ("slrm fsdp --instance-type c5n.large", 2, "did you mean 'slurm'?"),
        ("slurm fsdp --instance-type p5.4xlarge --nodes 0", 2, "--nodes: 0 nodes cannot train"),
        ("slurm fsdp --instance-type p5.47xlarge", 2, "p5.48xlarge"),
        ("kubernetes fsdp --instance-type c5n.large --bare", 2, "pods always run a container"),
        ("slurm fsdp --instance-type c5n.large --bare --container a/b:1", 2, "exclude each other"),
        ("slurm cpu-ddp --instance-type c5n.large --checkpoints /c", 2, "writes no checkpoints"),
        ("slurm fsdp --instance-type c5n.large --checkpoints c", 2, "'c' is no absolute path"),
        ("slurm fsdp --instance-type c5n.large --env NAME", 2, "write NAME=VALUE"),
        ("slurm fsdp --instance-type c5n.large --env RDMAV_FORK_SAFE=1", 1, "--env [rdmav]"),
    ],
)
def test_what_does_not_go_together_is_refused_and_nothing_printed(words: str, status: int, said: str) -> None:
    done = ingot("launch", *words.split())
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
