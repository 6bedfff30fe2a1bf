"""Runs the suite (`tests/image`) against a place where an image lives, and turns what pytest says into a result."""

import ast
import os
import re
import signal
import subprocess
import sys
import tempfile
import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ingot.errors import IngotError, UsageError
from ingot.paths import ROOT
from ingot.run import TAIL_LINES, container

SUITE = ROOT / "tests" / "image"
SCHEMES = ("docker", "ssh", "local")
MESSAGE_LENGTH = 500
# The exit codes of pytest after which its report is whole: all passed, some failed.
RAN = (0, 1)
COLLECTED = re.compile(r"^(?:collecting .*)?collected (\d+) items?")
OUTCOME = re.compile(r"^\S+::.*(?:PASSED|FAILED|SKIPPED|ERROR)")
CANNOT = re.compile(r"Exit: (.*?) !+$|^ERROR: (.*)", re.MULTILINE)
# How testinfra words a command that failed: with the literals of what was run and of what it said.
LITERAL = r"(b'(?:[^'\\]|\\.)*'|b\"(?:[^\"\\]|\\.)*\")"
COMMAND = re.compile(rf"Unexpected exit code (\d+) for .*?command={LITERAL}, _stdout={LITERAL}, _stderr={LITERAL}")


@dataclass(frozen=True)
class Result:
    """What the suite found: counts, and (test, message) of each failure and each skip."""

    passed: int
    failed: int
    skipped: int
    failures: list[tuple[str, str]]
    skips: list[tuple[str, str]]
    seconds: float


def verify(
    uri: str,
    *,
    lock_path: Path,
    image: str,
    log: Path,
    target: str = "local",
    ssh_config: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Run the suite against `uri`: docker://CONTAINER, docker://IMAGE (in a container of its own), ssh://HOST, local://.

    Everything that pytest prints is appended to `log`. IngotError when the suite could not run at all.
    """
    scheme = uri.partition("://")[0]
    if scheme not in SCHEMES or "://" not in uri:
        raise UsageError(f"cannot verify {uri!r}", hint="write docker://NAME, ssh://HOST or local://")
    with tempfile.TemporaryDirectory(prefix="ingot-verify-") as folder, _reachable(uri) as host:
        report = Path(folder, "junit.xml")
        words = [
            sys.executable,
            "-m",
            "pytest",
            str(SUITE),
            "-c",
            os.devnull,
            "--rootdir",
            str(SUITE),
            "--show-capture=no",
        ]
        words += ["--confcutdir", str(SUITE), "-p", "no:cacheprovider", "-vv", "--tb=short", "--color=no"]
        words += [f"--junit-xml={report}", f"--hosts={host}", f"--lock={lock_path.resolve()}", f"--image={image}"]
        words += [f"--target={target}"]
        words += [f"--ssh-config={ssh_config.resolve()}"] if ssh_config else []
        code, printed = _run_pytest(words, log, on_progress)
        if code not in RAN or not report.exists():
            cannot = CANNOT.search(printed)
            tail = "\n  ".join(printed.strip().splitlines()[-TAIL_LINES:])
            why = (cannot[1] or cannot[2]) if cannot else f"pytest ended with {code}\n  {tail}"
            raise IngotError(f"the suite could not run: {why}", place=uri, hint=f"full log: {log}")
        return read_report(report.read_text())


def _run_pytest(words: list[str], log: Path, on_progress: Callable[[int, int], None] | None) -> tuple[int, str]:
    """Run pytest; its exit code and all that it printed, which goes to the log while it runs."""
    env = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
    env |= {"PYTHONUNBUFFERED": "1", "COLUMNS": "160"}
    printed, done, total = "", 0, 0
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("a") as out,
        subprocess.Popen(
            words, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as pytest,
    ):
        assert pytest.stdout is not None
        out.write(f"$ {' '.join(words)}\n")
        try:
            for line in pytest.stdout:
                out.write(line)
                printed += line
                if collected := COLLECTED.match(line):
                    total = int(collected[1])
                done += bool(OUTCOME.match(line))
                if on_progress and total:
                    on_progress(done, total)
        except BaseException:
            # So that the suite takes away what it made on the host.
            pytest.send_signal(signal.SIGINT)
            raise
    return pytest.returncode, printed


@contextmanager
def _reachable(uri: str) -> Iterator[str]:
    """The URI itself or, for docker://IMAGE, the URI of a container of that image, removed at the end."""
    scheme, _, name = uri.partition("://")
    inspect = ["docker", "inspect", "--format", "{{.Id}}"]
    if scheme != "docker" or _succeeds([*inspect, "--type=container", name.rpartition("@")[2]]):
        yield uri
        return
    if not _succeeds([*inspect, "--type=image", name]):
        raise IngotError(f"there is neither a container nor an image {name!r}", hint="`docker ps` and `docker images`")
    with container(name, f"ingot-verify-{uuid.uuid4().hex[:8]}") as made:
        yield f"docker://{made}"


def _succeeds(words: list[str]) -> bool:
    try:
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        raise IngotError("docker is not installed", hint="run `make setup`") from None


def read_report(text: str) -> Result:
    """Turn pytest's JUnit report into a result; a test that failed before or after its body is a failure too."""
    suite = next(ElementTree.fromstring(text).iter("testsuite"))
    failures: dict[str, str] = {}
    skips: dict[str, str] = {}
    names = set()
    for case in suite.iter("testcase"):
        name = f"{case.get('classname', '').rpartition('.')[2]}.py::{case.get('name')}"
        names.add(name)
        for outcome in case:
            if outcome.tag in ("failure", "error"):
                failures.setdefault(name, brief(outcome.get("message", "")))
            elif outcome.tag == "skipped":
                skips[name] = outcome.get("message", "")
    return Result(
        passed=len(names - set(failures) - set(skips)),
        failed=len(failures),
        skipped=len(skips),
        failures=sorted(failures.items()),
        skips=sorted(skips.items()),
        seconds=float(suite.get("time", 0)),
    )


def brief(message: str) -> str:
    """The first line of a failure; of a command that failed, the command, its exit code and what it said last."""
    around = re.match(r'failed on \w+ with "', message)
    message = re.sub(r"^(?:AssertionError|Failed): ", "", message[around.end() if around else 0 :].strip())
    if found := COMMAND.match(message):
        command, out, err = (ast.literal_eval(said).decode(errors="replace").strip() for said in found.groups()[1:])
        said = (err or out or "and said nothing").splitlines()[-1]
        text = f"`{command}` exited with {found[1]}: {said}"
    else:
        text = next(iter(message.splitlines()), "")
        text = text.removesuffix('"') if around else text
    return text if len(text) <= MESSAGE_LENGTH else f"{text[:MESSAGE_LENGTH]}…"
