"""The one way that Ingot starts another program: logged, checked, and with an error that quotes its last lines."""

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
    """Run `argv` and return its standard output; with `log`, everything it prints is appended there as well.

    Raises IngotError when the program is missing or fails: what was being done, its last lines, the log's path.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(words, input=stdin, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise IngotError(f"{words[0]} is not installed", hint="run `make setup`") from None
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as out:
            out.write(f"$ {' '.join(words)}\n{done.stdout}{done.stderr}")
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()[-TAIL_LINES:]
        where = f"full log: {log}" if log else ""
        raise IngotError(f"{doing or words[0]} failed (exit {done.returncode})\n  " + "\n  ".join(lines), hint=where)
    return done.stdout


@contextmanager
def container(image: str, name: str, *, running: bool = True) -> Iterator[str]:
    """A container of `image` that does nothing, or never runs; gone after the block, or if making it is interrupted."""
    words = ["--name", name, "--label", "ingot=1"]
    argv = ["docker", "create", *words, image, "/never"]
    if running:
        argv = ["docker", "run", "--detach", *words, "--entrypoint", "sleep", image, "infinity"]
    try:
        # Made to the end, by a thread that no signal reaches: the engine makes it even when nobody waits for it.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(run, argv, doing=f"making a container of {image}").result()
        yield name
    finally:
        run(["docker", "rm", "--force", "--volumes", name])
