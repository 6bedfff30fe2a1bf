"""Runs other programs: logged, checked, and with an error that quotes the last lines of output."""

import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from ingot.errors import IngotError

TAIL_LINES = 15
# The engine refuses to remove a container that it is removing, or that does not die soon enough; both pass. Messages of
# https://github.com/moby/moby, daemon/delete.go and daemon/kill.go.
PASSING = ("is already in progress", "did not receive an exit event")
REMOVAL_SECONDS = 60
POLL_SECONDS = 0.2


def run(
    argv: Sequence[str | Path],
    *,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    doing: str = "",
    accepted: Collection[int] = (0,),
) -> str:
    """Run `argv` and return its standard output; with `log`, append all of its output there as well.

    Raises IngotError when the program is missing, or fails with another exit code than those `accepted`; it names the
    step, the last lines of output and the log.
    """
    command = [str(argument) for argument in argv]
    try:
        done = subprocess.run(command, input=stdin, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise IngotError(f"{command[0]} is not installed", hint="run `make setup`") from None
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as out:
            out.write(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}")
    if done.returncode not in accepted:
        lines = (done.stderr or done.stdout).strip().splitlines()[-TAIL_LINES:]
        where = f"full log: {log}" if log else ""
        raise IngotError(f"{doing or command[0]} failed (exit {done.returncode})\n  " + "\n  ".join(lines), hint=where)
    return done.stdout


@contextmanager
def container(image: str, name: str, *, running: bool = True) -> Iterator[str]:
    """A container of `image` that sleeps, or is never started; removed after the block, even if interrupted."""
    options = ["--name", name, "--label", "ingot=1"]
    argv = ["docker", "create", *options, image, "/never"]
    if running:
        argv = ["docker", "run", "--detach", *options, "--entrypoint", "sleep", image, "infinity"]
    # A signal may arrive while the thread starts, when nobody can tell whether it will run: whoever holds the gate
    # first decides whether the container is created at all.
    gate = Lock()
    over = False

    def create() -> None:
        with gate:
            if not over:
                run(argv, doing=f"creating a container of {image}")

    try:
        # In a thread, which no signal interrupts: the engine creates the container even if the client has gone.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(create).result()
        yield name
    finally:
        with gate:
            over = True
            remove(name)


def containers(prefix: str) -> list[str]:
    """The names of all containers whose name begins with `prefix`, running or not."""
    return run(["docker", "ps", "--all", "--filter", f"name=^{prefix}", "--format", "{{.Names}}"]).split()


def remove(*names: str) -> None:
    """Remove containers and return when they are gone; waits for one that is being removed already.

    A container that does not exist is gone. Raises IngotError if one cannot be removed within REMOVAL_SECONDS.
    """
    deadline = time.monotonic() + REMOVAL_SECONDS
    while True:
        try:
            run(["docker", "rm", "--force", "--volumes", *names])
            return
        except IngotError as error:
            if not any(reason in error.message for reason in PASSING) or time.monotonic() > deadline:
                raise
        time.sleep(POLL_SECONDS)
