"""What a base image's package manager offers becomes part of the lock, and a frozen build takes nothing else."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ingot import paths
from ingot.catalog.catalog import Catalog
from ingot.catalog.read import read_catalog
from ingot.errors import IngotError
from ingot.lock import asked, record, select
from ingot.lock import file as locks
from ingot.model.lock import Lock, RecordedImage
from ingot.model.target import ImageSelection
from tests.own_locks import copy_locks

BASE = RecordedImage(name="ubuntu-noble-24.04-amd64-server-20261101", owner="099720109477", created=date(2026, 11, 1))
LATER = BASE.model_copy(update={"name": "ubuntu-noble-24.04-amd64-server-20261201"})
CHRONY = {"version": "4.5-1ubuntu4", "origin": "Ubuntu:24.04/noble", "sha256": "1" * 64}
DKMS = {"version": "3.0.11-1ubuntu13", "origin": "Ubuntu:24.04/noble", "sha256": "2" * 64}
NEWER = {"version": "4.5-1ubuntu4.2", "origin": "Ubuntu:24.04/noble-updates", "sha256": "3" * 64}


class Asking:
    """An image of a system whose base image in EC2 is recorded, and the answers of its package manager."""

    def __init__(self, folder: Path, catalog: Catalog, selection: ImageSelection) -> None:
        self.folder, self.catalog, self.selection = folder, catalog, selection

    @property
    def lock(self) -> Lock:
        return locks.load(self.selection.lock_path)

    def answer(self, packages: dict[str, Any], *, frozen: bool = False, **more: Any) -> Lock:
        file = self.folder / "asked.json"
        empty = {"missing": [], "date": "20261201T120000Z", "dated": False}
        file.write_text(json.dumps({"packages": packages, **empty, **more}))
        return asked.take(self.catalog, self.selection, file, frozen=frozen)

    def refusal(self, packages: dict[str, Any], **more: Any) -> IngotError:
        """The error of a frozen build, which leaves the lock as it is."""
        text = self.selection.lock_path.read_text()
        with pytest.raises(IngotError) as refused:
            self.answer(packages, frozen=True, **more)
        assert self.selection.lock_path.read_text() == text
        return refused.value


@pytest.fixture
def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asking:
    monkeypatch.setenv("INGOT_CATALOG", str(copy_locks(tmp_path / "own")))
    catalog = read_catalog(own=paths.own_catalog())
    selection = select.image(catalog, catalog.target(catalog.newest_stack, "ubuntu2404", "x86_64"), "ec2-cpu")
    lock = record.with_images(locks.load(selection.lock_path), {"ec2": BASE})
    selection.lock_path.write_text(locks.dump(lock))
    return Asking(tmp_path, catalog, selection)


def test_the_first_answer_is_recorded_with_its_date_and_shown(asking: Asking) -> None:
    before = asking.lock
    after = asking.answer({"dkms": DKMS, "chrony": CHRONY})
    assert after == asking.lock
    there = after.asked["ec2"]
    assert (there.image, there.date) == (BASE.name, "20261201T120000Z")
    assert {name: package.version for name, package in there.packages.items()} == {
        "chrony": "4.5-1ubuntu4", "dkms": "3.0.11-1ubuntu13",
    }  # fmt: skip
    assert locks.changes(before, after) == [
        "on base image ec2: chrony (none) -> 4.5-1ubuntu4",
        "on base image ec2: dkms (none) -> 3.0.11-1ubuntu13",
    ]
    text = asking.selection.lock_path.read_text()
    assert f"\n      chrony: {{version: '4.5-1ubuntu4', origin: 'Ubuntu:24.04/noble', sha256: '{'1' * 64}'}}\n" in text


def test_an_answer_that_is_as_the_lock_has_it_changes_nothing_and_a_frozen_build_takes_it(asking: Asking) -> None:
    first = asking.answer({"chrony": CHRONY, "dkms": DKMS})
    # Of fewer roles, on another day, and from the archive that has it since.
    moved = {**CHRONY, "origin": "Ubuntu:24.04/noble-updates"}
    for frozen in (False, True):
        assert asking.answer({"chrony": moved}, date="20261224T120000Z", frozen=frozen) == first


def test_an_archive_that_has_moved_on_changes_the_lock_and_ends_a_frozen_build_in_one_error(asking: Asking) -> None:
    asking.answer({"chrony": CHRONY, "dkms": DKMS})
    error = asking.refusal({"chrony": NEWER, "dkms": DKMS}, date="20261224T120000Z")
    assert error.message == (
        "ec2-cpu for ubuntu2404-x86_64 differs from the archive of 20261201T120000Z, which has moved on: the lock has "
        "chrony 4.5-1ubuntu4, the archive offers 4.5-1ubuntu4.2"
    )
    assert error.place == str(asking.selection.lock_path)
    assert error.hint == "build ec2-cpu without --frozen, which records what the archive has now"
    after = asking.answer({"chrony": NEWER}, date="20261224T120000Z").asked["ec2"]
    assert after.date == "20261224T120000Z"
    assert {name: package.version for name, package in after.packages.items()} == {
        "chrony": "4.5-1ubuntu4.2", "dkms": "3.0.11-1ubuntu13",
    }  # fmt: skip


def test_what_is_added_of_the_locks_own_date_keeps_that_date(asking: Asking) -> None:
    asking.answer({"chrony": CHRONY})
    after = asking.answer({"chrony": CHRONY, "dkms": DKMS}, date="20261224T120000Z", dated=True).asked["ec2"]
    assert (after.date, sorted(after.packages)) == ("20261201T120000Z", ["chrony", "dkms"])


def test_a_frozen_build_names_what_is_not_recorded_is_gone_or_has_another_digest(asking: Asking) -> None:
    assert "nothing is recorded of what the system's own archive adds to ec2" in asking.refusal({"dkms": DKMS}).message
    asking.answer({"chrony": CHRONY})
    error = asking.refusal({"dkms": DKMS, "chrony": {**CHRONY, "sha256": "4" * 64}})
    assert "the lock has no dkms, the archive offers 3.0.11-1ubuntu13; the lock has chrony 4.5-1ubuntu4 with" in (
        error.message
    )
    error = asking.refusal({}, missing=["chrony"], dated=True)
    assert error.message.endswith(
        "differs from the archive of 20261201T120000Z: the lock has chrony 4.5-1ubuntu4, the archive has none"
    )


def test_what_was_asked_of_another_base_image_is_forgotten_with_it(asking: Asking) -> None:
    lock = asking.answer({"chrony": CHRONY})
    assert record.keep(lock.model_copy(update={"asked": {}, "images": {}}), lock).asked == lock.asked
    assert record.with_images(lock, {"ec2": LATER}).asked == {}
