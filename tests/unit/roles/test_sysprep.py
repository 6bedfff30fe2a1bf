"""The role removes each leftover that those name who seal images, by a list that is not its own."""

from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml

from ingot.paths import ROOT
from tests.image.leftovers import EXAMPLES

PLACES = yaml.safe_load((ROOT / "roles/sysprep/vars/main.yml").read_text())["sysprep_places"]


def is_removed(path: PurePosixPath, place: dict[str, Any]) -> bool:
    """Whether ansible.builtin.find, as the role asks it, gives the file or a folder that it is in."""
    for root in place["paths"]:
        if not path.is_relative_to(root):
            continue
        parts = path.relative_to(root).parts
        for number, name in enumerate(parts[: place.get("depth", 1)], start=1):
            named = any(fnmatch(name, pattern) for pattern in place.get("names", ["*"]))
            spared = any(fnmatch(name, pattern) for pattern in place.get("except", []))
            if named and not spared and (number == len(parts) or place.get("kind") != "file"):
                return True
    return False


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_leftover_is_removed(example: str) -> None:
    assert any(is_removed(PurePosixPath(example), place) for place in PLACES)


@pytest.mark.parametrize(
    "needed", ["/etc/ssh/sshd_config", "/etc/docker/daemon.json", "/root/.bashrc", "/boot/vmlinuz"]
)
def test_what_the_image_needs_stays(needed: str) -> None:
    assert not any(is_removed(PurePosixPath(needed), place) for place in PLACES)
