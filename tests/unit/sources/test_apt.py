"""Builds of several images of one system ask one set of apt's lists, and each holds it while it asks."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ingot.catalog.read import read_catalog
from ingot.errors import IngotError
from ingot.sources import apt as archives
from ingot.sources.apt import Archive

# Says in a file beside itself whether somebody holds the folder of apt's lists, and of which question it was one.
PROGRAM = """#!{python}
import fcntl, os, pathlib, sys
folder = pathlib.Path(os.environ["APT_CONFIG"]).parent
try:
    fcntl.flock((folder / ".lock").open("a"), fcntl.LOCK_EX | fcntl.LOCK_NB)
    held = False
except BlockingIOError:
    held = True
here = pathlib.Path(__file__)
with (here.parent / "said").open("a") as file:
    print(here.name, sys.argv[1], held, file=file)
sys.exit(int((here.parent / "status").read_text()))
"""


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of programs in the place of apt's, which find nothing; PATH leads to it first."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "status").write_text("0")
    for name in ("apt-get", "apt-cache"):
        (folder / name).write_text(PROGRAM.format(python=sys.executable))
        (folder / name).chmod(0o755)
    (tmp_path / "mirror/debian/dists").mkdir(parents=True)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setenv("INGOT_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("INGOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(archives, "KEYRINGS", [folder / "status"])
    return folder


@pytest.fixture
def archive(programs: Path) -> Archive:
    found = Archive("debian13", read_catalog().operating_system("debian13"), "x86_64")
    found.update()
    (programs / "said").unlink()
    return found


@pytest.mark.parametrize(
    ("ask", "program"),
    [
        (lambda archive: archive.update(), "apt-get update"),
        (lambda archive: archive.versions("slurmd"), "apt-cache show"),
        (lambda archive: archive.closure({"slurmd": None}), "apt-get install"),
    ],
    ids=["update", "versions", "closure"],
)
def test_a_question_is_asked_alone(
    programs: Path, archive: Archive, ask: Callable[[Archive], object], program: str
) -> None:
    ask(archive)
    assert (programs / "said").read_text().splitlines() == [f"{program} True"]


def test_a_question_that_failed_lets_the_next_one_ask(programs: Path, archive: Archive) -> None:
    (programs / "status").write_text("1")
    with pytest.raises(IngotError):
        archive.closure({"slurmd": None})
    (programs / "status").write_text("0")
    assert archive.closure({"slurmd": None}) == {}
