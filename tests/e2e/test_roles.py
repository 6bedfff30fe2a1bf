"""The collection works where only ansible-core and Docker are: a role by its name, in a play of a few lines."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingot import paths
from tests.commandline import ingot_process
from tests.rigs.systems import container, docker

pytestmark = [pytest.mark.docker, pytest.mark.network]

BIN = Path(sys.prefix) / "bin"
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
    galaxy: list[str | Path] = [BIN / "ansible-galaxy", "collection"]
    build = [*galaxy, "build", "--output-path", folder, paths.ROOT]
    install = [*galaxy, "install", "--offline", "--no-deps", "-p", folder]
    # A collection path of its own: galaxy does not install what the checkout's path has already.
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(folder)}
    subprocess.run(build, check=True, capture_output=True)
    subprocess.run([*install, next(folder.glob("ingot-ml-*.tar.gz"))], env=env, check=True, capture_output=True)
    return folder


@pytest.fixture(params=["debian12", "debian13"])
def host(request: pytest.FixtureRequest) -> Iterator[str]:
    """A container of the bare system."""
    base = ingot_process("base", "--os", request.param).stdout.strip()
    with container(base) as name:
        yield name


def converge(play: str, host: str, collections: Path, folder: Path) -> str:
    """Run the play on the host; what Ansible says."""
    (folder / "play.yml").write_text(play)
    words: list[str | Path] = [BIN / "ansible-playbook", "-i", f"{host},", "-c", "community.docker.docker", "play.yml"]
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_BECOME_METHOD": "su"}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_role_converges_by_its_name_and_a_second_time_changes_nothing(
    host: str, collections: Path, tmp_path: Path
) -> None:
    assert "changed=0 " not in converge(PLAY, host, collections, tmp_path)
    assert "changed=0 " in converge(PLAY, host, collections, tmp_path)
    assert "tcp:" in docker("exec", host, "fi_info", "--list").splitlines()


SIGNED = """\
- hosts: all
  vars:
    nvidia_driver_signing_key: /dev/shm/key.pem
    nvidia_driver_signing_certificate: /dev/shm/key.der
  roles:
    - ingot.ml.kernel
    - ingot.ml.nvidia_driver
"""


@pytest.mark.slow
@pytest.mark.parametrize("host", ["debian13"], indirect=True)
def test_modules_are_signed_by_a_given_key_which_does_not_stay(host: str, collections: Path, tmp_path: Path) -> None:
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ingot-test"
    docker("exec", host, *make.split(), "-keyout", "/dev/shm/key.pem", "-outform", "DER", "-out", "/dev/shm/key.der")
    converge(SIGNED, host, collections, tmp_path)
    release = docker("exec", host, "ls", "/lib/modules").strip()
    find = ["find", f"/lib/modules/{release}", "-name", "nvidia*.ko*", "!", "-path", "*/kernel/*"]
    files = docker("exec", host, *find).split()
    assert len(files) >= 4
    assert {docker("exec", host, "modinfo", "-F", "signer", file).strip() for file in files} == {"ingot-test"}
    # What packages say of themselves in apt's lists may name keys.
    kept = "grep -rlsE --exclude-dir=lists 'PRIVATE KEY|/dev/shm/key' /etc /var /usr/lib/dkms /root /tmp"
    assert docker("exec", host, "sh", "-c", f"{kept}; true") == ""


SCENARIOS = [
    ("default", "debian13"),
    ("nvidia", "ubuntu2404"),
    ("nvidia", "al2023"),
    ("neuron", "ubuntu2404"),
    ("eks", "ubuntu2404"),
    ("upgrade", "ubuntu2404"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("scenario", "system"), SCENARIOS)
def test_molecule_passes(scenario: str, system: str) -> None:
    env = {**os.environ, "INGOT_OS": system}
    words: list[str | Path] = [BIN / "molecule", "test", "-s", scenario]
    done = subprocess.run(words, cwd=paths.ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
