"""Runs one Packer build: variables in, log out, and nothing left behind however it ends."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ingot.errors import IngotError
from ingot.paths import ROOT
from ingot.run import TAIL_LINES
from ingot.setup import ensure_packer, packer_environment

TEMPLATE = ROOT / "packer"
# How long Packer may take to remove its container after an interrupt.
CLEAN_UP_SECONDS = 30


class PackerError(IngotError):
    """Packer failed; `said` is all that it printed."""

    said: str = ""


def packer_build(source: str, variables: Mapping[str, str], *, log: Path, options: Sequence[str] = ()) -> None:
    """Run `packer build` of one source, as `docker.image`; what it prints is appended to `log`.

    Raises PackerError with the last lines when it fails. On an interrupt Packer is told, and waited for. The container
    that `variables` name is removed.
    """
    words: list[str | Path] = [ensure_packer(), "build", "-color=false", f"-only=*.{source}", *options]
    words += [word for name, value in variables.items() for word in ("-var", f"{name}={value}")]
    # Killed the hard way we cannot tell Packer; the kernel does. Packer heeds this signal from anyone, but an interrupt
    # only when its whole process group gets it.
    dying = ["setpriv", "--pdeathsig", "TERM"]
    start = log.stat().st_size if log.exists() else 0
    with log.open("a") as out:
        # A session of its own: a Ctrl-C on the terminal reaches Packer once, through us, and not twice.
        process = subprocess.Popen(
            [*dying, *words, TEMPLATE],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **packer_environment()},
            start_new_session=True,
        )
        try:
            code = process.wait()
        except BaseException:
            _interrupt(process)
            raise
        finally:
            if "container_name" in variables:
                _remove(variables["container_name"])
    if code != 0:
        with log.open() as said:
            said.seek(start)
            text = said.read()
        lines = text.strip().splitlines()[-TAIL_LINES:]
        error = PackerError(f"Packer failed (exit {code})\n  " + "\n  ".join(lines), hint=f"full log: {log}")
        error.said = text
        raise error


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """Let Packer, and the Ansible under it, clean up; kill them when they do not end."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(CLEAN_UP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _remove(container: str) -> None:
    """Remove the container if Packer has not; Docker says nothing when there is none."""
    subprocess.run(["docker", "rm", "-f", "-v", container], capture_output=True, check=False)
