"""What nobody has published is recorded from a download, and only of what the vendor's key has signed."""

import gzip
import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingot import paths
from ingot.lock import file as locks
from ingot.lock.record import keep, record
from ingot.model.lock import Artifact, Lock, LockedComponent, Repository, VendorPackage
from ingot.model.types import DISTRIBUTION
from tests.unit.simulated_vendor import Vendor, serving

CONTENT = b"an installer"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
EMPTY = locks.load(paths.LOCKS / "2026.11" / "ubuntu2404-x86_64.yml").model_copy(update={"repositories": {}})


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    with serving(tmp_path) as made:
        made.write("efa.tar.gz", CONTENT)
        yield made


def lock_with(artifact: Artifact) -> Lock:
    entry = LockedComponent(version="1.50.0", source="download", artifact=artifact, why="test")
    unresolved = {} if artifact.sha256 else {"efa": "the file's SHA-256"}
    return EMPTY.model_copy(update={"components": {"efa": entry}, "unresolved": unresolved})


def resolved(lock: Lock) -> Lock:
    """The lock as recorded, of which nothing has failed."""
    done, failed = record(lock)
    assert failed == {}
    return done


def failure(lock: Lock) -> str:
    """Why its one component could not be recorded; it is as it was."""
    done, failed = record(lock)
    assert done == lock
    (error,) = failed.values()
    return error.message


def recorded(lock: Lock) -> str | None:
    artifact = lock.components["efa"].artifact
    assert artifact is not None
    return artifact.sha256


def test_a_file_is_hashed_and_resolved(vendor: Vendor) -> None:
    done = resolved(lock_with(Artifact(url=f"{vendor.url}/efa.tar.gz")))
    assert recorded(done) == DIGEST
    assert done.unresolved == {}


def test_a_signature_by_the_pinned_key_is_accepted(vendor: Vendor) -> None:
    fingerprint = vendor.make_key()
    vendor.sign("efa.tar.gz", "efa.sig")
    url, key = f"{vendor.url}/efa.tar.gz", f"{vendor.url}/key"
    signed = Artifact(url=url, signature=f"{vendor.url}/efa.sig", key_url=key, key_fingerprint=fingerprint)
    assert recorded(resolved(lock_with(signed))) == DIGEST
    vendor.write("efa.tar.gz", b"something else")
    assert re.search("is signed by nobody, not by", failure(lock_with(signed)))


def test_a_key_is_found_on_a_page_of_documentation(vendor: Vendor) -> None:
    fingerprint = vendor.make_key()
    vendor.sign("efa.tar.gz", "efa.sig")
    vendor.write("page", b"<p>Save it:</p><pre>" + (vendor.folder / "key").read_bytes() + b"</pre>")
    signed = Artifact(
        url=f"{vendor.url}/efa.tar.gz",
        signature=f"{vendor.url}/efa.sig",
        key_url=f"{vendor.url}/page",
        key_fingerprint=fingerprint,
    )
    assert recorded(resolved(lock_with(signed))) == DIGEST


def test_a_signature_by_another_key_is_refused(vendor: Vendor) -> None:
    vendor.make_key()
    vendor.sign("efa.tar.gz", "efa.sig")
    url, key = f"{vendor.url}/efa.tar.gz", f"{vendor.url}/key"
    signed = Artifact(url=url, signature=f"{vendor.url}/efa.sig", key_url=key, key_fingerprint="A" * 40)
    assert re.search(r"key is \w{40}, not AAAA", failure(lock_with(signed)))


def test_a_signed_file_without_a_known_key_is_not_recorded(vendor: Vendor) -> None:
    signed = Artifact(url=f"{vendor.url}/efa.tar.gz", signature=f"{vendor.url}/efa.sig", key_url=f"{vendor.url}/key")
    assert "is not recorded" in failure(lock_with(signed))


def test_a_file_that_is_not_there_is_named(vendor: Vendor) -> None:
    assert re.search(r"gone\.tar\.gz answers 404", failure(lock_with(Artifact(url=f"{vendor.url}/gone.tar.gz"))))


def test_what_an_earlier_lock_has_recorded_is_kept_while_the_address_is_the_same() -> None:
    new, old = Artifact(url="https://example.org/1"), Artifact(url="https://example.org/1", sha256=DIGEST)
    kept = keep(lock_with(new), lock_with(old))
    assert recorded(kept) == DIGEST
    assert kept.unresolved == {}
    assert recorded(keep(lock_with(new), None)) is None
    assert recorded(keep(lock_with(Artifact(url="https://example.org/2")), lock_with(old))) is None


def lock_of(vendor: Vendor, fingerprint: str, kind: str, entry: dict[str, Any], **more: Any) -> Lock:
    """A lock with one component of the vendor's repository."""
    component = LockedComponent(source="vendor", why="test", **entry)
    key = {"key_url": f"{vendor.url}/key", "key_fingerprint": fingerprint}
    repository = Repository.model_validate({"kind": kind, "url": vendor.url, **key, **more})
    return EMPTY.model_copy(
        update={
            "repositories": {"vendor": repository},
            "components": {"nccl": component},
            "unresolved": {"base_image.ec2": "its ID"},
        }
    )


NCCL = {"version": "2.31.2", "packages": ["libnccl2"]}
BUILDS = ["2.30.7-1+cuda13.3", "2.31.2-1+cuda12.9", "2.31.2-1+cuda13.3"]


@pytest.mark.parametrize("layout", [{}, {"suites": ["noble"], "components": ["stable"]}], ids=["flat", "suite"])
def test_packages_of_an_apt_repository_are_recorded(vendor: Vendor, layout: dict[str, list[str]]) -> None:
    fingerprint = vendor.make_key()
    suite, component = (layout[key][0] if layout else "" for key in ("suites", "components"))
    vendor.apt({"libnccl2": BUILDS, "other": ["1"]}, suite, component)
    done = resolved(lock_of(vendor, fingerprint, "apt", NCCL, **layout))
    (file,) = done.components["nccl"].files.values()
    assert (file.version, file.path) == ("2.31.2-1+cuda13.3", "libnccl2_2.31.2-1+cuda13.3.deb")
    content = vendor.package("libnccl2", file.version)
    assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert done.unresolved == {"base_image.ec2": "its ID"}


def test_an_exact_version_is_taken_where_it_is_known(vendor: Vendor) -> None:
    fingerprint = vendor.make_key()
    vendor.apt({"libnccl2": BUILDS})
    done = resolved(lock_of(vendor, fingerprint, "apt", {**NCCL, "exact": {"libnccl2": "2.31.2-1+cuda12.9"}}))
    assert done.components["nccl"].files["libnccl2"].version == "2.31.2-1+cuda12.9"


def test_of_a_version_without_its_build_the_newest_build_is_taken(vendor: Vendor) -> None:
    fingerprint = vendor.make_key()
    vendor.apt({"aws-neuronx-runtime-lib": ["2.33.10.0-a1", "2.33.10.0-b2", "2.34.10.0-c3"]})
    entry: dict[str, Any] = {"version": "2.31.1", "packages": ["aws-neuronx-runtime-lib"]}
    entry |= {"exact": {"aws-neuronx-runtime-lib": "2.33.10.0"}}
    lock = lock_of(vendor, fingerprint, "apt", entry)
    done = resolved(lock)
    (file,) = done.components["nccl"].files.values()
    assert file.version == "2.33.10.0-b2"
    assert keep(lock, done) == done


def test_of_the_system_s_own_packages_only_those_with_an_exact_version_are_recorded(vendor: Vendor) -> None:
    fingerprint = vendor.make_key()
    vendor.rpm({"kernel": [("0", "6.12.55", "74.amzn2023")]})
    entry = {"version": "6.12.55", "packages": ["kernel"], "exact": {"kernel": "6.12.55-74.amzn2023"}}
    lock = lock_of(vendor, fingerprint, "rpm", entry)
    own = {DISTRIBUTION: lock.repositories["vendor"]}
    kernel = lock.components["nccl"].model_copy(update={"source": DISTRIBUTION})
    base = LockedComponent(source=DISTRIBUTION, version="", packages=["chrony"], why="test")
    lock = lock.model_copy(update={"repositories": own, "components": {"kernel": kernel, "base": base}})
    done = resolved(lock)
    assert closure_of(done, "kernel") == {"kernel": "6.12.55-74.amzn2023"}
    assert done.components["base"] == base


def test_packages_of_an_rpm_repository_are_recorded_with_their_epoch(vendor: Vendor) -> None:
    fingerprint = vendor.make_key()
    vendor.rpm({"nvidia-open": [("3", "580.126.20", "1.el9"), ("3", "595.71.05", "1.el9")]})
    entry = {"version": "580.126.20", "packages": ["nvidia-open"]}
    file = resolved(lock_of(vendor, fingerprint, "rpm", entry)).components["nccl"].files["nvidia-open"]
    assert (file.version, file.path) == ("3:580.126.20-1.el9", "nvidia-open-580.126.20.rpm")
    assert file.sha256 == hashlib.sha256(vendor.package("nvidia-open", "580.126.20")).hexdigest()


def closure_of(done: Lock, component: str = "nccl") -> dict[str, str]:
    """Package to version of what has been recorded of a component."""
    return {name: file.version for name, file in done.components[component].files.items()}


@pytest.mark.parametrize(
    ("needs", "taken"),
    [
        ("b", "3"), ("b (<< 2)", "1"), ("b (<= 2)", "2"), ("b (= 1)", "1"), ("b (>= 2)", "3"), ("b (>> 3~)", "3"),
        ("b:any (<= 2), libc6 (>= 2.34), b (>= 1)", "2"), ("b (<< 3), other | b (>= 2)", "2"),
    ],
)  # fmt: skip
def test_what_an_apt_package_needs_is_recorded_in_the_newest_version_that_fits(
    vendor: Vendor, needs: str, taken: str
) -> None:
    fingerprint = vendor.make_key()
    says = {"a": f"Depends: {needs}\n", "b": "Pre-Depends: c\n", "b 4": "Architecture: i386\n"}
    vendor.apt({"a": ["1-1"], "b": ["1", "3", "2", "4"], "c": ["1"], "d": ["1"]}, says=says)
    done = resolved(lock_of(vendor, fingerprint, "apt", {"version": "1", "packages": ["a"]}))
    assert closure_of(done) == {"a": "1-1", "b": taken, "c": "1"}
    assert done.components["nccl"].packages == ["a"]
    assert locks.dump(done)


RPM_NEED = '<rpm:requires><rpm:entry name="/bin/sh"/><rpm:entry name="libc.so.6()(64bit)"/>{}</rpm:requires>'


@pytest.mark.parametrize(
    ("needs", "taken"),
    [
        ('name="b"', "3-1"), ('name="b" flags="LT" epoch="0" ver="2"', "1-1"), ('name="b" flags="LE" ver="2"', "2-1"),
        ('name="b" flags="EQ" ver="1" rel="1"', "1-1"), ('name="b" flags="GE" epoch="0" ver="2"', "3-1"),
        ('name="b" flags="GT" ver="2"', "3-1"), ('name="libb.so.2()(64bit)"', "2-1"), ('name="/usr/bin/b"', "2-1"),
    ],
)  # fmt: skip
def test_what_an_rpm_package_needs_is_recorded_in_the_newest_version_that_fits(
    vendor: Vendor, needs: str, taken: str
) -> None:
    fingerprint = vendor.make_key()
    provides = '<rpm:provides><rpm:entry name="libb.so.2()(64bit)"/></rpm:provides><file>/usr/bin/b</file>'
    says = {"a": RPM_NEED.format(f"<rpm:entry {needs}/>"), "b 2": provides}
    vendor.rpm({"a": [("3", "1", "1.el9")], "b": [("0", each, "1") for each in "132"], "c": [("0", "1", "1")]}, says)
    lock = lock_of(vendor, fingerprint, "rpm", {"version": "1", "packages": ["a"]})
    assert closure_of(resolved(lock)) == {"a": "3:1-1.el9", "b": taken}


def test_packages_of_another_architecture_are_not_in_an_rpm_repository(vendor: Vendor) -> None:
    fingerprint = vendor.make_key()
    vendor.rpm({"a": [("0", "1", "1")]}, arch="i686")
    lock = lock_of(vendor, fingerprint, "rpm", {"version": "1", "packages": ["a"]})
    assert "it has no package of that name" in failure(lock)


@pytest.mark.parametrize(
    ("says", "also"),
    [
        # In the order in which they are written, but what comes anyway or is asked for is enough.
        ({"a": "Depends: b | c\n"}, {"b"}),
        ({"a": "Depends: b | c, d\n", "d": "Depends: c\n"}, {"c", "d"}),
        ({"a": "Depends: b | asked\n"}, set()),
        ({"a": "Depends: virtual\n", "d": "Provides: virtual\n"}, {"d"}),
        ({"a": "Depends: virtual (>= 2)\n", "c": "Provides: virtual\n", "d": "Provides: virtual (= 2)\n"}, {"d"}),
        # A package of the name comes before what provides it, and what is here before what the distribution may have.
        ({"a": "Depends: d\n", "b": "Provides: d\n"}, {"d"}),
        ({"a": "Depends: libfoo | b\n"}, {"b"}),
        # What a package has itself is no reason for another that has it too.
        ({"a": "Depends: d | c\n", "d": "Depends: virtual\nProvides: virtual\n", "b": "Provides: virtual\n"}, {"d"}),
        ({"a": "Depends: c | d\n", "c": "Depends: asked (>> 1)\n"}, {"d"}),
        # The distribution may have the other one.
        ({"a": "Depends: c | libfoo\n", "c": "Depends: asked (>> 1)\n"}, set()),
        ({"a": "Depends: b,\n c (>= 1)\n"}, {"b", "c"}),
    ],
    ids=lambda given: str(sorted(given)),
)
def test_one_of_alternatives_is_recorded(vendor: Vendor, says: dict[str, str], also: set[str]) -> None:
    fingerprint = vendor.make_key()
    vendor.apt({name: ["1"] for name in ("a", "asked", "b", "c", "d")}, says=says)
    lock = lock_of(vendor, fingerprint, "apt", {"version": "1", "packages": ["a", "asked"]})
    assert set(closure_of(resolved(lock))) == {"a", "asked", *also}


def with_component(lock: Lock, name: str, package: str, version: str = "1", **more: Any) -> Lock:
    """The lock with one more component of the vendor's repository."""
    entry = LockedComponent(source="vendor", why="test", version=version, packages=[package], **more)
    return lock.model_copy(update={"components": {**lock.components, name: entry}})


def test_components_of_a_repository_agree_on_one_version_and_what_does_not_fit_is_named(vendor: Vendor) -> None:
    fingerprint = vendor.make_key()
    says = {"a": "Depends: c\n", "b": "Depends: c (<< 3)\n", "d": "Depends: c (>= 3)\n"}
    vendor.apt({"a": ["1"], "b": ["1"], "c": ["1", "2", "3"], "d": ["1"]}, says=says)
    lock = lock_of(vendor, fingerprint, "apt", {"version": "1", "packages": ["a"]})
    lock = with_component(with_component(lock, "second", "b"), "third", "d")
    done, failed = record(lock)
    assert closure_of(done) == {"a": "1", "c": "2"}
    assert closure_of(done, "second") == {"b": "1", "c": "2"}
    assert list(failed) == ["third"]
    assert failed["third"].message == "no c fits all: b 1 needs c < 3; d 1 needs c >= 3"
    assert "another version of third in the stack" in failed["third"].hint
    assert done.components["third"].files == {}


def test_an_exact_version_that_another_package_contradicts_is_named(vendor: Vendor) -> None:
    fingerprint = vendor.make_key()
    there, newest = {"libnccl2": BUILDS, "libnccl-dev": BUILDS[2:]}, BUILDS[2]
    vendor.apt(there, says={"libnccl-dev": f"Depends: libnccl2 (= {newest})\n"})
    entry = {"version": "2.31.2", "packages": ["libnccl-dev", "libnccl2"], "exact": {"libnccl2": BUILDS[1]}}
    assert failure(lock_of(vendor, fingerprint, "apt", entry)) == (
        f"no libnccl2 fits all: nccl needs libnccl2 {BUILDS[1]}; libnccl-dev {newest} needs libnccl2 = {newest}"
    )
    # Also where the repository has no version that would fit.
    vendor.apt(there, says={"libnccl-dev": "Depends: libnccl2 (>= 3)\n"})
    assert "needs libnccl2 >= 3" in failure(lock_of(vendor, fingerprint, "apt", entry))


def test_an_older_build_is_taken_where_the_newest_does_not_fit(vendor: Vendor) -> None:
    fingerprint = vendor.make_key()
    says = {f"libnccl-dev {each}": f"Depends: libnccl2 (= {each})\n" for each in BUILDS}
    vendor.apt({"libnccl2": BUILDS, "libnccl-dev": BUILDS}, says=says)
    entry = {"version": "2.31.2", "packages": ["libnccl-dev", "libnccl2"], "exact": {"libnccl2": BUILDS[1]}}
    done = resolved(lock_of(vendor, fingerprint, "apt", entry))
    assert closure_of(done) == {"libnccl-dev": BUILDS[1], "libnccl2": BUILDS[1]}


def test_what_has_been_recorded_is_kept_when_another_component_is(vendor: Vendor) -> None:
    fingerprint = vendor.make_key()
    says = {"a": "Depends: c\n", "b": "Depends: c\n"}
    vendor.apt({"a": ["1"], "b": ["1"], "c": ["1"]}, says=says)
    lock = lock_of(vendor, fingerprint, "apt", {"version": "1", "packages": ["a"]})
    old = resolved(lock)
    vendor.apt({"a": ["1", "1-2"], "b": ["1"], "c": ["1", "2"]}, says=says)
    new = keep(with_component(lock, "second", "b"), old)
    assert new.components["nccl"] == old.components["nccl"]
    done = resolved(new)
    assert closure_of(done) == {"a": "1", "c": "1"}
    assert closure_of(done, "second") == {"b": "1", "c": "1"}
    more = lock_of(vendor, fingerprint, "apt", {"version": "1", "packages": ["a", "b"]})
    exact = lock_of(vendor, fingerprint, "apt", {"version": "1", "packages": ["a"], "exact": {"a": "1-2"}})
    assert (keep(more, old), keep(exact, old)) == (more, exact)


def test_a_record_of_another_source_or_of_a_version_that_the_pin_forbids_now_is_not_kept(vendor: Vendor) -> None:
    unknown = lock_of(vendor, "A" * 40, "apt", {"version": "", "packages": ["a"]})
    file = VendorPackage(version="1", path="a_1.deb", size=1, sha256=DIGEST)
    before = unknown.components["nccl"].model_copy(update={"version": "1", "files": {"a": file}})
    old = unknown.model_copy(update={"components": {"nccl": before}})
    assert keep(unknown, old).components["nccl"] == before
    assert keep(unknown, old, lambda name, version: "the pin is >=2") == unknown
    moved = unknown.components["nccl"].model_copy(update={"source": "other"})
    other = unknown.model_copy(update={"components": {"nccl": moved}})
    assert keep(other, old) == other


def test_a_version_that_only_the_repository_knows_is_that_of_the_package_named_for_it(vendor: Vendor) -> None:
    fingerprint = vendor.make_key()
    vendor.apt(
        {"meta": ["6.17.0.1010"], "modules-6.17": ["2.15.6-1"], "utils": ["2.15.6-1"]},
        says={
            "meta": "Depends: modules-6.17, utils\n",
        },
    )
    entry = {"version": "", "packages": ["meta"], "version_of": "utils"}
    done = resolved(lock_of(vendor, fingerprint, "apt", entry))
    # A metapackage is followed.
    assert closure_of(done) == {"meta": "6.17.0.1010", "modules-6.17": "2.15.6-1", "utils": "2.15.6-1"}
    assert done.components["nccl"].version == "2.15.6"
    wrong = lock_of(vendor, fingerprint, "apt", {**entry, "version_of": "tools"})
    assert "tools, whose version nccl has, is not among the packages" in failure(wrong)


def test_a_pinned_package_that_is_gone_is_named_with_what_there_is(vendor: Vendor) -> None:
    fingerprint = vendor.make_key()
    vendor.apt({"libnccl2": ["2.32.3-1+cuda13.4"]})
    assert re.search(
        r"no longer has libnccl2 2\.31\.2; it has 2\.32\.3-1\+cuda13\.4",
        failure(lock_of(vendor, fingerprint, "apt", NCCL)),
    )


def test_an_index_by_another_key_or_with_another_digest_is_refused(vendor: Vendor) -> None:
    fingerprint = vendor.make_key()
    vendor.apt({"libnccl2": BUILDS})
    assert re.search(r"key is \w{40}, not BBBB", failure(lock_of(vendor, "B" * 40, "apt", NCCL)))
    vendor.write("Packages.gz", gzip.compress(b"Package: libnccl2\n"))
    assert re.search(r"Packages\.gz does not match its digest", failure(lock_of(vendor, fingerprint, "apt", NCCL)))


@pytest.mark.parametrize("kind", ["apt", "rpm"])
def test_an_index_that_the_vendors_next_key_signs_as_well_is_accepted(vendor: Vendor, kind: str) -> None:
    fingerprint = vendor.make_key()
    vendor.rotate()
    if kind == "apt":
        vendor.apt({"libnccl2": BUILDS})
    else:
        vendor.rpm({"libnccl2": [("0", "2.31.2", "1+cuda13.3")]})
    done = resolved(lock_of(vendor, fingerprint, kind, NCCL))
    assert done.components["nccl"].files["libnccl2"].version == "2.31.2-1+cuda13.3"
    # Not the key before it, which the page has, and not the next, which it has not.
    assert "is signed by" in failure(lock_of(vendor, predecessor(vendor), kind, NCCL))


def predecessor(vendor: Vendor) -> str:
    """The fingerprint of the other key on the vendor's page."""
    shown = subprocess.run(
        ["gpg", "--show-keys", "--with-colons", vendor.folder / "key"], capture_output=True, text=True, check=True
    ).stdout
    previous = shown.partition("previous key")[0]
    (*_, fingerprint) = re.finditer(r"^fpr:+(\w+):", previous, re.MULTILINE)
    return fingerprint[1]


def test_recorded_packages_are_written_read_and_kept(vendor: Vendor) -> None:
    fingerprint = vendor.make_key()
    vendor.apt({"libnccl2": BUILDS})
    lock = lock_of(vendor, fingerprint, "apt", NCCL)
    done = resolved(lock)
    assert "files: {libnccl2: {version: '2.31.2-1+cuda13.3'" in locks.dump(done)
    assert keep(lock, done) == done
    newer = lock_of(vendor, fingerprint, "apt", {**NCCL, "version": "2.32.3"})
    assert keep(newer, done) == newer


def test_what_cannot_be_recorded_keeps_nothing_else_from_it(vendor: Vendor) -> None:
    whole = lock_of(vendor, vendor.make_key(), "apt", NCCL)
    vendor.apt({"libnccl2": BUILDS})
    gone = Artifact(url=f"{vendor.url}/gone.tar.gz")
    broken = LockedComponent(version="1", source="download", artifact=gone, why="test")
    unresolved = {**whole.unresolved, "gone": "the file's SHA-256"}
    lock = whole.model_copy(update={"components": {"gone": broken, **whole.components}, "unresolved": unresolved})
    done, failed = record(lock)
    assert list(failed) == ["gone"]
    assert done.components["nccl"].files
    assert set(done.unresolved) == {"gone", "base_image.ec2"}
