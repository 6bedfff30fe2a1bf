"""NeMo-Run starts the same training on this machine, and prints what it would submit to Slurm."""

import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from ingot.container import smoke
from ingot.container.build import CONTAINERS
from tests.artifacts import docker

pytestmark = [pytest.mark.docker, pytest.mark.network, pytest.mark.slow]

EXPERIMENT = ["python", "/opt/ingot/nemo/experiment.py"]
Built = Callable[[str], dict[str, Any]]


def test_the_local_executor_trains(built: Built) -> None:
    said = docker("run", "--rm", *smoke.CONFINED, built("nemo")["tag"], *EXPERIMENT, "local")
    # NeMo-Run prefixes each line with the task, and torchrun with the rank.
    lines = [re.sub(r"^train/0 (\[default\d\]:)?", "", line) for line in said.splitlines()]
    assert smoke.judge(smoke.records("\n".join(lines)), smoke.read(CONTAINERS / "nemo").expect) == []


def test_a_dry_run_for_slurm_prints_a_batch_script_of_one_torchrun_a_node(built: Built) -> None:
    options = ["--nodes=4", "--processes=8", "--partition=gpu", "--container=registry.example/nemo:1", "--steps=20"]
    tag = built("nemo")["tag"]
    words = ["docker", "run", "--rm", *smoke.CONFINED, tag, *EXPERIMENT, "slurm", "--dry-run", *options]
    script = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert script.startswith("#!/bin/bash\n")
    settings = re.findall(r"^#SBATCH --(\S+)", script, re.MULTILINE)
    assert "account" not in str(settings)
    assert {"job-name=nemo-train", "nodes=4", "ntasks-per-node=1", "partition=gpu", "time=01:00:00"} < set(settings)
    [command] = [line for line in script.splitlines() if "torchrun" in line]
    assert command.startswith("srun ")
    assert "--container-image registry.example/nemo:1" in command
    assert "--nnodes 4 --nproc-per-node 8 --node-rank $SLURM_NODEID" in command
    assert command.endswith("/opt/ingot/nemo/train.py --steps=20")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_a_dry_run_here_prints_the_command(built: Built) -> None:
    said = docker("run", "--rm", *smoke.CONFINED, built("nemo")["tag"], *EXPERIMENT, "local", "--dry-run")
    assert "'torchrun'" in said
    assert '{"event"' not in said
