"""What pytest reports about an image becomes a result that a person can read, or one error that says why not."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ingot import run as running
from ingot.errors import IngotError, UsageError
from ingot.image import verify as module
from ingot.image.verify import brief, read_report, verify
from ingot.paths import ROOT

REPORT = """<?xml version="1.0"?><testsuites><testsuite name="pytest" time="1.5">
<testcase classname="test_efa" name="test_good"/>
<testcase classname="test_efa" name="test_bad">
  <failure message="AssertionError: assert 1 == 2&#10; more"/></testcase>
<testcase classname="test_efa" name="test_left_out">
  <skipped message="the lock leaves out efa.kmod"/></testcase>
<testcase classname="test_cuda" name="test_unready">
  <error message="failed on setup with &quot;KeyError: 'x'&quot;"/></testcase>
<testcase classname="test_cuda" name="test_untidy"/>
<testcase classname="test_cuda" name="test_untidy">
  <error message="failed on teardown with &quot;no&quot;"/></testcase>
</testsuite></testsuites>"""

FAILED_COMMAND = (
    "AssertionError: Unexpected exit code 2 for CommandResult(backend=<Docker at 0x7f>, exit_status=2, "
    """command=b'ls \\'a b\\'', _stdout=b'', _stderr=b"ls: loading\\nls: cannot access 'a b'\\n")\nassert 2 == 0"""
)


def test_a_report_is_counted_by_test() -> None:
    result = read_report(REPORT)
    assert (result.passed, result.failed, result.skipped, result.seconds) == (1, 3, 1, 1.5)
    assert dict(result.failures)["test_efa.py::test_bad"] == "assert 1 == 2"
    assert result.skips == [("test_efa.py::test_left_out", "the lock leaves out efa.kmod")]


def test_an_error_around_a_test_is_a_failure_of_it() -> None:
    failures = dict(read_report(REPORT).failures)
    assert failures["test_cuda.py::test_unready"] == "KeyError: 'x'"
    assert "test_cuda.py::test_untidy" in failures


def test_a_failed_command_is_told_in_one_line() -> None:
    assert brief(FAILED_COMMAND) == "`ls 'a b'` exited with 2: ls: cannot access 'a b'"


def test_a_long_failure_is_cut() -> None:
    assert len(brief("x" * 10_000)) <= module.MESSAGE_LENGTH + 1


@pytest.mark.parametrize("uri", ["node1", "telnet://node1", ""])
def test_an_address_of_another_kind_is_refused(uri: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot verify"):
        verify(uri, lock_path=tmp_path / "lock.yml", image="x", log=tmp_path / "log")


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite of its own that takes the real one's options."""
    folder = tmp_path / "suite"
    folder.mkdir()
    (folder / "conftest.py").write_text(
        "def pytest_addoption(parser):\n"
        + "".join(f"    parser.addoption('--{name}')\n" for name in ("lock", "image", "target"))
    )
    monkeypatch.setattr(module, "SUITE", folder)
    return folder


def check(tmp_path: Path, **more: object) -> module.Result:
    """Run the suite as it is on this system."""
    return verify("local://", lock_path=tmp_path / "lock.yml", image="x", log=tmp_path / "log", **more)  # type: ignore[arg-type]


def test_progress_and_outcome_are_told(suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--an-option-of-the-developer")
    (suite / "test_one.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): assert 0, 'because'\ndef test_c(): pytest.skip('no GPU')\n"
    )
    seen: list[tuple[int, int]] = []
    result = check(tmp_path, on_progress=lambda done, total: seen.append((done, total)))
    assert (result.passed, result.failed, result.skipped) == (1, 1, 1)
    assert result.failures == [("test_one.py::test_b", "because")]
    assert result.skips == [("test_one.py::test_c", "no GPU")]
    assert seen[-1] == (3, 3)
    assert "test_one.py::test_b FAILED" in (tmp_path / "log").read_text()


def test_a_suite_without_tests_is_an_error(suite: Path, tmp_path: Path) -> None:
    with pytest.raises(IngotError, match="could not run"):
        check(tmp_path)


def test_a_suite_that_cannot_be_read_is_an_error(suite: Path, tmp_path: Path) -> None:
    (suite / "test_one.py").write_text("import no_such_module\n")
    with pytest.raises(IngotError, match="no_such_module"):
        check(tmp_path)


def test_an_unreachable_host_is_an_error_that_names_it(suite: Path, tmp_path: Path) -> None:
    (suite / "test_one.py").write_text(
        "import pytest\ndef test_a(): pytest.exit('cannot reach it: refused', returncode=3)\n"
    )
    with pytest.raises(IngotError, match="could not run: cannot reach it: refused") as error:
        check(tmp_path)
    assert error.value.place == "local://"


def test_neither_container_nor_image_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_succeeds", lambda words: False)
    with pytest.raises(IngotError, match="no container or image is named 'nothing'"):
        verify("docker://nothing", lock_path=tmp_path / "lock.yml", image="x", log=tmp_path / "log")


def test_an_image_is_verified_in_a_container_that_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []

    def pytest_says(words: list[str], *_: object) -> tuple[int, str]:
        called.append(words)
        report = next(word for word in words if word.startswith("--junit-xml=")).partition("=")[2]
        Path(report).write_text(REPORT)
        return 1, ""

    monkeypatch.setattr(module, "_succeeds", lambda words: "--type=image" in words)
    monkeypatch.setattr(running, "run", lambda words, **_: called.append(words))
    monkeypatch.setattr(module, "_run_pytest", pytest_says)
    assert verify("docker://made", lock_path=tmp_path / "lock.yml", image="x", log=tmp_path / "log").failed == 3
    start, suite, stop = called
    assert (start[:2], stop[:2]) == (["docker", "run"], ["docker", "rm"])
    assert stop[-1] in start
    assert f"--hosts=docker://{stop[-1]}" in suite


def test_tests_of_finished_images_are_skipped_where_none_is_named() -> None:
    others = [f"--ignore={path}" for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "image"]
    words = [sys.executable, "-m", "pytest", "tests", *others, "-q", "-rs", "-p", "no:cacheprovider"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_efa.py: tests a finished image: `ingot verify` runs it" in done.stdout
    assert re.fullmatch(r"\d+ skipped in .*", done.stdout.splitlines()[-1])
