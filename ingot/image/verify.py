"""Runs the suite (`tests/image`) against a container or machine of an image, and reads pytest's report."""

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
# The exit codes of pytest with a complete report: all passed, some failed.
RAN = (0, 1)
COLLECTED = re.compile(r"^(?:collecting .*)?collected (\d+) items?")
OUTCOME = re.compile(r"^\S+::.*(?:PASSED|FAILED|SKIPPED|ERROR)")
CANNOT = re.compile(r"Exit: (.*?) !+$|^ERROR: (.*)", re.MULTILINE)
# testinfra's message for a failed command: literals of the command, its output and its errors.
LITERAL = r"(b'(?:[^'\\]|\\.)*'|b\"(?:[^\"\\]|\\.)*\")"
COMMAND = re.compile(rf"Unexpected exit code (\d+) for .*?command={LITERAL}, _stdout={LITERAL}, _stderr={LITERAL}")


@dataclass(frozen=True)
class Result:
    """The result of the suite: counts, and (test, message) of each failure and each skip."""

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

    The output of pytest is appended to `log`. Raises IngotError if the suite could not run.
    """
    scheme = uri.partition("://")[0]
    if scheme not in SCHEMES or "://" not in uri:
        raise UsageError(f"cannot verify {uri!r}", hint="write docker://NAME, ssh://HOST or local://")
    with tempfile.TemporaryDirectory(prefix="ingot-verify-") as folder, _reachable(uri) as host:
        report = Path(folder, "junit.xml")
        command = [
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
        command += ["--confcutdir", str(SUITE), "-p", "no:cacheprovider", "-vv", "--tb=short", "--color=no"]
        command += [f"--junit-xml={report}", f"--hosts={host}", f"--lock={lock_path.resolve()}", f"--image={image}"]
        command += [f"--target={target}"]
        command += [f"--ssh-config={ssh_config.resolve()}"] if ssh_config else []
        code, printed = _run_pytest(command, log, on_progress)
        if code not in RAN or not report.exists():
            reason = CANNOT.search(printed)
            tail = "\n  ".join(printed.strip().splitlines()[-TAIL_LINES:])
            why = (reason[1] or reason[2]) if reason else f"pytest exited with {code}\n  {tail}"
            raise IngotError(f"the suite could not run: {why}", place=uri, hint=f"full log: {log}")
        return read_report(report.read_text())


def _run_pytest(command: list[str], log: Path, on_progress: Callable[[int, int], None] | None) -> tuple[int, str]:
    """Run pytest; its exit code and its output, which is logged while it runs."""
    env = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
    env |= {"PYTHONUNBUFFERED": "1", "COLUMNS": "160"}
    printed, done, total = "", 0, 0
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("a") as out,
        subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as pytest,
    ):
        assert pytest.stdout is not None
        out.write(f"$ {' '.join(command)}\n")
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
            # Let the suite remove its files on the host.
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
        raise IngotError(f"no container or image is named {name!r}", hint="see `docker ps` and `docker images`")
    with container(name, f"ingot-verify-{uuid.uuid4().hex[:8]}") as new:
        yield f"docker://{new}"


def _succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        raise IngotError("docker is not installed", hint="run `make setup`") from None


def read_report(text: str) -> Result:
    """Turn pytest's JUnit report into a result; a test that failed in its setup or teardown is a failure too."""
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
    """The first line of a failure; for a failed command, the command, its exit code and its last line of output."""
    around = re.match(r'failed on \w+ with "', message)
    message = re.sub(r"^(?:AssertionError|Failed): ", "", message[around.end() if around else 0 :].strip())
    if match := COMMAND.match(message):
        command, out, err = (ast.literal_eval(part).decode(errors="replace").strip() for part in match.groups()[1:])
        last = (err or out or "no output").splitlines()[-1]
        text = f"`{command}` exited with {match[1]}: {last}"
    else:
        text = next(iter(message.splitlines()), "")
        text = text.removesuffix('"') if around else text
    return text if len(text) <= MESSAGE_LENGTH else f"{text[:MESSAGE_LENGTH]}…"
