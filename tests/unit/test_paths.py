"""What a killed run leaves in the temporary folder, private keys too, the next run removes; a living one keeps it."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingot import paths

WORK = """
import sys
from ingot.paths import temporary
with temporary() as folder:
    if sys.argv[1:]:
        (folder / "key").write_text("private")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[subprocess.Popen[str], Path]]]:
    """Start another run of Ingot; its process, and the temporary folder that it works in until its input ends."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    runs: list[subprocess.Popen[str]] = []

    def start(*words: str) -> tuple[subprocess.Popen[str], Path]:
        argv = [sys.executable, "-c", WORK, *words]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        runs.append(process)
        assert process.stdout is not None
        return process, Path(process.stdout.readline().strip())

    yield start
    for process in runs:
        process.kill()
        process.communicate()


def test_what_a_killed_run_leaves_is_removed_by_the_next(
    run: Callable[..., tuple[subprocess.Popen[str], Path]],
) -> None:
    process, folder = run("key")
    process.kill()
    process.wait()
    assert (folder / "key").exists()
    with paths.temporary() as own:
        assert list(own.parent.iterdir()) == [own]
    assert not own.exists()


@pytest.mark.parametrize("words", [[], ["key"]])
def test_what_a_living_run_works_in_stays(
    run: Callable[..., tuple[subprocess.Popen[str], Path]], words: list[str]
) -> None:
    process, folder = run(*words)
    with paths.temporary():
        assert folder.exists()
    process.communicate()
    assert (process.returncode, folder.exists()) == (0, False)


def test_a_folder_that_another_run_has_just_made_stays(
    run: Callable[..., tuple[subprocess.Popen[str], Path]], tmp_path: Path
) -> None:
    """Between making it and locking it, nothing tells it from one that was left."""
    new = tmp_path / f"{paths.TEMPORARY}new"
    new.mkdir()
    with paths.temporary():
        assert new.exists()


def test_what_is_not_a_run_s_folder_is_not_followed(
    run: Callable[..., tuple[subprocess.Popen[str], Path]], tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "file").touch()
    (tmp_path / f"{paths.TEMPORARY}link").symlink_to(mine)
    with paths.temporary():
        pass
    assert (mine / "file").exists()


def test_a_file_is_written_whole_or_not_at_all_and_all_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    paths.write_text(path, "first")
    with pytest.raises(ZeroDivisionError), paths.atomic(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "first"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]
