"""Whoever asks how sure a pin is gets the same grade: digest, signature, base or unresolved, and what is missing."""

import json
from typing import Any

import pytest

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.lock.file import load
from ingot.lock.grade import Pin, counts, grades, rules
from ingot.model.lock import Lock
from ingot.model.types import Grade
from tests.commandline import ingot

SHA = "a" * 64
FILE = {"version": "1", "path": "x.deb", "size": 1, "sha256": SHA}
SIGNED = {"url": "https://e.org/x", "signature": "https://e.org/x.sig", "key_fingerprint": "A" * 40}
STARTS: dict[str, Any] = {"base_images": {"ec2": {"owner": "1", "name": "x-*"}}}
DEBIAN = {"version": "1", "suite": "s", "path": "p", "size": 1, "installed": 1, "sha256": SHA}


def pin(entry: dict[str, Any], lacks: str = "", brought: tuple[str, ...] = (), **more: Any) -> Pin:
    """The grade of a component with this entry, in a lock with a signed and an unsigned repository."""
    lock = load(paths.LOCKS / "2026.11" / "ubuntu2404-x86_64.yml")
    data = lock.model_dump(by_alias=True) | {"base_images": {}, "container_image": None}
    repositories = {
        "signed": {"kind": "apt", "url": "https://e.org", "key_fingerprint": "A" * 40},
        "unsigned": {"kind": "apt", "url": "https://e.org"},
        "debian": {"kind": "apt", "suites": ["s"]},
    }
    data |= {"components": {"part": {"version": "1", "why": "", **entry}}, "repositories": repositories, **more}
    data |= {"unresolved": {"part": lacks} if lacks else {}}
    return grades(Lock.model_validate(data), brought)["part"]


@pytest.mark.parametrize(
    ("entry", "grade", "lacks"),
    [
        ({"source": "signed", "packages": ["x"], "files": {"x": FILE}}, "digest", ""),
        ({"source": "signed", "packages": ["x"]}, "signature", "its packages' digests"),
        ({"source": "signed", "packages": ["x", "y"], "files": {"x": FILE}}, "signature", "its packages' digests"),
        ({"source": "signed", "packages": ["x"], "version": ""}, "unresolved", "its version, its packages' digests"),
        # The source of a kernel module is fetched as a file.
        ({"source": "signed", "packages": ["x"], "facts": {"unpacked": "x"}}, "unresolved", "its packages' digests"),
        (
            {"source": "unsigned", "packages": ["x"]},
            "unresolved",
            "its packages' digests, the repository's key",
        ),
        ({"source": "download", "artifact": {"url": "https://e.org/x", "sha256": SHA}}, "digest", ""),
        ({"source": "download", "artifact": SIGNED}, "signature", "the file's SHA-256"),
        ({"source": "download", "artifact": {**SIGNED, "key_fingerprint": ""}}, "unresolved", "the file's SHA-256"),
        ({"source": "download", "artifact": {**SIGNED, "signature": ""}}, "unresolved", "the file's SHA-256"),
        ({"source": "debian", "packages": ["x"]}, "unresolved", "its packages' exact versions and digests"),
        ({"source": "distribution", "packages": ["x"]}, "unresolved", "its packages' exact versions and digests"),
        ({"source": "base_image"}, "base", "its version, which the base image fixes"),
    ],
)
def test_a_grade_follows_from_what_the_lock_has(entry: dict[str, Any], grade: Grade, lacks: str) -> None:
    assert pin(entry) == Pin(grade, lacks)


def test_the_distributions_packages_are_as_sure_as_the_archive_or_the_base_image() -> None:
    entry = {"source": "distribution", "packages": ["x"], "version": ""}
    assert pin(entry, **STARTS).grade == "base"
    assert pin(entry, container_image={"image": f"x@sha256:{SHA}"}).grade == "base"
    assert pin({"source": "debian", "packages": ["x"]}, packages={"x": DEBIAN}).grade == "digest"


def test_what_the_base_image_brings_is_base_and_a_fact_that_no_source_gives_is_unresolved() -> None:
    entry = {"source": "signed", "packages": ["x"], "files": {"x": FILE}}
    assert pin(entry, brought=("part",)).grade == "base"
    assert pin(entry, "the installer's folder") == Pin("unresolved", "the installer's folder")


@pytest.mark.parametrize(
    ("installed", "version", "fit"),
    [
        ("1.2-1", "1.2-1", True), ("1.2-2", "1.2-1", False), ("1.2-1", "", True), (None, "", False),
        (None, "1*", False),
        ("1.2", "1.2*", True), ("1.2-1.el9", "1.2*", True), ("3:1.2-1.el9", "1.2*", True), ("1.2~rc-1", "1.2*", True),
        ("1.20-1", "1.2*", False), ("1.2.1-1", "1.2*", False), ("1.2a-1", "1.2*", False), ("2.1.2-1", "1.2*", False),
    ],
)  # fmt: skip
def test_a_build_of_a_version_is_that_version_and_no_other_is(installed: str | None, version: str, fit: bool) -> None:
    assert rules.fits(installed, version) == fit


@pytest.mark.parametrize("key", ["ubuntu2404-x86_64", "al2023-x86_64", "rocky9-aarch64", "debian13-x86_64"])
def test_of_a_systems_base_and_kernel_nothing_is_asked_that_nobody_can_record(key: str) -> None:
    pins = grades(load(paths.LOCKS / "2026.11" / f"{key}.yml"))
    assert {pins["base"].grade, pins["kernel"].grade} <= {"base", "digest"}


def test_plan_and_list_speak_in_the_same_grades() -> None:
    lock = load(paths.LOCKS / read_catalog().newest_stack / "ubuntu2404-x86_64.yml")
    pins = grades(lock)
    listed = json.loads(ingot("list", "unresolved", "--json").stdout)["locks"][f"{lock.stack} {lock.key}"]
    assert listed["grades"] == counts(pins.values())
    assert {name: row["grade"] for name, row in listed["less"].items()} == {
        name: pin.grade for name, pin in pins.items() if pin.grade != "digest"
    }
    plan = json.loads(ingot("plan", "ec2", "--os", "ubuntu2404", "--json").stdout)
    assert {name: row["grade"] for name, row in plan["components"].items()} == {
        name: pins[name].grade for name in plan["components"]
    }
    assert sum(plan["grades"].values()) == len(plan["components"])
    brought = json.loads(ingot("plan", "parallelcluster", "--os", "ubuntu2404", "--json").stdout)
    assert {brought["components"][name]["grade"] for name in ("efa", "slurm")} == {"base"}
    text = ingot("plan", "ec2", "--os", "ubuntu2404").stdout
    assert f"Grades: {', '.join(f'{count} {grade}' for grade, count in plan['grades'].items())}." in text
