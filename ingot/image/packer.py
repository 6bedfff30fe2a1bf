"""Runs one Packer build: variables in, log out, and nothing left behind however it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import IO

from ingot.errors import IngotError
from ingot.image.setup import ensure_packer, packer_environment
from ingot.model.target import ImageSelection
from ingot.paths import ROOT, held, own_catalog, temporary
from ingot.run import TAIL_LINES, remove

# With this option Packer stops before each step and asks on the terminal whether to continue.
DEBUG = "-debug"
TEMPLATE = ROOT / "packer"
# How long Packer may take to remove its container after an interrupt.
CLEAN_UP_SECONDS = 30


def wait_for_killed(folder: Path, note: Callable[[str], None]) -> None:
    """Wait until Packer of a build in `folder` that was killed has cleaned up; it holds the folder's lock."""
    with held(folder, lambda: note("waiting for Packer of a killed build to clean up")):
        pass


class PackerError(IngotError):
    """Packer failed; `said` is its whole output."""

    said: str = ""


def target_variables(selection: ImageSelection) -> dict[str, str]:
    """The variables that local builds and builds of AMIs share: the image, its target, and the team's own catalog."""
    target = selection.target
    return {
        "image": selection.name,
        "os": target.os,
        "arch": target.arch,
        "stack": target.stack,
        "catalog": str(own_catalog() or ""),
    }


def packer_build(source: str, variables: Mapping[str, str], *, log: Path, options: Sequence[str] = ()) -> None:
    """Run `packer build` of one source, such as `docker.image`; its output is appended to `log`.

    Raises PackerError with the last lines of output if it fails. On an interrupt, signals Packer and waits for it.
    Removes the container that `variables` names. With DEBUG among the `options`, shows the output as well.
    Waits for an earlier Packer whose log is in the same folder; see `wait_for_killed`.
    """
    attended = DEBUG in options
    command: list[str | Path] = [ensure_packer(), "build", "-color=false", f"-only=*.{source}", *options]
    command += [word for name, value in variables.items() for word in ("-var", f"{name}={value}")]
    # If Ingot is killed, the kernel sends this signal to Packer. Packer obeys TERM from any sender, but an interrupt
    # only if its whole process group receives it.
    dying = ["setpriv", "--pdeathsig", "TERM"]
    start = log.stat().st_size if log.exists() else 0
    # Packer's Ansible writes the instance's private key below TMPDIR: after a kill, the next run removes it.
    with held(log.parent), temporary() as own, log.open("a") as out:
        # A session of its own, so that Ctrl-C on the terminal reaches Packer once, from us, and not twice. To ask on
        # the terminal, Packer has to be in the terminal's session.
        process = subprocess.Popen(
            [*dying, *command, TEMPLATE],
            # Where it writes crash.log and, with DEBUG, the key of the instance.
            cwd=log.parent,
            stdin=None if attended else subprocess.DEVNULL,
            stdout=subprocess.PIPE if attended else out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **packer_environment(), "TMPDIR": str(own)},
            start_new_session=not attended,
            # Packer holds the locks of both folders until it ends, even if Ingot is killed.
            close_fds=False,
        )
        # A thread, so that output continues while Packer cleans up after an interrupt.
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
                remove(variables["container_name"])
    if code != 0:
        with log.open() as printed:
            printed.seek(start)
            text = printed.read()
        lines = text.strip().splitlines()[-TAIL_LINES:]
        error = PackerError(f"Packer failed (exit {code})\n  " + "\n  ".join(lines), hint=f"full log: {log}")
        error.said = text
        raise error


def _show(printed: IO[bytes], log: IO[str]) -> None:
    """Write Packer's output to the log and to the terminal, including questions without a newline."""
    while chunk := os.read(printed.fileno(), 1 << 16):
        text = chunk.decode(errors="replace")
        for file in (log, sys.stderr):
            file.write(text)
            file.flush()


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """Let Packer and its Ansible clean up; kill them if they do not exit."""
    # In our process group Packer has already received the interrupt from the terminal.
    ours = os.getpgid(process.pid) == os.getpgrp()
    if not ours:
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(CLEAN_UP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill() if ours else os.killpg(process.pid, signal.SIGKILL)
        process.wait()
