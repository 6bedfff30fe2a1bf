"""The archive's index is of a key that the system names; each build holds apt's lists while it asks them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ingot.catalog.read import read_catalog
from ingot.errors import IngotError
from ingot.model.lock import Package
from ingot.sources import apt as archives
from ingot.sources.apt import Archive
from tests.signing import Key

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


def signed(archive: Archive, key: Key, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the index of trixie be signed by the key, which is one of Debian's keyring."""
    keyring = folder / "keyring.gpg"
    subprocess.run(["gpg", "--batch", "--dearmor", "--output", keyring], input=key.public, check=True)
    monkeypatch.setattr(archives, "KEYRINGS", [keyring])
    (archive.root / "lists" / "archive_debian_dists_trixie_InRelease").write_bytes(key.signed(b"Suite: stable\n"))


def test_an_index_is_accepted_of_a_key_that_the_system_names_and_of_no_other(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Key(tmp_path / "gpg") as key:
        signed(archive, key, tmp_path, monkeypatch)
        with pytest.raises(IngotError, match=f"the index of trixie is signed by {key.fingerprint}") as caught:
            archive.update()
        assert caught.value.place == "operating_systems/debian13.yml: keys"
        archive.system = archive.system.model_copy(update={"keys": {"test": key.fingerprint}})
        assert archive.update() == {"trixie": [key.fingerprint]}


def package(**update: str) -> Package:
    """The entry of a lock for what the archive of the next test has."""
    fields = {"version": "1.0-1", "suite": "trixie", "path": "pool/a_1.0-1_amd64.deb", "sha256": "a" * 64, **update}
    return Package.model_validate({**fields, "size": 10, "installed": 20})


@pytest.mark.parametrize(
    ("name", "update", "gone"),
    [
        ("a", {}, False),
        ("a", {"version": "1.0-2"}, True),
        ("b", {}, True),
        # Built again under its version: what a lock names by its digest is not there any more.
        ("a", {"sha256": "b" * 64}, True),
    ],
)
def test_a_package_is_gone_when_its_version_or_its_digest_is(
    programs: Path, archive: Archive, name: str, update: dict[str, str], gone: bool
) -> None:
    stanza = f"Package: a\nVersion: 1.0-1\nFilename: pool/a_1.0-1_amd64.deb\nSize: 10\nSHA256: {'a' * 64}\n"
    (programs / "apt-cache").write_text(f"#!/bin/sh\ncat <<'END'\n{stanza}END\n")
    assert archive.gone({name: package(**update)}) == ([name] if gone else [])


def test_versions_of_an_earlier_lock_are_preferred(archive: Archive) -> None:
    archive.closure({"slurmd": None}, {"slurmd": "24.11.5-4", "munge": "0.5.16-1"})
    text = (archive.root / "preferences.d" / "keep").read_text()
    # Above what the archive has, and below what forces a downgrade: apt_preferences(5).
    assert text == "".join(
        f"Package: {name}\nPin: version {version}\nPin-Priority: 990\n\n"
        for name, version in (("slurmd", "24.11.5-4"), ("munge", "0.5.16-1"))
    )
    archive.closure({"slurmd": None})
    assert (archive.root / "preferences.d" / "keep").read_text() == ""


def test_an_index_without_a_signature_is_refused(archive: Archive) -> None:
    (archive.root / "lists" / "archive_debian_dists_trixie_InRelease").write_text("Suite: stable\n")
    with pytest.raises(IngotError, match="is signed by no known key"):
        archive.update()


def test_a_question_that_failed_lets_the_next_one_ask(programs: Path, archive: Archive) -> None:
    (programs / "status").write_text("1")
    with pytest.raises(IngotError):
        archive.closure({"slurmd": None})
    (programs / "status").write_text("0")
    assert archive.closure({"slurmd": None}) == {}
