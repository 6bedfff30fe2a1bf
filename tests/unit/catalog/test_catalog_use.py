"""Nothing stands in the catalog that nothing reads."""

from collections import Counter

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.lock import file as locks
from ingot.lock.make import make

CATALOG = read_catalog()
TARGETS = list(locks.targets(CATALOG, CATALOG.stacks))


def test_every_component_is_in_a_stack() -> None:
    used = {name for stack in CATALOG.stacks.values() for name in stack.pins}
    assert set(CATALOG.components) - used == set()


def test_every_system_and_architecture_has_an_offer_or_a_reason() -> None:
    for name, component in CATALOG.components.items():
        offered = {os for offer in component.offers for os in offer.os}
        assert set(CATALOG.operating_systems) - offered - set(component.left_out) == set(), name
        assert offered & set(component.left_out) == set(), name


def test_every_repository_and_key_is_used() -> None:
    offers = [offer for component in CATALOG.components.values() for offer in component.offers]
    repositories = {offer.repository.name for offer in offers if offer.repository}
    assert set(CATALOG.repositories.repositories) - repositories == set()
    keys = {row.key for row in CATALOG.repositories.repositories.values()}
    keys |= {offer.download.key for offer in offers if offer.download}
    assert set(CATALOG.repositories.keys) - keys == set()


def test_no_version_stands_twice_for_a_system() -> None:
    for name, component in CATALOG.components.items():
        seen = Counter(
            (os, arch, version, tuple(sorted({**offer.facts, **release.facts}.items())))
            for offer in component.offers
            for version, release in offer.releases.items()
            for os in release.os or offer.os
            for arch in offer.arch
        )
        assert [key for key, count in seen.items() if count > 1] == [], name


def test_every_release_is_of_systems_of_its_offer() -> None:
    for name, component in CATALOG.components.items():
        for offer in component.offers:
            for version, release in offer.releases.items():
                assert set(release.os) <= set(offer.os), f"{name} {version}"


def test_every_lock_that_there_should_be_is_there_and_no_other() -> None:
    wanted = {locks.path_of(target) for target in TARGETS}
    assert wanted == {path for stack in CATALOG.stacks for path in paths.lock_dir(stack).glob("*.yml")}


def test_a_vendors_lock_is_made_anew_with_the_same_bytes() -> None:
    for target in TARGETS:
        if not CATALOG.operating_system(target.os).base:
            made = make(CATALOG, target).lock
            assert locks.dump(made) == locks.path_of(target).read_text(), f"{target}: run `ingot lock`"
