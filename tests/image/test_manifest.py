"""The manifest in the image says what was declared and what was observed, and the two are the same."""

import json
import re
from typing import Any

import pytest
from testinfra.host import Host

from ingot.lock.grade import grades
from ingot.model.component import Brought
from ingot.model.lock import Lock

FOLDER = "/usr/share/ingot"


@pytest.fixture(scope="module")
def manifest(host: Host) -> dict[str, Any]:
    """The image's manifest."""
    document: dict[str, Any] = json.loads(host.check_output(f"cat {FOLDER}/manifest.json"))
    return document


def test_every_json_file_beside_it_can_be_read(host: Host) -> None:
    for path in host.check_output(f"find {FOLDER} -name '*.json'").splitlines():
        assert json.loads(host.check_output("cat %s", path)), path


def test_it_declares_what_the_lock_declares(manifest: dict[str, Any], lock: Lock) -> None:
    declared = manifest["declared"]
    assert (declared["stack"], declared["os"], declared["arch"]) == (lock.stack, lock.os, lock.arch)
    pins = grades(lock)
    assert {
        name: (entry["version"], entry["source"], entry["grade"]) for name, entry in declared["components"].items()
    } == {name: (component.version, component.source, pins[name].grade) for name, component in lock.components.items()}
    assert declared["left_out"] == lock.left_out


def test_it_observed_what_it_declares(manifest: dict[str, Any]) -> None:
    declared, observed = manifest["declared"]["components"], manifest["observed"]
    # Of the system's own a lock has the series (6.12 of 6.12.55, 5.14.0-687 of 5.14.0), or nothing.
    system = {name for name, entry in declared.items() if entry["grade"] == "base"}
    versions = {name: entry["version"] for name, entry in declared.items()}
    assert {name: observed[name] for name in declared.keys() - system} == {
        name: versions[name] for name in declared.keys() - system
    }
    series = {name: (versions[name], observed[name]) for name in system}
    assert {name: both for name, both in series.items() if not both[1] or not _begins(*both)} == {}


def test_it_tells_apart_what_the_base_image_brings(manifest: dict[str, Any], brought: dict[str, Brought]) -> None:
    told = manifest["brought"]
    assert {name: (part["version"], part["note"]) for name, part in told.items()} == {
        name: (part.version, part.note) for name, part in brought.items()
    }
    assert not told.keys() & manifest["declared"]["components"].keys()
    # Known before, or seen: a version may be a part of the other.
    found = {name: part for name, part in told.items() if part["version"] and part["observed"]}
    assert [name for name, part in found.items() if not f"{part['observed']}.".startswith(f"{part['version']}.")] == []


def _begins(declared: str, observed: str) -> bool:
    return observed.startswith(declared) or declared.startswith(observed)


def test_it_lists_the_packages_that_are_there(manifest: dict[str, Any], installed: dict[str, Any]) -> None:
    assert manifest["packages"] == {name: package.version for name, package in installed.items()}


def test_it_lists_the_wheels_of_the_lock(manifest: dict[str, Any], lock: Lock) -> None:
    assert manifest["wheels"] == {
        name: {"version": wheel.version, "sha256": wheel.sha256} for name, wheel in lock.wheels.items()
    }


def test_it_names_the_image_and_what_it_was_made_from(manifest: dict[str, Any], pytestconfig: pytest.Config) -> None:
    assert manifest["image"] == pytestconfig.getoption("--image")
    # Empty where the checkout is an unpacked archive, of which git knows nothing.
    assert re.fullmatch("([0-9a-f]{40}(-dirty)?)?", manifest["inputs"]["git_commit"])
    assert re.fullmatch("[0-9a-f]{64}", manifest["inputs"]["sha256"])
