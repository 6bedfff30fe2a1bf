"""A configuration of NeMo 1 becomes a batch script that carries it; combinations that do not fit are refused."""

import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from ingot.container import smoke

pytestmark = [pytest.mark.docker, pytest.mark.network, pytest.mark.slow]


@pytest.fixture
def rendered(built: Callable[[str], dict[str, Any]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Renders the configuration with changes."""

    def render(*changes: str) -> subprocess.CompletedProcess[str]:
        program = ["python", "/opt/ingot/nemo-launcher/launch.py", *changes]
        words = ["docker", "run", "--rm", *smoke.CONFINED, built("nemo-launcher")["tag"], *program]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    return render


def test_the_script_carries_the_configuration(rendered: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    changes = ["training.trainer.num_nodes=4", "training.model.tensor_model_parallel_size=4", "cluster.partition=gpu"]
    done = rendered(*changes, "base_results_dir='/fsx/my runs'", "+env_vars.NCCL_DEBUG=info")
    assert done.returncode == 0, done.stderr
    script = done.stdout
    assert script.startswith("#!/bin/bash\n")
    assert {"#SBATCH --nodes=4", "#SBATCH --ntasks-per-node=8", "#SBATCH --partition=gpu"} < set(script.splitlines())
    assert "export NCCL_DEBUG=info\n" in script
    found = re.search(r"<<'(\w+)'\n(.*)\n\1\n", script, re.DOTALL)
    assert found
    training = yaml.safe_load(found[2])
    assert training["trainer"]["num_nodes"] == 4
    assert training["run"]["results_dir"] == "/fsx/my runs/gpt3_126m"
    assert training["model"]["ffn_hidden_size"] == 4 * training["model"]["hidden_size"]
    assert training["exp_manager"]["checkpoint_callback_params"]["model_parallel_size"] == 4
    assert "'--config-path=/fsx/my runs/gpt3_126m' --config-name=gpt3_126m" in script
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("training.trainer.num_nodes=3", "global_batch_size is 256, which 24 copies"),
        ("training.model.tensor_model_parallel_size=8", "num_attention_heads is 12, which"),
        ("training.model.pipeline_model_parallel_size=5", "num_layers is 12, which"),
        ("training.model.num_attention_heads=7", "hidden_size is 768, which"),
        ("training.model.tensor_model_parallel_size=3", "64 processes, and a model takes 3 x 1"),
        ("cluster.gpus_per_node=4", "cluster.gpus_per_node is 4"),
        ("data_dir=???", "data_dir"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_key(
    change: str, said: str, rendered: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = rendered(change)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "error: " in done.stderr
    assert said in done.stderr
