"""A build refuses what cannot end well before it starts anything."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.console import Progress
from ingot.errors import IngotError
from ingot.image import build
from ingot.image.build import local
from ingot.lock import select
from ingot.model.target import ImageSelection
from tests.commandline import ingot

CATALOG = read_catalog()
Usage = namedtuple("Usage", "total used free")


def selected(os_name: str) -> ImageSelection:
    return select.image(CATALOG, CATALOG.target(CATALOG.newest_stack, os_name, "x86_64"), "parallelcluster")


@pytest.fixture
def selection() -> ImageSelection:
    return selected("debian13")


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    monkeypatch.setattr(paths, "build_dir", lambda *_: tmp_path / "build")


def test_too_little_space_is_said_before_anything_is_done(
    selection: ImageSelection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100 << 30, 90 << 30, 10 << 30))
    monkeypatch.setattr(build, "ensure_docker", lambda: pytest.fail("the build has started"))
    with pytest.raises(IngotError, match=r"10\.0 GiB free, 15 GiB needed") as caught:
        local(selection, CATALOG, Progress(quiet=True), rebuild=True)
    assert "free some space" in caught.value.hint


def test_a_system_without_a_local_base_is_refused_before_anything_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingot.lock.fill.record", lambda *_: pytest.fail("it records"))
    with pytest.raises(IngotError, match=r"ubuntu2404-x86_64 has no local base") as caught:
        local(selected("ubuntu2404"), CATALOG, Progress(quiet=True))
    assert "debian13" in caught.value.hint


def test_an_image_without_a_kernel_is_refused_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(build, "ensure_docker", lambda: pytest.fail("the build has started"))
    row = "platform: ec2, accelerator: cpu, summary: Ours, roles: [base, docker]"
    (tmp_path / "images.yml").write_text(f"images:\n  ours: {{{row}}}\n")
    monkeypatch.setenv("INGOT_CATALOG", str(tmp_path))
    done = ingot("local", "ours", "--os", "debian13")
    assert (done.returncode, "the image ours has no kernel" in done.stderr) == (1, True)


def test_another_architecture_than_this_machine_s_tools_have_is_refused_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(build, "ensure_docker", lambda: pytest.fail("the build has started"))
    done = ingot("local", "parallelcluster", "--os", "debian13", "--arch", "aarch64")
    assert (done.returncode, "no image is built for aarch64 on this machine" in done.stderr) == (2, True)
    assert "--arch aarch64" in done.stderr
    assert list((tmp_path / "build").iterdir()) == []


def test_a_build_in_the_same_folder_is_waited_for(selection: ImageSelection) -> None:
    with paths.alone(selection.dir), pytest.raises(IngotError, match="another build is using"):
        local(selection, CATALOG, Progress(quiet=True), rebuild=True)


def test_a_build_removes_the_containers_of_a_killed_one_in_its_folder_before_it_begins(
    selection: ImageSelection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One container is there at first, another comes from what the killed build still runs."""
    docker, noted = tmp_path / "docker", tmp_path / "noted"
    docker.write_text(
        f'#!/bin/sh\necho "$*" >>{noted}\n'
        'case "$*" in "ps "*name=^ingot-disk*) ;; '
        f'"ps "*) [ "$(grep -c ^rm {noted})" -ge 2 ] || echo left ;; esac\n'
    )
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name in ("ensure_docker", "ensure_local_tools", "ensure_packer", "require_space"):
        monkeypatch.setattr(build, name, lambda *_: None)

    def archive(*_: object) -> None:
        raise IngotError("far enough")

    monkeypatch.setattr(build, "Archive", archive)
    waits: list[Path] = []
    monkeypatch.setattr(build, "wait_for_killed", lambda folder, _: waits.append(folder))
    with pytest.raises(IngotError, match="far enough"):
        local(selection, CATALOG, Progress(quiet=True), rebuild=True)
    lines = noted.read_text().splitlines()
    assert [line for line in lines if line.startswith("rm ")] == ["rm --force --volumes left"] * 2
    prefix = "ingot-parallelcluster-debian13-x86-64-"
    assert any(line.startswith(f"ps --all --filter name=^{prefix}") for line in lines)
    assert waits[0] == selection.dir


def test_the_documentation_says_how_much_disk_is_asked_for() -> None:
    gpus, cpus = build.FREE_GIB["nvidia"], build.FREE_GIB["cpu"]
    text = (paths.ROOT / "docs" / "setup.md").read_text()
    assert f"A local build needs {gpus} GB of free disk, a CPU image {cpus} GB;" in text
