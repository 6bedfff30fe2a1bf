"""Packer's files are formatted, and valid for every image on every system that is built on this machine."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ingot.catalog.read import read_catalog
from ingot.image.setup import GO_MODULE, PACKER_MINIMUM, ensure_packer, packer_environment
from ingot.lock.file import load, path_of
from ingot.model.target import Target
from ingot.model.types import LOCAL_ARCH
from ingot.paths import ROOT

CATALOG = read_catalog()
ROWS = [
    (image, system, arch)
    for image in CATALOG.images
    for system, entry in CATALOG.operating_systems.items()
    for arch in entry.architectures
    if entry.base and arch == LOCAL_ARCH
]


@pytest.fixture(scope="module")
def packer() -> Path:
    return ensure_packer()


def _check(*words: str | Path) -> None:
    env = {**os.environ, **packer_environment()}
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(done.stdout + done.stderr, pytrace=False)


def test_what_is_fetched_is_of_the_same_versions_as_what_is_built() -> None:
    required = (ROOT / "packer" / "plugins.pkr.hcl").read_text()
    fetched = dict(re.findall(r'source  = "github.com/hashicorp/(\w+)"\n +version = "= (\S+)"', required))
    built = dict(re.findall(r"hashicorp/packer-plugin-(\w+) v(\S+)", (GO_MODULE / "go.mod").read_text()))
    assert fetched == {name: version for name, version in built.items() if name != "sdk"} != {}
    assert f'required_version = ">= {PACKER_MINIMUM}"' in required


def test_formatted(packer: Path) -> None:
    _check(packer, "fmt", "-check", "-recursive", "packer")


def test_valid_as_the_readme_says_it(packer: Path) -> None:
    _check(packer, "validate", "packer")


@pytest.mark.parametrize(("image", "system", "arch"), ROWS, ids=["-".join(row) for row in ROWS])
def test_valid_for_every_row(packer: Path, image: str, system: str, arch: str) -> None:
    variables = [f"-var={name}={value}" for name, value in (("image", image), ("os", system), ("arch", arch))]
    _check(packer, "validate", *variables, "packer")


def test_valid_with_an_own_catalog(packer: Path, tmp_path: Path) -> None:
    (tmp_path / "images.yml").write_text("images: {mine: {roles: [base, kernel]}}\n")
    folder = tmp_path / "locks" / "2026.11-mine"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "locks" / CATALOG.newest_stack / "debian13-x86_64.yml", folder)
    mine = [f"-var=catalog={tmp_path}", "-var=image=mine", "-var=stack=2026.11-mine"]
    _check(packer, "validate", *mine, "packer")
    with pytest.raises(pytest.fail.Exception, match=r"2026\.11-mine"):
        _check(packer, "validate", "-var=image=ec2-cpu", mine[2], "packer")


@pytest.mark.parametrize(
    ("image", "system"), [("parallelcluster", "al2023"), ("eks-neuron", "al2023"), ("ec2", "debian12")]
)
def test_on_an_instance_the_roles_are_those_that_the_base_image_does_not_bring(
    packer: Path, image: str, system: str
) -> None:
    words: list[str | Path] = [packer, "console", f"-var=image={image}", f"-var=os={system}", "packer"]
    env = {**os.environ, **packer_environment()}
    asked = "jsonencode(local.without)"
    done = subprocess.run(words, cwd=ROOT, env=env, input=asked, capture_output=True, text=True, check=True)
    lock, row = load(path_of(Target(CATALOG.newest_stack, system, "x86_64"))), CATALOG.images[image]
    assert set(json.loads(done.stdout)) == {*lock.base_images[lock.base_image(image, row)].brings, "sysprep"}
    assert ("slurm" in json.loads(done.stdout)) == (image == "parallelcluster")
