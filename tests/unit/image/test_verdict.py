"""A report speaks of the files beside it and of no others: what was built since, or failed, has none of them."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.console import Progress
from ingot.errors import IngotError
from ingot.image import build, verdict
from ingot.image.base import Base
from ingot.image.disk import Disk
from ingot.image.verify import Result
from ingot.lock import select
from ingot.sources.fetch import Fetched
from tests.commandline import ingot

CATALOG = read_catalog()
PASSED = Result(passed=49, failed=0, skipped=0, failures=[], skips=[], seconds=1.0)
FAILED = Result(passed=48, failed=1, skipped=0, failures=[("test_efa.py::test_a", "no")], skips=[], seconds=1.0)


class Killed(BaseException):
    """What ends a build where no code of it runs any more."""


class Machine:
    """What stands in for the steps of a build: each disk is unlike the last, and `fails` is the step that fails."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inputs = "A"
        self.fails = ""
        self.containers: list[str] = []

    @property
    def builds(self) -> int:
        return len(self.containers)

    def converge(self, _: str, variables: dict[str, str], **__: object) -> None:
        self.containers.append(variables["container_name"])
        if self.fails == "roles":
            raise IngotError("a role fails")

    def disk(self, image: str, dest: Path, **_: object) -> Disk:
        assert not (self.folder / "report.json").exists()
        dest.write_text(f"disk {self.builds} of {image}")
        return Disk(dest, 1, 1, 1.0)

    @contextmanager
    def boot(self, *_: object, **__: object) -> Iterator[SimpleNamespace]:
        if self.fails == "killed in boot":
            raise Killed
        yield SimpleNamespace(wall_seconds=1.0, userspace="", host="x", ssh_config=None)

    def verify(self, uri: str, **_: object) -> Result:
        return FAILED if uri.startswith(self.fails or "none") else PASSED

    def run(self, words: list[str], **_: object) -> str:
        return {"cat": '{"observed": {}}', "{{.Id}}": f"sha256:{self.builds}\n"}.get(words[-2], "")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setattr(paths, "build_dir", lambda *_: tmp_path)
    for name in ("ensure_docker", "ensure_local_tools", "ensure_packer", "require_space", "forget", "_take_over"):
        monkeypatch.setattr(build, name, lambda *_: None)
    monkeypatch.setattr(build, "Archive", lambda *_: None)
    monkeypatch.setattr(build, "refresh", lambda selection, *_, **__: (selection, []))
    monkeypatch.setattr(build, "fetch", lambda *_, **__: Fetched(tmp_path, tmp_path, 0))
    monkeypatch.setattr(build, "ensure_base", lambda *_, **__: Base("ingot/base:x", "mmdebstrap"))
    monkeypatch.setattr(build, "container", lambda _, name: nullcontext(name))
    monkeypatch.setattr(build, "inputs_digest", lambda _: made.inputs)
    monkeypatch.setattr(build, "packer_build", made.converge)
    monkeypatch.setattr(build, "make_disk", made.disk)
    monkeypatch.setattr(build, "boot", made.boot)
    monkeypatch.setattr(build, "verify", made.verify)
    monkeypatch.setattr(build, "run", made.run)
    return made


@pytest.fixture
def local(machine: Machine) -> Callable[..., dict[str, Any]]:
    target = CATALOG.target(CATALOG.newest_stack, "debian13", "x86_64")

    def run(**options: bool) -> dict[str, Any]:
        selection = select.image(CATALOG, target, "parallelcluster-cpu")
        return build.local(selection, CATALOG, Progress(quiet=True), **options)

    return run


def test_a_report_names_the_digest_of_each_file_and_the_image_that_it_speaks_of(
    local: Callable[..., dict[str, Any]], machine: Machine
) -> None:
    report = local()
    assert report["docker_image"] == "sha256:1"
    assert set(report["files"]) == {"disk.raw", "manifest.json", "sbom.cdx.json"}
    for name, judged in report["files"].items():
        assert judged["sha256"] == hashlib.sha256((machine.folder / name).read_bytes()).hexdigest()
    assert local() == {**report, "unchanged": True}
    assert machine.builds == 1


@pytest.mark.parametrize("step", ["killed in boot", "docker://", "ssh://"])
def test_what_a_rebuild_that_did_not_pass_has_made_is_built_again(
    local: Callable[..., dict[str, Any]], machine: Machine, step: str
) -> None:
    local()
    machine.fails = step
    with pytest.raises((Killed, IngotError)):
        local(rebuild=True)
    assert not (machine.folder / "report.json").exists()
    machine.fails = ""
    report = local()
    assert "unchanged" not in report
    assert machine.builds == 3


def test_the_containers_of_each_build_have_names_of_their_own(
    local: Callable[..., dict[str, Any]], machine: Machine
) -> None:
    local()
    local(rebuild=True)
    first, second = machine.containers
    assert first != second
    assert first[:-14] == second[:-14]
    assert first.startswith("ingot-parallelcluster-cpu-debian13-x86-64-")


def test_going_back_to_inputs_that_passed_before_others_failed_builds_them_again(
    local: Callable[..., dict[str, Any]], machine: Machine
) -> None:
    local()
    machine.inputs, machine.fails = "B", "ssh://"
    with pytest.raises(IngotError, match="1 tests fail in the machine"):
        local()
    machine.inputs, machine.fails = "A", ""
    assert "unchanged" not in local()


def test_a_rebuild_whose_roles_fail_leaves_the_disk_and_its_verdict(
    local: Callable[..., dict[str, Any]], machine: Machine
) -> None:
    report = local()
    machine.fails = "roles"
    with pytest.raises(IngotError, match="a role fails"):
        local(rebuild=True)
    assert local() == {**report, "unchanged": True}


@pytest.mark.parametrize("name", build.FILES)
def test_a_file_that_is_another_or_gone_has_no_verdict(
    local: Callable[..., dict[str, Any]], machine: Machine, name: str
) -> None:
    local()
    path = machine.folder / name
    content = path.read_bytes()
    path.write_bytes(content[::-1])
    assert verdict.read(machine.folder, build.FILES) is None
    path.write_bytes(content)
    assert verdict.read(machine.folder, build.FILES) is not None
    path.unlink()
    assert verdict.read(machine.folder, build.FILES) is None


def test_a_disk_that_has_not_passed_is_booted_with_a_note(
    local: Callable[..., dict[str, Any]], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingot.image.machine.boot", machine.boot)
    words = ("boot", "parallelcluster-cpu", "--os", "debian13", "--json")
    local()
    passed = ingot(*words)
    (machine.folder / "report.json").unlink()
    other = ingot(*words)
    note = "this disk has not passed the suite"
    assert [(done.returncode, note in done.stderr) for done in (passed, other)] == [(0, False), (0, True)]


def test_a_report_of_an_earlier_version_that_names_no_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps({"inputs_sha256": "A", "paths": {}}))
    assert verdict.read(tmp_path, build.FILES) is None
