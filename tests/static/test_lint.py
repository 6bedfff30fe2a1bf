"""Runs every linter over what it understands; each failure shows what the linter said."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ingot.paths import ROOT

BIN = Path(sys.executable).parent


def tracked(*patterns: str) -> list[str]:
    """The files that git knows or would know, those deleted left out."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted(name for name in set(listed) if (ROOT / name).is_file())


def check(*words: str, **env: str) -> None:
    """Run a linter; what it complains about is the failure."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **env}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(words[:3])} ended with {done.returncode}\n{done.stdout}{done.stderr}", pytrace=False)


@pytest.mark.parametrize(
    "words",
    [
        ["ruff", "check", "--quiet", "."],
        ["ruff", "format", "--quiet", "--check", "."],
        ["mypy", "--no-error-summary"],
        ["yamllint", "--strict", "."],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_linter_is_content(words: list[str]) -> None:
    check(*words)


def test_shell_scripts() -> None:
    # What a template becomes is checked instead: it is among the data of tests/unit/test_launch.py.
    scripts = [name for name in tracked() if _is_shell(ROOT / name) and not name.endswith(".j2")]
    assert ".ci/run" in scripts
    check("shellcheck", "--", *scripts)


def _is_shell(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline(100)
    return first.startswith(b"#!") and first.split()[-1].endswith(b"sh")


def test_dockerfiles() -> None:
    if files := tracked("*Dockerfile*", "*Containerfile*", ":!*.dockerignore"):
        check("hadolint", *files)


def test_ansible(tmp_path: Path) -> None:
    # A home of its own, so that a check never installs into the user's.
    env = {"ANSIBLE_HOME": str(tmp_path), "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build")}
    check("ansible-lint", "--offline", "-q", "--nocolor", **env)
