"""The cache can be listed, checked and removed at any time; a byte that was flipped is found."""

import hashlib
import json
import threading
import time
from pathlib import Path

import pytest

from ingot import paths
from ingot.lock import file as locks
from ingot.sources.fetch import deb_name
from tests.commandline import ingot

KEY = "debian13-x86_64"


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package in a cache of its own, which is what a lock names."""
    monkeypatch.setenv("INGOT_CACHE", str(tmp_path / "cache"))
    own = tmp_path / "own"
    monkeypatch.setenv("INGOT_CATALOG", str(own))
    text = (paths.LOCKS / "2026.11" / f"{KEY}.yml").read_text()
    lock = locks.load(paths.LOCKS / "2026.11" / f"{KEY}.yml")
    name, entry = next(iter(lock.packages.items()))
    file = paths.cache_dir(f"apt/{KEY}") / deb_name(name, entry)
    file.write_bytes(b"a package")
    (own / "locks" / "mine").mkdir(parents=True)
    digest = hashlib.sha256(b"a package").hexdigest()
    (own / "locks" / "mine" / f"{KEY}.yml").write_text(text.replace(entry.sha256, digest))
    return file


def test_parts_are_listed_with_their_sizes(package: Path) -> None:
    (entry,) = json.loads(ingot("cache", "list", "--json").stdout)
    assert (entry["name"], entry["files"], entry["bytes"]) == (f"apt/{KEY}", 1, 9)
    assert f"apt/{KEY}" in ingot("cache", "list").stdout


def test_a_flipped_byte_is_found_and_named(package: Path) -> None:
    fine = ingot("cache", "check")
    assert (fine.returncode, fine.stdout) == (0, "1 files are what the locks name\n")
    package.write_bytes(b"a pacKage")
    done = ingot("cache", "check")
    assert done.returncode == 1
    assert str(package) in done.stderr
    assert "Traceback" not in done.stderr


def test_parts_are_removed_by_name_or_all_and_an_unknown_name_removes_nothing(package: Path) -> None:
    other = paths.cache_dir("wheels/debian12-x86_64") / "x.whl"
    other.write_bytes(b"x")
    unknown = ingot("cache", "remove", f"apt/{KEY}", "apt/debian31-x86_64")
    assert (unknown.returncode, package.exists()) == (2, True)
    assert ingot("cache", "remove").returncode == ingot("cache", "remove", "--all", f"apt/{KEY}").returncode == 2
    assert ingot("cache", "remove", f"apt/{KEY}").stdout == f"removed apt/{KEY}, 0 KiB\n"
    assert (package.exists(), other.exists()) == (False, True)
    ingot("cache", "remove", "--all")
    assert json.loads(ingot("cache", "list", "--json").stdout) == []
    assert ingot("cache", "remove", "--all").returncode == 0


def test_what_a_build_is_fetching_into_is_removed_when_it_is_done(package: Path) -> None:
    with paths.alone(paths.cache_dir(f"wheels/{KEY}")):
        thread = threading.Thread(target=ingot, args=("cache", "remove", f"apt/{KEY}"))
        thread.start()
        time.sleep(0.3)
        assert package.exists()
    thread.join(60)
    assert not package.exists()
