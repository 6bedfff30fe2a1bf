"""Set-up leaves alone what is there, and says what is missing where it cannot install it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ingot.errors import IngotError
from ingot.image import setup
from tests.commandline import ingot


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with an empty PATH and a user who cannot become root; the path of its only folder of programs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("INGOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("INGOT_PACKER", raising=False)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(setup, "as_root", lambda: None)
    return programs


def program(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_missing_packages_are_named_where_they_cannot_be_installed(bare: Path) -> None:
    program(bare, "apt-get", "exit 1")
    with pytest.raises(IngotError, match="mmdebstrap") as caught:
        setup.ensure_local_tools()
    assert "qemu-system-x86" in caught.value.message
    assert "apt-get install" in caught.value.hint


def test_no_docker_names_the_package(bare: Path) -> None:
    program(bare, "apt-get", "exit 1")
    with pytest.raises(IngotError, match=r"docker\.io"):
        setup.ensure_docker()


def test_another_distribution_is_told_what_it_lacks(bare: Path) -> None:
    with pytest.raises(IngotError, match="missing packages") as caught:
        setup.ensure_local_tools()
    assert "package manager" in caught.value.hint


def test_a_running_engine_is_left_alone(bare: Path) -> None:
    program(bare, "docker", "exit 0")
    setup.ensure_docker()


def test_a_remote_engine_that_does_not_answer_is_not_replaced(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://build.example:2376")
    with pytest.raises(IngotError, match=r"build\.example"):
        setup.ensure_docker()


def test_a_user_who_may_become_root_is_let_in(bare: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened, asked = tmp_path / "opened", tmp_path / "asked"
    program(bare, "docker", f'test -n "$AS_ROOT" || test -e {opened}')
    program(bare, "dockerd", "exit 1")
    program(bare, "as-root", 'AS_ROOT=1 exec "$@"')
    program(bare, "usermod", f'echo "$@" >> {asked}')
    program(bare, "chown", f'echo "$@" >> {asked}; : > {opened}')
    monkeypatch.setattr(setup, "as_root", lambda: [str(bare / "as-root")])
    monkeypatch.setenv("LOGNAME", "somebody")
    setup.ensure_docker()
    assert asked.read_text().splitlines() == ["-aG docker somebody", f"somebody {setup.DOCKER_SOCKET}"]


def test_packages_are_installed_with_apt(bare: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    program(bare, "env", f'shift; echo "$@" >> {asked}')
    monkeypatch.setattr(setup, "as_root", lambda: [])
    monkeypatch.setattr(setup, "LOCAL_TOOLS", {"mmdebstrap": ["mmdebstrap"]})
    program(bare, "apt-get", "exit 0")
    setup.ensure_local_tools()
    update, install = asked.read_text().splitlines()
    assert update.endswith("update -qq")
    assert install.endswith("install --yes --no-install-recommends mmdebstrap")


def test_for_amis_only_ssh_and_packer_are_installed(
    bare: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    program(bare, "env", f'shift; echo "$@" >> {asked}')
    program(bare, "apt-get", "exit 0")
    program(bare, "docker", f"echo docker >> {asked}; exit 1")
    monkeypatch.setattr(setup, "as_root", lambda: [])
    monkeypatch.setenv("INGOT_PACKER", str(program(bare, "packer", "echo Packer v1.11.2")))
    for name in setup.PLUGIN_NAMES:
        program(bare, f"packer-plugin-{name}", "exit 0")
    done = ingot("setup", "ami")
    assert done.returncode == 0, done.stderr
    _, install = asked.read_text().splitlines()
    assert install.endswith("install --yes --no-install-recommends openssh-client")


def test_a_named_packer_is_taken_with_the_plugins_beside_it(
    bare: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    packer = program(bare, "packer", f'echo "Packer v1.11.2"; echo "$@" >> {asked}')
    for name in setup.PLUGIN_NAMES:
        program(bare, f"packer-plugin-{name}", "exit 0")
    monkeypatch.setenv("INGOT_PACKER", str(packer))
    assert setup.ensure_packer() == packer
    installed = [
        line.rsplit("/", 1)[1] for line in asked.read_text().splitlines() if line.startswith("plugins install")
    ]
    assert installed == list(setup.PLUGIN_NAMES)


def test_a_named_packer_that_is_none_is_refused(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGOT_PACKER", str(bare / "packer"))
    with pytest.raises(IngotError, match="INGOT_PACKER"):
        setup.ensure_packer()


def test_a_build_that_fails_leaves_nothing_behind(bare: Path, tmp_path: Path) -> None:
    program(
        bare, "go", 'test "$1" = version && { echo go version go1.30.1 linux/amd64; exit 0; }; echo broken >&2; exit 1'
    )
    with pytest.raises(IngotError, match="building Packer failed"):
        setup.ensure_packer()
    assert [path.name for path in (tmp_path / "cache" / "packer").iterdir()] == [".lock"]


def test_two_set_ups_at_once_build_packer_once(bare: Path, tmp_path: Path) -> None:
    release, built = tmp_path / "release", tmp_path / "built"
    names = " ".join(f"packer-plugin-{name}" for name in setup.PLUGIN_NAMES)
    body = f"""
if [ "$1" = version ]; then echo go version go1.30.1 linux/amd64; exit 0; fi
echo built >> {built}
while ! [ -e {release} ]; do :; done
/bin/mkdir -p "$GOBIN"
for name in packer {names}; do echo '#!/bin/sh' > "$GOBIN/$name"; /bin/chmod 755 "$GOBIN/$name"; done"""
    program(bare, "go", body)
    both = threading.Barrier(3)

    def set_up() -> Path:
        both.wait()
        return setup.ensure_packer()

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(set_up) for _ in range(2)]
        both.wait()
        while not built.exists():
            time.sleep(0.01)
        release.touch()
        found = {one.result(timeout=60) for one in asked}
    assert len(found) == 1
    assert built.read_text().splitlines() == ["built"]


def test_what_a_killed_build_of_packer_left_is_removed(bare: Path, tmp_path: Path) -> None:
    left = tmp_path / "cache" / "packer" / ".build-killed"
    left.mkdir(parents=True)
    program(bare, "go", 'test "$1" = version && { echo go version go1.30.1 linux/amd64; exit 0; }; exit 1')
    with pytest.raises(IngotError):
        setup.ensure_packer()
    assert not left.exists()
