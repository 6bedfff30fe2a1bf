"""The collection's archive, as Ansible Galaxy would hand it out, where ansible-core is and nothing else of Ansible."""

import ast
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from ingot import paths
from tests import galaxy
from tests.commandline import ingot_process
from tests.galaxy import BIN, ROLES, run
from tests.rigs.systems import container, docker

KINDS = {"lookup": "lookup", "filter": "filter", "module": "modules", "callback": "callback"}
PLAY = """\
- hosts: localhost
  connection: local
  roles:
    - ingot.ml.{}
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection's archive."""
    return galaxy.archive(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ansible-core for debian13's Python."""
    folder = tmp_path_factory.mktemp("core")
    galaxy.core(folder, "3.13")
    return folder


@pytest.fixture(scope="module")
def bare(archive: Path, core: Path) -> Iterator[str]:
    """A container of the bare system with ansible-core and the archive, which was installed there."""
    base = ingot_process("base", "--os", "debian13").stdout.strip()
    options = [f"--volume={core}:/core:ro", f"--volume={archive}:/{archive.name}:ro", "--env=PYTHONPATH=/core"]
    options += ["--env=PYTHONPYCACHEPREFIX=/tmp/python", "--env=LC_ALL=C.UTF-8"]
    with container(base, *options) as host:
        done = ansible(host, "galaxy", "collection", "install", "--offline", f"/{archive.name}")
        assert "ingot.ml:" in done.stdout and done.returncode == 0, done.stdout + done.stderr
        yield host


def ansible(host: str, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's programs in the container."""
    command = ["docker", "exec", "-i", host, "python3", "-m", "ansible", *words]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


@pytest.mark.docker
@pytest.mark.network
def test_nothing_but_ansible_core_is_there(bare: str) -> None:
    done = ansible(bare, "galaxy", "collection", "list", "--format", "json")
    names = [name for folder in json.loads(done.stdout).values() for name in folder]
    # What begins so is a part of ansible-core.
    assert [name for name in names if not name.startswith("ansible._")] == ["ingot.ml"]


@pytest.mark.docker
@pytest.mark.network
def test_every_role_is_found_by_its_name(bare: str) -> None:
    play = PLAY.format("\n    - ingot.ml.".join(ROLES))
    done = ansible(bare, "playbook", "--syntax-check", "/dev/stdin", stdin=play)
    assert done.returncode == 0, done.stdout + done.stderr
    missing = ansible(bare, "playbook", "--syntax-check", "/dev/stdin", stdin=PLAY.format("nothing"))
    assert "role 'ingot.ml.nothing' was not found" in missing.stdout + missing.stderr


@pytest.mark.docker
@pytest.mark.network
def test_a_play_of_a_few_lines_converges_and_a_second_time_changes_nothing(bare: str) -> None:
    assert len(PLAY.splitlines()) <= 5
    first, second = (ansible(bare, "playbook", "/dev/stdin", stdin=PLAY.format("doctor")) for _ in range(2))
    assert first.returncode == 0, first.stdout + first.stderr
    assert "changed=0 " not in first.stdout
    assert "changed=0 " in second.stdout, second.stdout
    docker("exec", bare, "ingot-doctor", "--help")


@pytest.mark.docker
@pytest.mark.network
@pytest.mark.parametrize("kind", ["role", *KINDS])
def test_ansible_doc_shows_all_there_are(bare: str, kind: str) -> None:
    files = paths.ROOT.glob(f"plugins/{KINDS.get(kind)}/*.py")
    names = [f"ingot.ml.{name}" for name in (ROLES if kind == "role" else sorted(path.stem for path in files))]
    listed = ansible(bare, "doc", "-t", kind, "--list", "--json", "ingot.ml")
    assert sorted(json.loads(listed.stdout)) == names
    shown = ansible(bare, "doc", "-t", kind, "--json", *names)
    assert (shown.returncode, sorted(json.loads(shown.stdout))) == (0, names), shown.stderr


@pytest.fixture(scope="module")
def installed(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the archive becomes, below one that has nothing else."""
    return galaxy.installed(archive, tmp_path_factory.mktemp("collections"))


def test_the_documentation_is_as_galaxy_wants_it(installed: Path) -> None:
    words: list[str | Path] = ["lint-collection-docs", "--plugin-docs", "--validate-collection-refs=self", installed]
    done = run(BIN / "antsibull-docs", *words, ANSIBLE_COLLECTIONS_PATH=str(installed.parents[2]))
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


# ansible-test fetches pip's own installer from a host that not everybody reaches; Python brings a pip along, which
# fetches the same version.
GET_PIP = """import subprocess, sys
subprocess.check_call([sys.executable, "-m", "ensurepip"])
wanted = [word for word in sys.argv[1:] if not word.startswith("--no-")]
subprocess.check_call([sys.executable, "-m", "pip", "install", *wanted])
"""


def _prepare(home: Path) -> None:
    """Give ansible-test a home: that installer, and what pip is told here, of which it hands on no variable."""
    spec = find_spec("ansible_test")
    assert spec and spec.submodule_search_locations
    (package,) = spec.submodule_search_locations
    wanted = re.search(r"pip='([\d.]+)'", (Path(package) / "_internal" / "python_requirements.py").read_text())
    assert wanted
    file = home / ".ansible" / "test" / "cache" / f"get_pip_{wanted[1].replace('.', '_')}.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(GET_PIP)
    told = configparser.ConfigParser(interpolation=None)
    lines = (line.partition("=") for line in run(sys.executable, "-m", "pip", "config", "list").stdout.splitlines())
    told["global"] = {name.rpartition(".")[2]: ast.literal_eval(value) for name, _, value in lines}
    (home / ".config" / "pip").mkdir(parents=True, exist_ok=True)
    with (home / ".config" / "pip" / "pip.conf").open("w") as to:
        told.write(to)


# Every test runs; `compile` and `import` with the Python of this environment alone, not with each that ansible-core
# knows, and `pslint` has no PowerShell to look at.
@pytest.mark.slow
@pytest.mark.network
def test_ansible_tests_of_sanity_pass(installed: Path) -> None:
    # Its environments are kept for the next run.
    home = paths.cache_dir("ansible-test")
    _prepare(home)
    # The archive leaves the tests out, and so what they are to ignore.
    shutil.copytree(paths.ROOT / "tests" / "sanity", installed / "tests" / "sanity")
    words = ["sanity", "--lint", "--python", f"{sys.version_info[0]}.{sys.version_info[1]}"]
    given = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.defpath}", "HOME": str(home)}
    command: list[str | Path] = [BIN / "ansible-test", *words]
    done = subprocess.run(command, cwd=installed, env=given, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr[-3000:]
    ran = set(re.findall(r'Running sanity test "([\w-]+)"', done.stderr))
    listed = run(BIN / "ansible-test", "sanity", "--list-tests").stdout.split()
    assert set(listed) - ran == set(), done.stderr
