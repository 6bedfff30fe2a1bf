"""A build refuses what cannot end well before it starts anything."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.console import Progress
from ingot.errors import IngotError, UsageError
from ingot.image import build
from ingot.image.build import Request, inputs_digest, local
from ingot.lock.file import path_of

CATALOG = read_catalog()
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def request_() -> Request:
    return Request("parallelcluster", "debian13", "x86_64", CATALOG.newest_stack, rebuild=True)


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    monkeypatch.setattr(paths, "build_dir", lambda *_: tmp_path / "build")


def test_too_little_space_is_said_before_anything_is_done(
    request_: Request, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100 << 30, 90 << 30, 10 << 30))
    monkeypatch.setattr(build, "ensure_docker", lambda: pytest.fail("the build has started"))
    with pytest.raises(IngotError, match=r"10\.0 GB are free, 15 GB are needed") as caught:
        local(request_, CATALOG, Progress(quiet=True))
    assert "make room" in caught.value.hint


def test_a_lock_with_something_unresolved_is_refused_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "ensure_docker", lambda: pytest.fail("the build has started"))
    with pytest.raises(
        IngotError, match=r"ubuntu2404-x86_64 cannot be built: nobody has published all of .*slurm"
    ) as caught:
        local(Request("parallelcluster", "ubuntu2404", "x86_64", CATALOG.newest_stack), CATALOG, Progress(quiet=True))
    assert "--record" in caught.value.hint


def test_another_architecture_than_this_machine_s_tools_have_is_refused_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(build, "ensure_docker", lambda: pytest.fail("the build has started"))
    with pytest.raises(UsageError, match="no image is built for aarch64 on this machine") as caught:
        local(Request("parallelcluster", "debian13", "aarch64", CATALOG.newest_stack), CATALOG, Progress(quiet=True))
    assert "--arch aarch64" in caught.value.hint
    assert list((tmp_path / "build").iterdir()) == []


def test_a_build_in_the_same_folder_is_waited_for(request_: Request) -> None:
    with paths.alone(request_.dir), pytest.raises(IngotError, match="another build is using"):
        local(request_, CATALOG, Progress(quiet=True))


def test_the_digest_of_the_inputs_changes_with_a_role(
    request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "checkout"
    for name in ("roles", "plugins", "playbooks", "packer", "containers", "catalog", "locks", "ingot"):
        shutil.copytree(paths.ROOT / name, copy / name)
    lock = path_of(request_.stack, "debian13", "x86_64").relative_to(paths.ROOT)
    before = inputs_digest(paths.ROOT / lock)
    monkeypatch.setattr(paths, "ROOT", copy)
    assert inputs_digest(copy / lock) == before
    tasks = copy / "roles" / "docker" / "tasks" / "main.yml"
    tasks.write_text(tasks.read_text() + "\n")
    assert inputs_digest(copy / lock) != before


def test_the_digest_of_the_inputs_changes_with_an_own_image_and_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "team"
    lock = own / "locks" / "mine" / "debian13-x86_64.yml"
    lock.parent.mkdir(parents=True)
    lock.write_text("schema: 1\n")
    monkeypatch.setenv("INGOT_CATALOG", str(own))
    seen = {inputs_digest(lock)}
    (own / "images.yml").write_text("images: {}\n")
    seen.add(inputs_digest(lock))
    lock.write_text("schema: 2\n")
    seen.add(inputs_digest(lock))
    assert len(seen) == 3


def test_the_documentation_says_how_much_disk_is_asked_for() -> None:
    gpus, cpus = build.FREE_GIB["nvidia"], build.FREE_GIB["cpu"]
    text = (paths.ROOT / "docs" / "setup.md").read_text()
    assert f"A local build needs {gpus} GB of free disk, one for CPUs {cpus} GB;" in text
