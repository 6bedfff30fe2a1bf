"""Runs other programs: logged, checked, and with an error that quotes the last lines of output."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from ingot.errors import IngotError

TAIL_LINES = 15


def run(
    argv: Sequence[str | Path],
    *,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    doing: str = "",
) -> str:
    """Run `argv` and return its standard output; with `log`, append all of its output there as well.

    Raises IngotError when the program is missing or fails; it names the step, the last lines of output and the log.
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
    if done.returncode != 0:
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
    try:
        # In a thread, which no signal interrupts: the engine creates the container even if the client has gone.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(run, argv, doing=f"creating a container of {image}").result()
        yield name
    finally:
        run(["docker", "rm", "--force", "--volumes", name])
