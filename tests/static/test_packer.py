"""Packer's files are formatted, and valid for every image on every system that is built on this machine."""

import os
import subprocess
from pathlib import Path

import pytest

from ingot.catalog import read_catalog
from ingot.paths import ROOT
from ingot.setup import ensure_packer, packer_environment

CATALOG = read_catalog()
ROWS = [
    (image, system, arch)
    for image in CATALOG.images
    for system, entry in CATALOG.operating_systems.items()
    for arch in entry.architectures
    if entry.base
]


@pytest.fixture(scope="module")
def packer() -> Path:
    return ensure_packer()


def _check(*words: str | Path) -> None:
    env = {**os.environ, **packer_environment()}
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(done.stdout + done.stderr, pytrace=False)


def test_formatted(packer: Path) -> None:
    _check(packer, "fmt", "-check", "-recursive", "packer")


def test_valid_as_the_readme_says_it(packer: Path) -> None:
    _check(packer, "validate", "packer")


@pytest.mark.parametrize(("image", "system", "arch"), ROWS, ids=["-".join(row) for row in ROWS])
def test_valid_for_every_row(packer: Path, image: str, system: str, arch: str) -> None:
    variables = [f"-var={name}={value}" for name, value in (("image", image), ("os", system), ("arch", arch))]
    _check(packer, "validate", *variables, "packer")
