"""The collection works where only ansible-core and Docker are: a role by its name, in a play of a few lines."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingot import paths

from .conftest import Ingot

pytestmark = [pytest.mark.docker, pytest.mark.network]

BIN = Path(sys.prefix) / "bin"
NAME = "ingot-test-roles"
PLAY = """\
- hosts: all
  become: true
  roles:
    - ingot.ml.efa
"""


@pytest.fixture(scope="module")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the collection installed from its artifact, and no other."""
    folder = tmp_path_factory.mktemp("collections")
    galaxy = [BIN / "ansible-galaxy", "collection"]
    build = [*galaxy, "build", "--output-path", folder, paths.ROOT]
    install = [*galaxy, "install", "--offline", "--no-deps", "-p", folder]
    subprocess.run(build, check=True, capture_output=True)
    subprocess.run([*install, next(folder.glob("ingot-ml-*.tar.gz"))], check=True, capture_output=True)
    return folder


@pytest.fixture(params=["debian12", "debian13"])
def host(request: pytest.FixtureRequest, ingot: Ingot) -> Iterator[str]:
    """A container of the bare system."""
    base = ingot("base", "--os", request.param).stdout.strip()
    start = ["docker", "run", "-d", "--name", NAME, "--label", "ingot=1", base, "sleep", "infinity"]
    subprocess.run(start, check=True, capture_output=True)
    yield NAME
    subprocess.run(["docker", "rm", "-f", "-v", NAME], check=True, capture_output=True)


def test_a_role_converges_by_its_name_and_a_second_time_changes_nothing(
    host: str, collections: Path, tmp_path: Path
) -> None:
    (tmp_path / "play.yml").write_text(PLAY)
    words = [BIN / "ansible-playbook", "-i", f"{host},", "-c", "community.docker.docker", "play.yml"]
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_BECOME_METHOD": "su"}
    for changed in (True, False):
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("changed=0 " not in done.stdout) == changed, done.stdout
    assert (
        "efa:"
        in subprocess.run(
            ["docker", "exec", host, "fi_info", "--list"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
    )


def test_molecule_passes() -> None:
    done = subprocess.run([BIN / "molecule", "test"], cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
