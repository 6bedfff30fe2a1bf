"""The manifest in the image says what was declared and what was observed, and the two are the same."""

import json
from typing import Any

import pytest
from testinfra.host import Host

from ingot.models import Lock

FOLDER = "/usr/share/ingot"


@pytest.fixture(scope="module")
def manifest(host: Host) -> dict[str, Any]:
    """The image's manifest."""
    return json.loads(host.check_output(f"cat {FOLDER}/manifest.json"))


def test_every_json_file_beside_it_can_be_read(host: Host) -> None:
    for path in host.check_output(f"find {FOLDER} -name '*.json'").splitlines():
        assert json.loads(host.check_output("cat %s", path)), path


def test_it_declares_what_the_lock_declares(manifest: dict[str, Any], lock: Lock) -> None:
    declared = {name: component.version for name, component in lock.components.items()}
    assert manifest["declared"] == declared


def test_it_observed_what_it_declares(manifest: dict[str, Any]) -> None:
    assert manifest["observed"] == manifest["declared"]


def test_it_names_the_image_and_its_origin(manifest: dict[str, Any], pytestconfig: pytest.Config) -> None:
    assert manifest["image"] == pytestconfig.getoption("--image")
    assert manifest["commit"]
