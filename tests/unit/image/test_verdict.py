"""A report speaks of the files beside it and of no others: what was built since, or failed, has none of them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingot.errors import IngotError
from ingot.image import build, judge, verdict
from tests.commandline import ingot
from tests.unit.image.steps import Killed, Machine


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
    local: Callable[..., dict[str, Any]], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    local()
    machine.fails = "ssh://"
    with monkeypatch.context() as other, pytest.raises(IngotError, match="1 tests fail in the machine"):
        other.setattr(build, "inputs_digest", lambda _: "B")
        local()
    machine.fails = ""
    assert "unchanged" not in local()


def test_a_rebuild_whose_roles_fail_leaves_the_disk_and_its_verdict(
    local: Callable[..., dict[str, Any]], machine: Machine
) -> None:
    report = local()
    machine.fails = "roles"
    with pytest.raises(IngotError, match="a role fails"):
        local(rebuild=True)
    assert local() == {**report, "unchanged": True}


@pytest.mark.parametrize("name", judge.FILES)
def test_a_file_that_is_another_or_gone_has_no_verdict(
    local: Callable[..., dict[str, Any]], machine: Machine, name: str
) -> None:
    local()
    path = machine.folder / name
    content = path.read_bytes()
    path.write_bytes(content[::-1])
    assert verdict.read(machine.folder, judge.FILES) is None
    path.write_bytes(content)
    assert verdict.read(machine.folder, judge.FILES) is not None
    path.unlink()
    assert verdict.read(machine.folder, judge.FILES) is None


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
    assert verdict.read(tmp_path, judge.FILES) is None


def test_a_build_over_budget_says_so_and_fails_where_strict(machine: Machine) -> None:
    machine.failed_units = ["x.service"]
    words = ("local", "parallelcluster-cpu", "--os", "debian13")
    told, strict = ingot(*words), ingot(*words, "--strict")
    assert (told.returncode, strict.returncode) == (0, 1)
    for text in (told.stdout, strict.stderr):
        assert "failed_units: 1, the budget is 0; no earlier build kept to it" in text
