"""`ingot launch` starts a program of the user's own by the same job files as those of containers."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.commandline import ingot

P5 = ["--instance-type", "p5.48xlarge", "--nodes", "2", "--os", "ubuntu2404"]
IMAGE = ["--container", "registry.example/mine:1"]


def launch(*words: str) -> str:
    done = ingot("launch", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_script_of_ones_own_is_what_torchrun_starts(tmp_path: Path) -> None:
    script = launch("slurm", "--script", "/fsx/my train.py", *IMAGE, *P5, "--", "--lr", "1e-4")
    assert "#SBATCH --job-name=my-train\n" in script
    assert "fsdp" not in script
    for name, body in {"srun": 'printf "%s\\n" "$@"', "scontrol": "echo node-1"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    env |= {"SLURM_JOB_NODELIST": "node-[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "7"}
    said = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=True).stdout
    words = said.splitlines()
    assert words[words.index("torchrun") + 2] == "--nproc-per-node=8"
    assert words[-3:] == ["/fsx/my train.py", "--lr", "1e-4"]


@pytest.mark.parametrize("scheduler", ["kubernetes", "jobset", "pytorchjob"])
def test_a_module_of_ones_own_runs_in_pods(scheduler: str) -> None:
    text = launch(scheduler, "--module", "team.train", "--name", "run-7", *IMAGE, *P5, "--", "--lr", "1e-4")
    documents = list(yaml.safe_load_all(text))
    assert {each["metadata"]["name"] for each in documents} == {"run-7"}
    assert text.count('- "-m"\n') == text.count('- "team.train"\n') == text.count('- "--lr"\n') > 0


def test_two_jobs_of_a_kind_have_names_of_their_own() -> None:
    first, second = (launch("slurm", "fsdp", "--name", name, *IMAGE, *P5) for name in ("fsdp-a", "fsdp-b"))
    assert "--job-name=fsdp-a\n" in first and "--job-name=fsdp-b\n" in second


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("slurm", "nothing to start"),
        ("slurm --script t.py", "needs a container or a machine image"),
        ("slurm --script t.py --module t --bare", "--script and --module exclude each other"),
        ("slurm fsdp --script t.py --bare", "fsdp and your own program exclude each other"),
        ("slurm --module a/b.py --bare", "--module: not a module: 'a/b.py'"),
        ("slurm --script t.py --bare --name My_Job", "--name: not a name for a job: 'My_Job'"),
        ("slurm --script t.py --bare --checkpoints /c", "does not write checkpoints"),
    ],
)
def test_what_cannot_be_started_is_refused_in_one_sentence(words: str, said: str) -> None:
    done = ingot("launch", *words.split(), "--instance-type", "hpc7a.48xlarge")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
