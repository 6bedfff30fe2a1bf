"""Runs a linter over the checkout; what it complains about is the failure."""

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
