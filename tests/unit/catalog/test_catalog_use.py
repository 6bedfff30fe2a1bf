"""Nothing stands in the catalog that nothing reads, and no reason speaks of what is not there."""

import re
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
    needed = {package for offer in offers for package in offer.system_packages}
    systems = CATALOG.operating_systems.values()
    repositories |= {name for system in systems for package, name in system.lacks.items() if package in needed}
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


def said_of(version: str) -> set[str]:
    """How a sentence may speak of a version: as it is, by its minor release, and by its branch if that is a number."""
    parts = version.split(".")
    return {version, ".".join(parts[:2])} | ({parts[0]} if len(parts[0]) > 2 else set())


def test_no_pins_reason_speaks_of_a_version_that_the_lock_has_not() -> None:
    releases = {text for part in CATALOG.components.values() for offer in part.offers for text in offer.releases}
    known = {text for version in releases for text in said_of(version)}
    for target in TARGETS:
        lock = locks.load(locks.path_of(target))
        there = {text for entry in lock.components.values() for text in said_of(entry.version)}
        for name in lock.components:
            why = CATALOG.stack(target.stack).pins[name].on(target.os).why
            spoken = {each for each in re.findall(r"(?<![\w.])\d+(?:\.\d+)*", why) if each in known}
            assert spoken <= there, f"{target.stack} {lock.key} {name}: {why}"
            assert lock.components[name].why.startswith(why.removesuffix("."))


def test_a_vendors_lock_is_made_anew_with_the_same_bytes() -> None:
    for target in TARGETS:
        if not CATALOG.operating_system(target.os).base:
            made = make(CATALOG, target).lock
            assert locks.dump(made) == locks.path_of(target).read_text(), f"{target}: run `ingot lock`"
