"""`ingot launch` renders what schedulers take, by the instance type and the rules about the environment."""

import json
import subprocess
from pathlib import Path
from typing import Any

import botocore.session
import kubernetes_validate
import pytest
import yaml
from botocore.validate import ParamValidator
from jsonschema import Draft202012Validator

from ingot.export.launch import enroot, settings_of
from tests.commandline import ingot

DATA = Path(__file__).parents[1] / "data" / "launch"
GOLDEN = {
    "fsdp.sbatch": [
        *("slurm", "fsdp", "--instance-type", "p5.48xlarge", "--nodes", "4", "--os", "ubuntu2404"),
        *("--container", "registry.example:5000/team/fsdp:1", "--checkpoints", "/fsx/run-1", "--", "--steps", "100"),
    ],
    "cpu-ddp.sbatch": ["slurm", "cpu-ddp", "--instance-type", "hpc7a.48xlarge", "--nodes", "2", "--bare"],
    **{
        f"fsdp{suffix}": [
            *(scheduler, "fsdp", "--instance-type", "p5en.48xlarge", "--nodes", "2", "--os", "al2023"),
            *("--container", "registry.example/fsdp:1", "--checkpoints", "/checkpoints", "--env", "HF_HOME=/tmp/it's"),
        ]
        for scheduler, suffix in {
            "kubernetes": ".yaml",
            "jobset": "-jobset.yaml",
            "pytorchjob": "-pytorchjob.yaml",
            "batch": "-batch.json",
        }.items()
    },
}


def closed(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    """The schema of a mapping that has no other keys."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


INTEGER, STRING, FLAG, ANY = {"type": "integer"}, {"type": "string"}, {"type": "boolean"}, {"type": "object"}
# What the templates may use of the schemas of the two kinds; a pod's and a job's are judged as Kubernetes' own. From
# config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml of https://github.com/kubernetes-sigs/jobset at 01078527 and
# pkg/apis/kubeflow.org/v1/{common,pytorch}_types.go of https://github.com/kubeflow/training-operator at 2f18ab7a.
SPECS = {
    "JobSet": closed(
        {
            "network": closed({"enableDNSHostnames": FLAG, "publishNotReadyAddresses": FLAG, "subdomain": STRING}),
            "failurePolicy": closed({"maxRestarts": INTEGER}),
            "replicatedJobs": {
                "type": "array",
                "items": closed({"name": STRING, "replicas": INTEGER, "template": ANY}, "name", "template"),
            },
        },
    ),
    "PyTorchJob": closed(
        {
            "nprocPerNode": STRING,
            "runPolicy": closed(
                {
                    "cleanPodPolicy": {"enum": ["All", "Running", "None"]},
                    "backoffLimit": INTEGER,
                    "activeDeadlineSeconds": INTEGER,
                    "ttlSecondsAfterFinished": INTEGER,
                }
            ),
            "pytorchReplicaSpecs": closed(
                dict.fromkeys(
                    ["Master", "Worker"],
                    closed(
                        {
                            "replicas": INTEGER,
                            "restartPolicy": {"enum": ["Always", "OnFailure", "Never", "ExitCode"]},
                            "template": ANY,
                        }
                    ),
                )
            ),
        },
        "pytorchReplicaSpecs",
    ),
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
    ("name", "version"), [("fsdp-jobset.yaml", "jobset.x-k8s.io/v1alpha2"), ("fsdp-pytorchjob.yaml", "kubeflow.org/v1")]
)
def test_a_cluster_that_has_the_kind_accepts_it(name: str, version: str) -> None:
    document = yaml.safe_load((DATA / name).read_text())
    assert document["apiVersion"] == version
    Draft202012Validator(SPECS[document["kind"]]).validate(document["spec"])
    metadata = {"name": "fsdp"}
    if document["kind"] == "JobSet":
        for each in document["spec"]["replicatedJobs"]:
            job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, **each["template"]}
            kubernetes_validate.validate(job, "1.36", strict=True)
    else:
        for each in document["spec"]["pytorchReplicaSpecs"].values():
            template = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": metadata, "template": each["template"]}
            kubernetes_validate.validate(template, "1.36", strict=True)
            assert [each["name"] for each in each["template"]["spec"]["containers"]] == ["pytorch"]


def pods(scheduler: str, *words: str) -> list[dict[str, Any]]:
    """The specs of the pods that a cluster would make."""
    found: list[dict[str, Any]] = []

    def below(node: Any) -> None:
        if isinstance(node, dict):
            found.extend([node] if "containers" in node else [])
            for value in node.values():
                below(value)
        elif isinstance(node, list):
            for value in node:
                below(value)

    below(list(yaml.safe_load_all(launch(scheduler, "fsdp", "--container", "a/b:1", *words))))
    return found


@pytest.mark.parametrize("scheduler", ["kubernetes", "jobset", "pytorchjob"])
def test_pods_are_the_same_whoever_makes_them(scheduler: str) -> None:
    first, *others = pods(scheduler, "--instance-type", "p5.48xlarge", "--nodes", "3", "--os", "ubuntu2404")
    plain = pods("kubernetes", "--instance-type", "p5.48xlarge", "--nodes", "3", "--os", "ubuntu2404")[0]
    assert others in ([], [first])
    assert first["containers"][0]["resources"] == plain["containers"][0]["resources"]
    command = first["containers"][0]["command"]
    assert command[:2] + command[3:4] == ["torchrun", "--nnodes=3", "--nproc-per-node=8"]
    near = first["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]
    assert near["topologyKey"] == "topology.kubernetes.io/zone"


def test_where_there_is_no_efa_nodes_may_be_anywhere() -> None:
    [pod] = pods("kubernetes", "--instance-type", "g5.xlarge", "--nodes", "2", "--os", "ubuntu2404")
    assert list(pod["affinity"]) == ["podAntiAffinity"]


def test_one_node_is_a_master_without_workers() -> None:
    words = ["--instance-type", "g5.xlarge", "--os", "ubuntu2404", "--container", "a/b:1"]
    job = yaml.safe_load(launch("pytorchjob", "fsdp", *words))
    assert list(job["spec"]["pytorchReplicaSpecs"]) == ["Master"]
    assert job["spec"]["runPolicy"]["backoffLimit"] == 0


@pytest.mark.parametrize(
    ("instance_type", "devices"),
    [
        ("p5en.48xlarge", [f"/dev/infiniband/uverbs{number}" for number in range(16)]),
        ("g5.xlarge", []),
        ("inf2.24xlarge", [f"/dev/neuron{number}" for number in range(6)]),
    ],
)
def test_aws_batch_accepts_the_job_definition(instance_type: str, devices: list[str]) -> None:
    words = ["--instance-type", instance_type, "--nodes", "2", "--os", "ubuntu2404", "--container", "a/b:1"]
    definition = json.loads(launch("batch", "fsdp", *words))
    service = botocore.session.get_session().get_service_model("batch")
    shape = service.operation_model("RegisterJobDefinition").input_shape
    report = ParamValidator().validate(definition, shape)
    assert not report.has_errors(), report.generate_report()
    [nodes] = definition["nodeProperties"]["nodeRangeProperties"]
    assert nodes["targetNodes"] == "0:1"
    assert [each["hostPath"] for each in nodes["container"]["linuxParameters"]["devices"]] == devices


def test_what_aws_batch_runs_is_a_command_that_a_shell_takes(tmp_path: Path) -> None:
    definition = json.loads((DATA / "fsdp-batch.json").read_text())
    [nodes] = definition["nodeProperties"]["nodeRangeProperties"]
    (tmp_path / "torchrun").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "torchrun").chmod(0o755)
    words = nodes["container"]["command"]
    for main, address in (
        ({}, "127.0.0.1"),
        ({"AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS": "10.0.0.1"}, "10.0.0.1"),
    ):
        env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "AWS_BATCH_JOB_NODE_INDEX": "1", **main}
        said = subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout.splitlines()
        assert said[1] == "--node-rank=1"
        assert said[3] == f"--master-addr={address}"
        assert said[5:] == ["/opt/ingot/fsdp/train.py", "--checkpoints", "/checkpoints"]


def test_one_node_asks_for_no_efa() -> None:
    words = ["kubernetes", "fsdp", "--nodes", "1", "--container", "a/b:1", "--instance-type", "p5.48xlarge"]
    jobs = [each for each in yaml.safe_load_all(launch(*words, "--os", "ubuntu2404")) if each["kind"] == "Job"]
    [train] = jobs[0]["spec"]["template"]["spec"]["containers"]
    assert train["resources"]["limits"] == {"nvidia.com/gpu": 8}


@pytest.mark.parametrize(
    ("instance_type", "limits", "processes"),
    [
        ("p5.48xlarge", {"nvidia.com/gpu": 8, "vpc.amazonaws.com/efa": 32, "hugepages-2Mi": "5120Mi"}, 8),
        ("g5.xlarge", {"nvidia.com/gpu": 1}, 1),
        ("trn1.32xlarge", {"aws.amazon.com/neuron": 16, "vpc.amazonaws.com/efa": 8, "hugepages-2Mi": "5120Mi"}, 32),
        # A process has a logical core, of two cores from Trainium2 on.
        ("trn2.48xlarge", {"aws.amazon.com/neuron": 16, "vpc.amazonaws.com/efa": 16, "hugepages-2Mi": "5120Mi"}, 64),
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
    old = {"aws_ofi_nccl": "1.5.0", "nccl": "2.19.3", "efa_installer": "1.28.0"}
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
        ("slurm fsdp --instance-type trn1.32xlarge", 2, "fsdp has no variant for neuron"),
        ("slurm pytorch --instance-type c5n.large", 2, "use one of bionemo, cpu-ddp, fsdp"),
        ("slurm fsdpp --instance-type c5n.large", 2, "did you mean 'fsdp'?"),
        ("slurm fsdp --instance-type p5.48xlarge --bare --processes 9", 2, "p5.48xlarge has 8"),
        ("slurm fsdp --instance-type c5n.large --processes -1", 2, "Invalid value for '--processes'"),
        ("batch fsdp --instance-type c5n.large --bare", 2, "batch always runs a container"),
        ("slrm fsdp --instance-type c5n.large", 2, "did you mean 'slurm'?"),
        ("slurm fsdp --instance-type p5.4xlarge --nodes 0", 2, "--nodes: 0 is not a number of nodes"),
        ("slurm fsdp --instance-type p5.47xlarge", 2, "p5.48xlarge"),
        (
            "slurm fsdp --instance-type trn3.48xlarge",
            2,
            "no source has vcpus, memory_mib, devices, efa of trn3.48xlarge",
        ),
        ("kubernetes fsdp --instance-type c5n.large --bare", 2, "kubernetes always runs a container"),
        ("slurm fsdp --instance-type c5n.large --bare --container a/b:1", 2, "exclude each other"),
        ("slurm cpu-ddp --instance-type c5n.large --checkpoints /c", 2, "does not write checkpoints"),
        ("slurm fsdp --instance-type c5n.large --checkpoints c", 2, "not an absolute path: 'c'"),
        ("slurm fsdp --instance-type c5n.large --env NAME", 2, "write NAME=VALUE"),
        ("slurm fsdp --instance-type c5n.large --env RDMAV_FORK_SAFE=1", 1, "--env [rdmav]"),
    ],
)
def test_what_does_not_go_together_is_refused_and_nothing_printed(words: str, status: int, said: str) -> None:
    done = ingot("launch", *words.split())
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr


def test_a_variable_of_the_job_wins_over_the_container_s_own_under_pyxis() -> None:
    words = ("slurm", "fsdp", "--instance-type", "p5.48xlarge", "--nodes", "2", "--env", "NCCL_NET_PLUGIN=ofi")
    assert "  --container-env=NCCL_NET_PLUGIN \\\n" in ingot("launch", *words).stdout
    assert "--container-env" not in ingot("launch", *words, "--bare").stdout
    assert "--container-env" not in ingot("launch", *words[:-2]).stdout


def test_what_takes_efa_away_is_refused_where_there_is_efa() -> None:
    words = ("slurm", "fsdp", "--env", "NCCL_NET=Socket", "--instance-type")
    done = ingot("launch", *words, "p5.48xlarge")
    assert (done.returncode, "[net-builtin]" in done.stderr) == (1, True)
    assert ingot("launch", *words, "g5.xlarge").returncode == 0
