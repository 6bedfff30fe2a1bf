"""Runs one Packer build: variables in, log out, and nothing left behind however it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import IO

from ingot.errors import IngotError
from ingot.image.setup import ensure_packer, packer_environment
from ingot.paths import ROOT
from ingot.run import TAIL_LINES

# With this option Packer stops before each step, and asks at the terminal whether to go on.
DEBUG = "-debug"
TEMPLATE = ROOT / "packer"
# How long Packer may take to remove its container after an interrupt.
CLEAN_UP_SECONDS = 30


class PackerError(IngotError):
    """Packer failed; `said` is all that it printed."""

    said: str = ""


def packer_build(source: str, variables: Mapping[str, str], *, log: Path, options: Sequence[str] = ()) -> None:
    """Run `packer build` of one source, as `docker.image`; what it prints is appended to `log`.

    Raises PackerError with the last lines when it fails. On an interrupt Packer is told, and waited for. The container
    that `variables` name is removed. With DEBUG among the `options` what it prints is shown as well.
    """
    attended = DEBUG in options
    words: list[str | Path] = [ensure_packer(), "build", "-color=false", f"-only=*.{source}", *options]
    words += [word for name, value in variables.items() for word in ("-var", f"{name}={value}")]
    # Killed the hard way we cannot tell Packer; the kernel does. Packer heeds this signal from anyone, but an interrupt
    # only when its whole process group gets it.
    dying = ["setpriv", "--pdeathsig", "TERM"]
    start = log.stat().st_size if log.exists() else 0
    with log.open("a") as out:
        # A session of its own: a Ctrl-C on the terminal reaches Packer once, through us, and not twice. But who asks at
        # the terminal has to be of its session.
        process = subprocess.Popen(
            [*dying, *words, TEMPLATE],
            stdin=None if attended else subprocess.DEVNULL,
            stdout=subprocess.PIPE if attended else out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **packer_environment()},
            start_new_session=not attended,
        )
        # Beside us, so that it goes on while Packer cleans up after an interrupt.
        showing = Thread(target=_show, args=(process.stdout, out)) if process.stdout else None
        if showing:
            showing.start()
        try:
            code = process.wait()
        except BaseException:
            _interrupt(process)
            raise
        finally:
            if showing:
                showing.join()
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


def _show(printed: IO[bytes], log: IO[str]) -> None:
    """Write what Packer prints to the log and to the terminal, questions that end no line among it."""
    while chunk := os.read(printed.fileno(), 1 << 16):
        text = chunk.decode(errors="replace")
        for file in (log, sys.stderr):
            file.write(text)
            file.flush()


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """Let Packer, and the Ansible under it, clean up; kill them when they do not end."""
    # Who shares the terminal with us has been told by it.
    ours = os.getpgid(process.pid) == os.getpgrp()
    if not ours:
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(CLEAN_UP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill() if ours else os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _remove(container: str) -> None:
    """Remove the container if Packer has not; Docker says nothing when there is none."""
    subprocess.run(["docker", "rm", "-f", "-v", container], capture_output=True, check=False)
