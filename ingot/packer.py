"""Runs one Packer build: variables in, log out, and no container left behind however it ends."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ingot.errors import IngotError
from ingot.paths import ROOT
from ingot.run import TAIL_LINES
from ingot.setup import ensure_packer, packer_environment

TEMPLATE = ROOT / "packer"
# How long Packer may take to remove its container after an interrupt.
CLEAN_UP_SECONDS = 60
PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """In the child: get an interrupt, and so clean up, when the process that started it is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def packer_build(variables: Mapping[str, str], *, log: Path) -> None:
    """Run `packer build` with `variables`; what it prints is appended to `log`.

    Raises IngotError with the last lines when it fails. On an interrupt Packer is told, and waited for.
    """
    words = [str(ensure_packer()), "build", "-color=false"]
    words += [word for name, value in variables.items() for word in ("-var", f"{name}={value}")]
    environment = {**os.environ, **packer_environment()}
    start = log.stat().st_size if log.exists() else 0
    with log.open("a") as out:
        # A session of its own: a Ctrl-C on the terminal reaches Packer once, through us, and not twice.
        process = subprocess.Popen(
            [*words, str(TEMPLATE)],
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 (no thread of ours holds a lock that the child needs)
        )
        try:
            code = process.wait()
        except BaseException:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(CLEAN_UP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            raise
        finally:
            _remove(variables["container_name"])
    if code != 0:
        with log.open() as said:
            said.seek(start)
            lines = said.read().strip().splitlines()[-TAIL_LINES:]
        raise IngotError(f"Packer failed (exit {code})\n  " + "\n  ".join(lines), hint=f"full log: {log}")


def _remove(container: str) -> None:
    """Remove the container if Packer has not; Docker says nothing when there is none."""
    subprocess.run(["docker", "rm", "-f", "-v", container], capture_output=True, check=False)
