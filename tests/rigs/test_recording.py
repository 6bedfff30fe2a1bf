"""From vendors' signed repositories and files a build records its image's versions and digests, and goes on.

Vendors are simulated; indexes, keys, signatures and files are real. What builds then is played by the test.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from ingot import paths
from ingot.errors import IngotError
from ingot.lock import file as locks
from ingot.lock import fill
from ingot.lock.grade import grades
from ingot.model.lock import Lock, RecordedImage
from tests.commandline import Completed, ingot
from tests.rigs import own_stack
from tests.rigs.locks import unrecorded, with_entry
from tests.rigs.vendors import Vendors, serving

pytestmark = [pytest.mark.docker, pytest.mark.network]

GOES_ON = "the build goes on"
BASE = RecordedImage(name="simulated-2026-11-01", owner="123456789012", created=date(2026, 11, 1))
# For a lock that does not know it.
DOCKER = "29.8.1"
# Versions that only their repositories tell.
OPEN = ["docker", "lustre"]


@pytest.fixture(scope="module", params=["ubuntu2404", pytest.param("rocky9", marks=pytest.mark.slow)])
def vendors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendors]:
    """The vendors of a system's lock, with a version of what only a repository tells."""
    lock = own_stack.whole(request.param)
    lock = with_entry(lock, "docker", version=lock.components["docker"].version or DOCKER)
    with serving(lock, list(lock.components), tmp_path_factory.mktemp("rig") / "vendors") as made:
        yield made


@pytest.fixture
def own(vendors: Vendors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalog whose lock names the vendors, and has nothing recorded."""

    def begin() -> None:
        raise IngotError(GOES_ON)

    lock = unrecorded(vendors.lock, *vendors.lock.components)
    for name in OPEN:
        lock = with_entry(lock, name, version="", exact={})
    own_stack.write(replace(vendors, lock=lock), tmp_path / "own")
    (tmp_path / "build").mkdir()
    monkeypatch.setattr(paths, "build_dir", lambda *_: tmp_path / "build")
    monkeypatch.setenv("INGOT_CATALOG", "")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setattr("ingot.ami.build.ensure_packer", begin)
    monkeypatch.setattr(fill, "newest_images", lambda rows, *_: dict.fromkeys(rows, BASE))
    return tmp_path / "own"


def build(own: Path, os_name: str, *words: str) -> Completed:
    where = ["--os", os_name, "--stack", own_stack.NAME, "--region", "us-east-1"]
    return ingot("--catalog", own, "ami", "build", "ec2", *where, *words)


def recorded(own: Path, lock: Lock) -> Lock:
    return locks.load(own / "locks" / own_stack.NAME / f"{lock.key}.yml")


def test_a_build_records_its_image_once_and_then_builds_frozen(vendors: Vendors, own: Path) -> None:
    os_name = vendors.lock.os
    assert "is not frozen" in build(own, os_name, "--frozen").stderr
    done = build(own, os_name)
    assert GOES_ON in done.stderr, done.stderr
    lock = recorded(own, vendors.lock)
    took = re.search(r"record: ([\d.]+) s", done.stderr)
    assert took
    print(f"{os_name}: {len(locks.pins(lock))} pins, recorded in {took[1]} s")
    plan = ingot("--catalog", own, "plan", "ec2", "--os", os_name, "--stack", own_stack.NAME)
    assert "unresolved" not in plan.stdout
    assert "signature" not in plan.stdout
    for name, pin in grades(lock).items():
        if pin.grade == "digest":
            # As the explicit command records it.
            assert lock.components[name].files == vendors.lock.components[name].files, name
    for name in OPEN:
        assert lock.components[name].version == vendors.lock.components[name].version
    text = (own / "locks" / own_stack.NAME / f"{lock.key}.yml").read_bytes()
    for words in ([], ["--frozen"]):
        again = build(own, os_name, *words)
        assert GOES_ON in again.stderr, again.stderr
        assert "record: " not in again.stderr
        assert (own / "locks" / own_stack.NAME / f"{lock.key}.yml").read_bytes() == text
