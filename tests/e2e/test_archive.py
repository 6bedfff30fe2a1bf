"""A lock follows the archive: the same archive gives the same lock, and what is gone from it is renewed, no more."""

from dataclasses import replace
from pathlib import Path

import pytest

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.console import Progress
from ingot.errors import IngotError
from ingot.image.build import refresh
from ingot.lock import file as locks
from ingot.lock import select
from ingot.lock.make import make
from ingot.model.lock import Lock
from ingot.model.target import ImageSelection
from ingot.sources.apt import Archive

pytestmark = pytest.mark.network

CATALOG = read_catalog()
STACK = CATALOG.newest_stack
TARGET = CATALOG.target(STACK, "debian13", "x86_64")


@pytest.fixture(scope="module")
def archive() -> Archive:
    found = Archive("debian13", CATALOG.operating_system("debian13"), "x86_64")
    found.update()
    return found


@pytest.fixture(scope="module")
def fresh() -> Lock:
    """What the archive gives today."""
    return make(CATALOG, TARGET).lock


def outdated(lock: Lock, name: str) -> Lock:
    """The lock with a version of `name` that no archive has."""
    package = lock.packages[name].model_copy(update={"version": "0.0-ingot"})
    return lock.model_copy(update={"packages": {**lock.packages, name: package}})


def selected(lock: Lock, path: Path) -> ImageSelection:
    """An image of `lock`, which is written to `path`."""
    path.write_text(locks.dump(lock))
    return replace(select.image_of_lock(CATALOG, TARGET, "parallelcluster-cpu", lock), lock_path=path)


def test_resolving_twice_gives_the_same_bytes(fresh: Lock) -> None:
    assert locks.dump(make(CATALOG, TARGET).lock) == locks.dump(fresh)


def test_a_lock_for_aarch64_has_its_kernel_and_wheels_and_the_same_bytes_twice() -> None:
    target = CATALOG.target(STACK, "debian12", "aarch64")
    lock = make(CATALOG, target).lock
    release = lock.components["kernel"].facts["release"]
    assert lock.packages[f"linux-image-{release}"].path.endswith("_arm64.deb")
    assert str(release).endswith("-cloud-arm64")
    assert lock.wheels
    assert [wheel.filename for wheel in lock.wheels.values() if not wheel.filename.endswith("_aarch64.whl")] == []
    assert locks.dump(make(CATALOG, target).lock) == locks.dump(lock)


def test_the_archive_holds_what_was_just_resolved(fresh: Lock, archive: Archive) -> None:
    assert archive.gone(fresh.packages) == []


@pytest.mark.parametrize("image", ["parallelcluster-cpu", "eks"])
def test_what_the_lock_has_of_an_image_is_what_apt_installs_for_it(fresh: Lock, archive: Archive, image: str) -> None:
    mine = fresh.of(CATALOG.image(image).roles)
    asked = {name for entry in mine.components.values() for name in entry.packages}
    versions = {name: package.version for name, package in fresh.packages.items()}
    bare = {"?essential": None, **dict.fromkeys(fresh.archive.packages)}
    assert set(archive.closure({**bare, **dict.fromkeys(asked)}, versions)) == set(mine.packages)


def test_a_package_that_is_gone_is_renewed_and_no_other(
    fresh: Lock, archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = selected(outdated(fresh, "chrony"), tmp_path / "lock.yml")
    new, changed = refresh(old, CATALOG, archive, Progress())
    version = fresh.packages["chrony"].version
    assert changed == [f"chrony 0.0-ingot -> {version}"]
    assert new.lock == fresh.of(new.image.parts)
    assert locks.load(tmp_path / "lock.yml") == fresh
    said = capsys.readouterr().err
    assert "no longer holds 1 pinned packages (chrony)" in said
    assert version in said


def test_a_frozen_build_refuses_instead_and_names_the_package(fresh: Lock, archive: Archive, tmp_path: Path) -> None:
    old = selected(outdated(fresh, "chrony"), tmp_path / "lock.yml")
    before = old.lock_path.read_text()
    with pytest.raises(IngotError, match="no longer holds 1 pinned packages: chrony") as caught:
        refresh(old, CATALOG, archive, Progress(quiet=True), frozen=True)
    assert "--frozen" in caught.value.hint
    assert old.lock_path.read_text() == before


def test_an_index_that_another_key_has_signed_is_refused() -> None:
    system = CATALOG.operating_system("debian13")
    other = system.model_copy(update={"keys": {"other": "0" * 40}})
    with pytest.raises(IngotError, match="is signed by") as caught:
        Archive("debian13", other, "x86_64").update()
    assert "fingerprint" in caught.value.hint


def test_the_committed_locks_are_in_place() -> None:
    assert sorted(path.stem for path in (paths.LOCKS / STACK).glob("*.yml")) == sorted(
        f"{name}-{arch}" for name, system in CATALOG.operating_systems.items() for arch in system.architectures
    )
