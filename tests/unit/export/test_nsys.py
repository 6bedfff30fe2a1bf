"""`ingot-nsys` profiles the ranks of a job that it is told to, each into a report of its own, and the others not."""

import os
import subprocess
from pathlib import Path

import pytest

from ingot.paths import ROOT

PROGRAM = ROOT / "roles" / "doctor" / "files" / "ingot-nsys"
# What it says of itself: its arguments, a line each.
NSYS = '#!/bin/sh\necho nsys\nfor word in "$@"; do echo "$word"; done\n'


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for PATH that has an `nsys`."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nsys").write_text(NSYS)
    (tmp_path / "bin" / "nsys").chmod(0o755)
    return tmp_path / "bin"


def run(tools: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{tools}{os.pathsep}/usr/bin{os.pathsep}/bin", **env}
    return subprocess.run(
        [str(PROGRAM), *words], env=environment, cwd=tools.parent, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("env", "name"),
    [
        ({"SLURM_PROCID": "3", "SLURM_JOB_ID": "17"}, "./17-rank%q{SLURM_PROCID}"),
        # torchrun's processes all are Slurm's one task of the node.
        ({"SLURM_PROCID": "0", "RANK": "3", "SLURM_JOB_ID": "17"}, "./17-rank%q{RANK}"),
        ({"OMPI_COMM_WORLD_RANK": "1"}, "./local-rank%q{OMPI_COMM_WORLD_RANK}"),
        ({"AWS_BATCH_JOB_ID": "ab-1#0", "RANK": "0"}, "./ab-1-0-rank%q{RANK}"),
        ({}, "./local-%h-%p"),
    ],
)
def test_a_report_is_named_after_its_rank(tools: Path, env: dict[str, str], name: str) -> None:
    done = run(tools, "echo", "a b", **env)
    assert (done.returncode, done.stderr) == (0, "")
    words = done.stdout.splitlines()
    assert words[:3] == ["nsys", "profile", "--trace=cuda,nvtx"]
    assert words[-3:] == [f"--output={name}", "echo", "a b"]


def test_reports_go_where_they_are_wanted_with_the_options_that_are(tools: Path) -> None:
    words = run(tools, "true", RANK="0", INGOT_NSYS_FOLDER="a b/c", INGOT_NSYS_OPTIONS="--delay=60 --duration=30")
    assert words.stdout.splitlines()[-4:] == [
        "--output=a b/c/local-rank%q{RANK}",
        "--delay=60",
        "--duration=30",
        "true",
    ]
    assert (tools.parent / "a b" / "c").is_dir()


@pytest.mark.parametrize(("rank", "profiled"), [("0", True), ("8", True), ("1", False), ("80", False)])
def test_only_the_ranks_that_are_named_are_profiled(tools: Path, rank: str, profiled: bool) -> None:
    done = run(tools, "echo", "trained", RANK=rank, INGOT_NSYS_RANKS="0,8")
    assert done.stdout.startswith("nsys\n") == profiled
    assert done.stdout.endswith("trained\n")


def test_how_the_program_ends_is_how_it_ends(tools: Path) -> None:
    assert run(tools, "sh", "-c", "exit 7", RANK="1", INGOT_NSYS_RANKS="0").returncode == 7


def test_without_nsight_it_says_so_and_starts_nothing(tools: Path) -> None:
    (tools / "nsys").unlink()
    done = run(tools, "echo", "trained", RANK="0")
    assert (done.returncode, done.stdout) == (127, "")
    assert "there is no nsys on the PATH" in done.stderr


def test_it_explains_itself(tools: Path) -> None:
    asked, wrong = run(tools, "--help"), run(tools)
    assert (asked.returncode, wrong.returncode) == (0, 1)
    assert asked.stdout == wrong.stdout
    assert asked.stdout.startswith("usage: ingot-nsys PROGRAM")
