"""A lock is the same text for the same facts, reads back as itself, and says when the catalog has moved on."""

import shutil
from pathlib import Path

import pytest
import yaml

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.catalog.rules import Context, broken, locked_parts
from ingot.errors import IngotError, UsageError
from ingot.lock import file as locks
from ingot.lock import record
from ingot.lock.grade import grades
from ingot.lock.make import make, offers_of
from ingot.model.lock import Lock
from ingot.model.target import Target
from ingot.model.types import Arch
from ingot.sources.apt import DEB_ARCH, upstream

LOCKS = sorted(paths.LOCKS.glob("*/*.yml"))
DEBIAN = [path for path in LOCKS if path.stem.startswith("debian")]
VENDORS = [path for path in LOCKS if path not in DEBIAN]


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.fixture(params=LOCKS, ids=name)
def lock(request: pytest.FixtureRequest) -> Lock:
    return locks.load(request.param)


@pytest.fixture(params=DEBIAN, ids=name)
def debian_lock(request: pytest.FixtureRequest) -> Lock:
    """A lock that names every package, as the archive has it."""
    return locks.load(request.param)


def test_every_lock_of_the_checkout_matches_its_catalog(lock: Lock) -> None:
    locks.check(lock, read_catalog())


def test_a_lock_is_written_as_it_was_read(lock: Lock) -> None:
    assert locks.dump(lock) == locks.path_of(Target(lock.stack, lock.os, lock.arch)).read_text()


@pytest.mark.parametrize("path", VENDORS, ids=name)
def test_a_lock_that_is_current_would_be_made_again_as_it_is(path: Path) -> None:
    """Of Debian's, whose archive moves on, a test with network says the same."""
    lock = locks.load(path)
    again = make(read_catalog(), Target(lock.stack, lock.os, lock.arch)).lock
    assert locks.dump(record.keep(again, lock)) == path.read_text()


def test_an_image_gets_the_bare_system_and_what_its_components_bring(debian_lock: Lock) -> None:
    lock, images = debian_lock, read_catalog().images
    bare = {name for name, package in lock.packages.items() if not package.by}
    assert set(lock.archive.packages) <= bare
    for image in images.values():
        mine = lock.of(image.roles)
        asked = {name for entry in mine.components.values() for name in entry.packages}
        assert bare | asked <= set(mine.packages)
        assert {name for entry in mine.components.values() for name in entry.wheels} == set(mine.wheels)
    assert set(lock.of([]).packages) == bare
    assert set(lock.of(images["parallelcluster-cpu"].roles).packages).isdisjoint(
        lock.components["nvidia_driver"].packages
    )
    assert lock.of(lock.components).packages == lock.packages


def test_every_package_is_the_bare_system_s_or_says_which_components_bring_it(debian_lock: Lock) -> None:
    for component, entry in debian_lock.components.items():
        brought = {name for name, package in debian_lock.packages.items() if not package.by or component in package.by}
        assert set(entry.packages) <= brought
    assert {name for package in debian_lock.packages.values() for name in package.by} <= set(debian_lock.components)


def test_every_package_that_a_component_asks_for_is_in_the_closure(debian_lock: Lock) -> None:
    lock = debian_lock
    asked = {name for component in lock.components.values() for name in component.packages}
    assert asked | set(lock.archive.packages) <= set(lock.packages)
    assert {name for component in lock.components.values() for name in component.wheels} == set(lock.wheels)
    assert lock.unresolved == {}


def test_everything_in_a_debian_lock_is_of_its_architecture(debian_lock: Lock) -> None:
    arch, deb_arch = debian_lock.arch, DEB_ARCH[debian_lock.arch]
    made_for = {package.path.removesuffix(".deb").rsplit("_", 1)[-1] for package in debian_lock.packages.values()}
    assert made_for == {"all", deb_arch}
    assert [
        wheel.filename for wheel in debian_lock.wheels.values() if not wheel.filename.endswith(f"_{arch}.whl")
    ] == []
    assert {image.ssm.rsplit("/", 1)[-1] for image in debian_lock.base_images.values()} <= {deb_arch}


def test_a_debian_lock_has_the_cloud_kernel_of_its_architecture(debian_lock: Lock) -> None:
    kernel = debian_lock.components["kernel"]
    release = str(kernel.facts["release"])
    assert release.endswith(f"-cloud-{DEB_ARCH[debian_lock.arch]}")
    assert {f"linux-image-{release}", f"linux-headers-{release}"} <= set(kernel.packages)


@pytest.mark.parametrize(("arch", "deb_arch"), DEB_ARCH.items())
def test_the_architecture_stands_in_names_of_the_distribution_s_packages(arch: Arch, deb_arch: str) -> None:
    (offer,) = offers_of(read_catalog().components["kernel"], Target("2026.11", "debian13", arch))
    assert offer.apt is not None
    assert offer.apt.version_of == f"linux-image-cloud-{deb_arch}"
    assert offer.apt.follow == [f"linux-image-cloud-{deb_arch}", f"linux-headers-cloud-{deb_arch}"]
    assert set(offer.apt.follow) < set(offer.apt.packages)


def test_no_lock_breaks_a_rule_that_it_does_not_accept(lock: Lock) -> None:
    parts = locked_parts(lock.components)
    found = broken(parts, read_catalog().components, Context(lock.os, lock.arch), lock.accepted)
    assert [each.message for each in found if each.severity == "error"] == []


def test_what_is_not_known_of_a_component_is_unresolved(lock: Lock) -> None:
    unresolved = {name for name, pin in grades(lock).items() if pin.grade == "unresolved"}
    assert {name for name in lock.unresolved if "." not in name} == unresolved
    assert set(read_catalog().operating_systems[lock.os].unresolved) & set(lock.components) <= unresolved


def test_a_changed_catalog_is_noticed(tmp_path: Path, debian_lock: Lock) -> None:
    copy = tmp_path / "catalog"
    shutil.copytree(paths.CATALOG, copy)
    kernel = copy / "components" / "kernel.yml"
    kernel.write_text(kernel.read_text() + "# a remark\n")
    locks.check(debian_lock, read_catalog(copy))
    kernel.write_text(kernel.read_text().replace("hold: true", "hold: false"))
    with pytest.raises(IngotError, match="the catalog has changed"):
        locks.check(debian_lock, read_catalog(copy))
    with pytest.raises(IngotError, match="the catalog has changed"):
        locks.check_file(locks.path_of(Target(debian_lock.stack, debian_lock.os, debian_lock.arch)), read_catalog(copy))


def test_what_is_no_lock_is_named(tmp_path: Path) -> None:
    path = tmp_path / "debian13-x86_64.yml"
    path.write_text("hello\n")
    with pytest.raises(IngotError, match="not a lock"):
        locks.check_file(path, read_catalog())


def test_a_lock_with_an_unknown_key_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "debian13-x86_64.yml"
    path.write_text(DEBIAN[0].read_text() + "extra: 1\n")
    with pytest.raises(IngotError, match="unknown key 'extra'") as caught:
        locks.load(path)
    assert caught.value.place == f"{path}:{len(path.read_text().splitlines())}"


def test_an_unknown_lock_names_those_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        locks.load(paths.LOCKS / "2026.11" / "debian11-x86_64.yml")
    assert "debian12-x86_64" in caught.value.hint


def test_changes_name_what_was_updated_added_and_removed(debian_lock: Lock) -> None:
    packages = dict(debian_lock.packages)
    first, second, third, *_ = packages
    old, new = dict(packages), dict(packages)
    new[first] = packages[first].model_copy(update={"version": "999"})
    del new[second]
    del old[third]
    locked = [debian_lock.model_copy(update={"packages": side}) for side in (old, new)]
    assert locks.changes(*locked) == sorted(
        [
            f"{first} {packages[first].version} -> 999",
            f"{second} {packages[second].version} -> (removed)",
            f"{third} (none) -> {packages[third].version}",
        ]
    )


def test_a_package_that_was_built_again_under_its_version_has_changed(debian_lock: Lock) -> None:
    name, package = next(iter(debian_lock.packages.items()))
    packages = {**debian_lock.packages, name: package.model_copy(update={"sha256": "0" * 64})}
    assert locks.changes(debian_lock, debian_lock) == []
    line = f"{name} {package.version} -> {package.version} (rebuilt: other digest)"
    assert locks.changes(debian_lock, debian_lock.model_copy(update={"packages": packages})) == [line]


def test_a_lock_is_plain_yaml_with_one_package_a_line(lock: Lock) -> None:
    text = locks.dump(lock)
    assert yaml.safe_load(text)["os"] == lock.os
    for name in list(lock.packages)[:20]:
        assert (
            sum(line.strip().startswith((f"{name}: {{version", f"'{name}': {{version")) for line in text.splitlines())
            == 1
        )


@pytest.mark.parametrize(
    ("debian", "plain"),
    [
        ("12.4.131~12.4.1-2", "12.4.131"),
        ("1:9.2p1-2", "9.2"),
        ("26.1.5+dfsg1-9", "26.1.5"),
        ("535.274.02-1~deb13u1", "535.274.02"),
    ],
)
def test_the_upstream_part_of_a_debian_version(debian: str, plain: str) -> None:
    assert upstream(debian) == plain
