"""A lock that is made anew keeps each package of the earlier one while the archive has it."""

from collections.abc import Iterable, Mapping

import pytest

from ingot.catalog.read import read_catalog
from ingot.lock import file as locks
from ingot.lock import make as module
from ingot.lock.make import make
from ingot.model.lock import Lock, Package
from ingot.model.target import Target
from ingot.sources import pypi
from ingot.sources.apt import Wanted

CATALOG = read_catalog()
TARGET = Target(CATALOG.newest_stack, "debian13", "x86_64")
LOCK = locks.load(locks.path_of(TARGET))
RELEASE = str(LOCK.components["kernel"].facts["release"])
# The metapackages of the newest kernel, which a lock follows.
FOLLOWED = {f"linux-{kind}-cloud-amd64": f"linux-{kind}-{RELEASE}" for kind in ("image", "headers")}
# What Python's package index has: the wheel that is locked, and that which numbers its component.
PUBLISHED = {name: [wheel.version] for name, wheel in LOCK.wheels.items()} | {
    offer.wheels.version_of: [entry.version]
    for name, entry in LOCK.components.items()
    for offer in CATALOG.components[name].offers
    if offer.wheels and entry.source == "pypi"
}


class Archive:
    """An archive that has what the lock has, and notes which versions it is asked to prefer."""

    def __init__(self) -> None:
        self.preferred: dict[str, str] = {}

    def update(self) -> dict[str, list[str]]:
        return LOCK.repositories["debian"].key_fingerprints

    def read(self, names: Iterable[str]) -> None:
        """Everything is there at once."""

    def versions(self, name: str) -> list[str]:
        package = LOCK.packages.get(FOLLOWED.get(name, name))
        return [package.version] if package else []

    def target(self, name: str, _: str) -> str:
        return FOLLOWED[name]

    def closure(self, _: Wanted, keep: Mapping[str, str]) -> dict[str, Package]:
        self.preferred = dict(keep)
        return LOCK.packages

    def parts(self, whole: Mapping[str, Package], wanted: Mapping[str, Wanted]) -> dict[str, set[str]]:
        return {part: {name for name, package in whole.items() if part in package.by or not part} for part in wanted}


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Archive:
    made = Archive()
    monkeypatch.setattr(module, "Archive", lambda *_: made)
    monkeypatch.setattr(pypi, "versions", lambda name, _: PUBLISHED.get(name, []))
    monkeypatch.setattr(pypi, "wheel", lambda name, *_: LOCK.wheels[name])
    return made


@pytest.mark.parametrize("keep", [LOCK, None], ids=["renewed", "anew"])
def test_the_versions_of_an_earlier_lock_are_preferred(archive: Archive, keep: Lock | None) -> None:
    made = make(CATALOG, TARGET, keep=keep).lock
    wanted = {name: package.version for name, package in keep.packages.items()} if keep else {}
    assert archive.preferred == wanted
    assert {name: entry.version for name, entry in made.components.items()} == {
        name: entry.version for name, entry in LOCK.components.items()
    }
