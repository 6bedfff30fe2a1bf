"""The command line, as tests run it: in the test's own process, or as a process of its own."""

import io
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ingot.cli.main import main
from ingot.paths import ROOT

PROGRAM = "from ingot.cli.main import main; main()"
Completed = subprocess.CompletedProcess[str]


def ingot(*words: str | Path) -> Completed:
    """Run `ingot` in this process: starting Python for each of hundreds of runs takes longer."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["ingot", *map(str, words)]
    status: Any = 0
    # This process keeps its own way to be interrupted.
    with redirect_stdout(out), redirect_stderr(err), patch.object(sys, "argv", argv), patch("signal.signal"):
        try:
            main()
        except SystemExit as ended:
            status = ended.code or 0
    return Completed(argv, status, out.getvalue(), err.getvalue())


def command(*words: str | Path) -> list[str]:
    """The words that start `ingot` as a process, with this Python."""
    return [sys.executable, "-c", PROGRAM, *map(str, words)]


def ingot_process(
    *words: str | Path,
    checkout: Path = ROOT,
    own: Path | None = None,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> Completed:
    """Run `ingot` of a checkout as a process; `prefix` is a program, with its arguments, that starts it.

    `own` is a catalog that is laid over the checkout's.
    """
    catalog = {"INGOT_CATALOG": str(own)} if own else {}
    return subprocess.run(
        [*prefix, *command(*words)],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), **catalog, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
