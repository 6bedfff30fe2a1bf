"""An image of a system that EC2 has no base image of, or that has no driver for it, is refused with the reason."""

from functools import cache
from typing import Any

import pytest

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.model.image import DRIVERS
from tests.commandline import ingot
from tests.rigs.locks import locked

SYSTEM_NAMES = ["ubuntu2404", "ubuntu2204", "al2023", "rhel9", "rocky9", "debian12"]
IMAGES = read_catalog().images


@cache
def refusal(system: str, name: str) -> str:
    """Why the image is not built, as the lock has it; empty where it is built."""
    lock, image = locked(system), IMAGES[name]
    driver = DRIVERS.get(image.accelerator, "")
    if not lock.base_image(name, image):
        why = lock.left_out.get(image.platform)
        return f"no base image of {image.platform} for {system}" + (f": {why}" if why else "")
    return lock.left_out.get(driver, "")


CELLS = [(system, name) for system in SYSTEM_NAMES for name in IMAGES]
REFUSED = [cell for cell in CELLS if refusal(*cell)]


def named(cells: list[tuple[str, str]]) -> list[Any]:
    """Cells as values of a test's parameters."""
    return [pytest.param(*cell, id="-".join(cell)) for cell in cells]


@pytest.mark.parametrize(("system", "name"), named(REFUSED))
def test_an_image_without_base_image_or_driver_is_refused_with_the_reason(
    system: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody answers there.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    done = ingot("ami", "build", name, "--os", system, "--region", "us-east-1")
    assert done.returncode == 1
    assert refusal(system, name) in " ".join(done.stderr.split())
    assert not (paths.ROOT / "build" / name / f"{system}-x86_64" / "ami").exists()
