"""Runs the command line in the test's own process: starting Python for each of hundreds of runs takes longer."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ingot.cli.main import main


@dataclass
class Done:
    """How a run of the command line ended."""

    returncode: int
    stdout: str
    stderr: str


def ingot(*words: str | Path) -> Done:
    """Run `ingot` with `words`."""
    out, err = io.StringIO(), io.StringIO()
    arguments = patch.object(sys, "argv", ["ingot", *map(str, words)])
    status: Any = 0
    # This process keeps its own way to be interrupted.
    with redirect_stdout(out), redirect_stderr(err), arguments, patch("signal.signal"):
        try:
            main()
        except SystemExit as ended:
            status = ended.code or 0
    return Done(status, out.getvalue(), err.getvalue())
