"""A job that `ingot launch` writes queues where it is told, ends when it is told, and mounts what it is told."""

import json
from typing import Any

import pytest
import yaml

from tests.commandline import ingot
from tests.unit.export.test_program import IMAGE, P5, launch


def test_slurm_is_told_where_and_for_how_long() -> None:
    words = ["--partition", "gpu", "--account", "team-a", "--qos", "high", "--time", "36:30"]
    script = launch("slurm", "fsdp", *words, *IMAGE, *P5)
    options = [line for line in script.splitlines() if line.startswith("#SBATCH")]
    wanted = {"--partition=gpu", "--account=team-a", "--qos=high", "--time=1-12:30:00"}
    assert wanted <= {option.split()[1] for option in options}


@pytest.mark.parametrize("scheduler", ["kubernetes", "jobset", "pytorchjob"])
def test_kubernetes_is_told_where_and_for_how_long(scheduler: str) -> None:
    words = ["--namespace", "team-a", "--queue", "gpus", "--secret", "hub", "--time", "2:00"]
    text = launch(scheduler, "fsdp", *words, *IMAGE, *P5)
    documents = list(yaml.safe_load_all(text))
    assert {each["metadata"]["namespace"] for each in documents} == {"team-a"}
    queued = [each["metadata"].get("labels") for each in documents if each["kind"] != "Service"]
    assert queued == [{"kueue.x-k8s.io/queue-name": "gpus"}]
    assert "activeDeadlineSeconds: 7200\n" in text
    assert "secretRef" in text


def test_a_job_of_one_zone_takes_all_nodes_there_or_says_that_it_may_wait_for_ever() -> None:
    """Three free nodes in one zone and four in another: a job of four needs the second."""

    def spec(*words: str) -> tuple[dict[str, Any], str]:
        done = ingot("launch", "kubernetes", "fsdp", *words, *IMAGE, *P5)
        assert done.returncode == 0, done.stderr
        template: dict[str, Any] = list(yaml.safe_load_all(done.stdout))[1]["spec"]["template"]
        return template, done.stderr

    zone = "topology.kubernetes.io/zone"
    greedy, said = spec()
    required = greedy["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert [term["topologyKey"] for term in required] == [zone]
    assert "waits for ever" in said
    fixed, said = spec("--zone", "us-east-1b")
    assert fixed["spec"]["nodeSelector"][zone] == "us-east-1b"
    assert "requiredDuringSchedulingIgnoredDuringExecution" not in fixed["spec"]["affinity"]["podAffinity"]
    assert "waits" not in said
    together, said = spec("--queue", "gpus")
    assert together["metadata"]["annotations"] == {"kueue.x-k8s.io/podset-required-topology": zone}
    assert "podAffinity" not in together["spec"]["affinity"]
    assert "waits" not in said


def test_folders_are_mounted_where_the_program_looks() -> None:
    script = launch("slurm", "fsdp", "--mount", "/fsx/c4:/data", "--checkpoints", "/fsx/run", *IMAGE, *P5)
    assert "--container-mounts=/fsx/run:/fsx/run,/fsx/c4:/data " in script
    documents = yaml.safe_load_all(launch("kubernetes", "fsdp", "--mount", "datasets:/data", *IMAGE, *P5))
    pod = list(documents)[1]["spec"]["template"]["spec"]
    (mount,) = [each for each in pod["containers"][0]["volumeMounts"] if each["mountPath"] == "/data"]
    (volume,) = [each for each in pod["volumes"] if each["name"] == mount["name"]]
    assert volume["persistentVolumeClaim"] == {"claimName": "datasets"}
    batch = json.loads(launch("batch", "fsdp", "--mount", "/fsx/c4:/data", "--time", "1-00:00", *IMAGE, *P5))
    container = batch["nodeProperties"]["nodeRangeProperties"][0]["container"]
    assert container["volumes"][0]["host"] == {"sourcePath": "/fsx/c4"}
    assert container["mountPoints"][0]["containerPath"] == "/data"
    assert batch["timeout"] == {"attemptDurationSeconds": 86400}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("slurm fsdp --bare --mount /a:/b", "--mount: without a container nothing is mounted"),
        ("slurm fsdp --queue gpus", "--queue: slurm has no queue"),
        ("slurm fsdp --secret hub", "--secret: slurm has no secret"),
        ("kubernetes fsdp --partition gpu", "--partition: kubernetes has no partition"),
        ("batch fsdp --namespace a", "--namespace: batch has no namespace"),
        ("slurm fsdp --time 90", "--time: not a time: '90'"),
        ("slurm fsdp --account a;b", "--account: not a name: 'a;b'"),
        ("slurm fsdp --mount data:/data", "--mount: not a mount: 'data:/data'"),
        ("kubernetes fsdp --mount /data:/data", "write CLAIM:/data"),
        ("kubernetes fsdp --mount a:/data --mount b:/data", "/data is mounted twice"),
    ],
)
def test_what_a_scheduler_does_not_have_is_refused_in_one_sentence(words: str, said: str) -> None:
    done = ingot("launch", *words.split(), "--instance-type", "hpc7a.48xlarge")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
