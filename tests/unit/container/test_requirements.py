"""Python packages of containers are resolved after their parents', and bring the NCCL of the base or are refused."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ingot.catalog.catalog import Catalog
from ingot.catalog.read import read_catalog
from ingot.console import Progress
from ingot.container import build as containers
from ingot.container import requirements
from ingot.container.build import CONTAINERS, check_nccl
from ingot.errors import IngotError
from ingot.lock import file as lock
from ingot.lock import select
from ingot.model.target import Target
from tests.commandline import ingot

CATALOG = read_catalog()
LOCK = lock.load(lock.path_of(Target(CATALOG.newest_stack, "ubuntu2404", "x86_64")))
MINE = LOCK.components["nccl"].version
# Says what it was asked, and pins one package.
UV = """
import json, sys
from pathlib import Path
Path(sys.argv[-1]).write_text("torch==2.0\\n")
with Path(__file__).with_suffix(".log").open("a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
"""
# Pins what overrides say, and nothing else.
OVERRIDING = """
import sys
from pathlib import Path
words = sys.argv[1:]
said = Path(words[words.index("--overrides") + 1]).read_text() if "--overrides" in words else ""
Path(words[-1]).write_text(said)
"""


def with_nccl(*roles: str) -> Catalog:
    """A catalog whose containers have a variant for NVIDIA, and whose base has these roles."""
    rows = {
        name: row.model_copy(update={"accelerators": ["nvidia"], "roles": {} if row.parent else {"nvidia": [*roles]}})
        for name, row in CATALOG.containers.items()
    }
    return dataclasses.replace(CATALOG, containers=rows)


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Say which NCCL the requirements of containers bring."""
    monkeypatch.setattr(containers, "CONTAINERS", tmp_path)

    def write(**versions: str) -> None:
        for name, version in versions.items():
            (tmp_path / name).mkdir()
            text = f"torch==2.15.0 \\\n    --hash=sha256:0\nnvidia-nccl-cu13=={version} \\\n    --hash=sha256:0\n"
            (tmp_path / name / "requirements-nvidia.txt").write_text(text)

    return write


def found(catalog: Catalog, name: str = "fsdp") -> str:
    return check_nccl(select.container(catalog, name, CATALOG.newest_stack, accelerator="nvidia"))


def test_another_nccl_than_the_bases_stops_the_build_before_it_begins(
    listed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(pytorch="2.99.0")
    monkeypatch.delattr(containers, "ensure_docker")
    selection = select.container(with_nccl("nccl", "efa"), "fsdp", CATALOG.newest_stack, accelerator="nvidia")
    with pytest.raises(IngotError, match=f"NCCL versions differ: 2.99.0 here, base has {MINE} by lock") as caught:
        containers.build(selection, CATALOG, Progress())
    assert caught.value.place == str(tmp_path / "pytorch" / "requirements-nvidia.txt")
    assert "ingot lock containers" in caught.value.hint
    assert "nccl to ==2.99.0" in caught.value.hint


def test_the_nccl_of_the_base_passes(listed: Any) -> None:
    listed(pytorch=MINE)
    assert found(with_nccl("nccl", "efa")) == f"{MINE} in base and in the requirements"


def test_requirements_without_nccl_leave_that_of_the_base() -> None:
    assert found(with_nccl("nccl"), "base") == f"{MINE} in base; none in the requirements"


def test_a_base_without_nccl_is_told_and_a_child_has_its_parents(listed: Any) -> None:
    listed(pytorch="2.30.7", fsdp="2.30.7")
    assert found(with_nccl("efa")) == "2.30.7 in the requirements; none in base for nvidia"
    (containers.CONTAINERS / "fsdp" / "requirements-nvidia.txt").write_text("nvidia-nccl-cu13==2.31.2\n")
    with pytest.raises(
        IngotError, match=r"NCCL versions differ: 2.31.2 here, .*pytorch/requirements-nvidia.txt has 2.30.7"
    ):
        found(with_nccl("efa"))


def test_what_a_container_is_from_is_resolved_before_it() -> None:
    order = [name for name, _ in requirements.sources(CATALOG, CONTAINERS)]
    files = {path.parent.name for path in CONTAINERS.glob("*/requirements*.in")}
    assert set(order) == files
    for name in order:
        parent = CATALOG.containers[name].parent
        assert parent not in order or order.index(parent) < order.index(name)


def test_lists_are_resolved_without_what_the_nearest_parent_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = tmp_path / "uv.py"
    uv.write_text(UV)
    monkeypatch.setattr(requirements, "COMPILE", [sys.executable, uv])
    monkeypatch.setattr(containers, "CONTAINERS", tmp_path)
    for name in ("base", "pytorch", "fsdp", "jax"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"requirements{'' if name == 'base' else '-cpu'}.in").touch()
    (tmp_path / "pytorch" / "left-out-cpu.txt").touch()
    (tmp_path / "pytorch" / "requirements-cpu.txt").write_text("numpy==1.0\ntorch==1.0\n")
    done = ingot("lock", "containers")
    assert done.returncode == 0, done.stderr
    asked = [json.loads(line) for line in (tmp_path / "uv.log").read_text().splitlines()]
    files = [Path(words[-1]).relative_to(tmp_path).as_posix() for words in asked]
    assert files == [
        "base/requirements.txt", "jax/requirements-cpu.txt", "pytorch/requirements-cpu.txt",
        "fsdp/requirements-cpu.txt",
    ]  # fmt: skip
    left_out = str(tmp_path / "pytorch" / "left-out-cpu.txt")
    assert [left_out in words for words in asked] == [False, False, True, True]
    assert not any("--overrides" in words for words in asked)
    assert [words[words.index("--python-version") + 1] for words in asked] == ["3.12", "3.13", "3.13", "3.13"]
    assert "  numpy 1.0 -> (removed)\n  torch 1.0 -> 2.0\n" in done.stdout


def test_nccl_is_resolved_to_that_of_the_lock_where_the_base_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = tmp_path / "uv.py"
    uv.write_text(OVERRIDING)
    monkeypatch.setattr(requirements, "COMPILE", [sys.executable, uv])
    for name in ("pytorch", "fsdp"):
        (tmp_path / name).mkdir()
    for accelerator, version in (("nvidia", MINE), ("cpu", "")):
        source = tmp_path / "fsdp" / f"requirements-{accelerator}.in"
        source.touch()
        requirements.renew("fsdp", source, CATALOG)
        assert requirements.nccl(source.with_suffix(".txt")) == version


def test_containers_are_locked_alone() -> None:
    done = ingot("lock", "containers", "--os", "debian13")
    assert (done.returncode, "--os" in done.stderr) == (2, True)
