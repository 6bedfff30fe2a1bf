"""Finished builds are kept, listed, and compared with the one before."""

import json
from pathlib import Path
from typing import Any

import pytest

from ingot import paths
from ingot.image import history
from tests.commandline import ingot
from tests.unit.image.reports import report


def test_the_last_builds_are_kept_under_numbers_that_go_on(tmp_path: Path) -> None:
    for number in range(history.KEPT + 3):
        history.keep(tmp_path, report(git_commit=str(number)))
    kept = history.reports(tmp_path)
    assert [each["number"] for each in kept] == list(range(4, history.KEPT + 4))
    assert kept[-1]["git_commit"] == str(history.KEPT + 2)
    assert len(list((tmp_path / history.FOLDER).iterdir())) == history.KEPT


def test_a_history_may_be_deleted_or_damaged_at_any_time(tmp_path: Path) -> None:
    assert history.reports(tmp_path) == []
    assert history.expected(tmp_path) == {}
    history.keep(tmp_path, report())
    history.keep(tmp_path, report(seconds={"boot": 9.0}))
    (tmp_path / history.FOLDER / "0003.json").write_text("{ half a rep")
    (tmp_path / history.FOLDER / "notes.json").write_text("{}")
    assert history.expected(tmp_path) == {"boot": 9.0}
    history.keep(tmp_path, report())
    assert [each["number"] for each in history.reports(tmp_path)] == [1, 2, 4]


def test_a_difference_names_what_changed_and_nothing_else() -> None:
    before = report()
    declared = {**before["declared"], "efa": "1.44.0"}
    packages = {**before["packages"], "libnew": "1.0"}
    after = report(declared=declared, packages=packages)
    assert history.difference(before, after) == {
        "components": {"efa": (before["declared"]["efa"], "1.44.0")},
        "packages": {"libnew": (None, "1.0")},
    }
    assert history.difference(before, before) == {}


def test_builds_are_listed_the_newest_last_as_lines_and_as_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    assert "no finished builds" in ingot("list", "builds").stdout
    folder = tmp_path / "build" / "ec2-cpu" / "debian13-x86_64"
    ami: dict[str, Any] = {"ami": "ami-1", "suite": {"passed": 9, "failed": 0, "skipped": 1}}
    history.keep(folder, report(image="ec2-cpu", finished="2026-12-01T10:00:00+00:00"))
    history.keep(folder / "ami", report(image="ec2-cpu", finished="2026-12-01T11:00:00+00:00", **ami))
    history.keep(tmp_path / "build" / "ec2" / "debian13-x86_64", report(finished="2026-12-01T09:00:00+00:00"))
    rows = json.loads(ingot("list", "builds", "--json").stdout)
    assert [(row["image"], row["ami"], row["number"]) for row in rows] == [
        ("parallelcluster-cpu", "", 1),
        ("ec2-cpu", "", 1),
        ("ec2-cpu", "ami-1", 1),
    ]
    assert rows[-1]["passed"] == 9
    assert rows[0]["seconds"] == sum(report()["seconds"].values())
    shown = ingot("list", "builds", "ec2-cpu").stdout
    assert shown.index("local") < shown.index("ami-1")
    assert "parallelcluster-cpu" not in shown
