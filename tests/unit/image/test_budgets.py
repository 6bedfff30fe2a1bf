"""A build that breaks a budget says which, by how much, and what has changed since the last build that did not."""

from pathlib import Path
from typing import Any

import pytest

from ingot.catalog.read import read_catalog
from ingot.errors import IngotError
from ingot.image import history
from ingot.image.bare import Bare
from ingot.image.budgets import broken, complaints, insist, judge
from ingot.image.page import conclude
from ingot.model.budget import Budgets
from tests.unit.image.reports import report

BUDGETS = Budgets.model_validate(
    {
        "boot": 5.0,
        "size": 1.2,
        "slow_units": {"longer_than": 0.5, "at_most": 1},
        "failed_units": 0,
        "steps": {"converge": {"of": "processor", "at_most": 300}, "gone": {"of": "disk", "at_most": 1}},
    }
)
BARE = {"processor": 0.5, "disk": 0.2}


def measured(**facts: Any) -> dict[str, Any]:
    """A report with everything that budgets ask for; 245 MiB are in the image."""
    return report(**{"bare": BARE, "stated_bytes": 245 << 20, **facts})


def booting(userspace: float = 38.2, **facts: Any) -> dict[str, Any]:
    boot = report()["boot"]
    return {**boot, "stages": {**boot["stages"], "userspace": userspace}, **facts}


def test_a_build_is_judged_by_ratios_within_its_own_run() -> None:
    assert judge(measured(), BUDGETS) == {
        "boot": {"measured": 4.716, "at_most": 5.0},
        "size": {"measured": 1.0, "at_most": 1.2},
        "slow_units": {"measured": 1, "at_most": 1},
        "failed_units": {"measured": 0, "at_most": 0},
        "steps.converge": {"measured": 240.0, "at_most": 300},
    }
    assert broken(judge(measured(), BUDGETS)) == {}


def test_what_a_report_says_nothing_about_is_not_judged() -> None:
    silent = report(boot={}, space={})
    assert judge(silent, BUDGETS) == {}
    assert judge(measured(), Budgets()) == {}


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"boot": booting(81.0)}, "boot: 10, the budget is 5 (100% over)"),
        ({"stated_bytes": 100 << 20}, "size: 2.45, the budget is 1.2 (104% over)"),
        ({"boot": booting(slow={"a.service": 4.1, "b.service": 9.0})}, "slow_units: 2, the budget is 1 (100% over)"),
        ({"boot": booting(failed=["x.service"])}, "failed_units: 1, the budget is 0;"),
        ({"bare": {**BARE, "processor": 0.25}}, "steps.converge: 480, the budget is 300 (60% over)"),
    ],
)
def test_each_broken_budget_is_named_with_by_how_much(facts: dict[str, Any], text: str) -> None:
    (complaint,) = complaints(measured(**facts), BUDGETS, [])
    assert complaint.startswith(text)
    assert complaint.endswith("no earlier build kept to it")


def test_a_complaint_says_what_changed_since_the_last_build_that_kept_to_the_budget() -> None:
    good = measured(number=4)
    slow = measured(number=5, boot=booting(99.0))
    declared = {**good["declared"], "efa": "1.44.0"}
    (complaint,) = complaints(
        measured(boot=booting(99.0), declared=declared, git_commit="e" * 40), BUDGETS, [good, slow]
    )
    assert "since build 4, which kept to it: inputs: git_commit ffffffffffff → eeeeeeeeeeee; " in complaint
    assert "components: efa 1.43.2 → 1.44.0" in complaint
    (same,) = complaints(measured(boot=booting(99.0)), BUDGETS, [good, slow])
    assert same.endswith("since build 4, which kept to it: nothing has changed")


def test_the_page_and_the_report_say_what_is_over_budget(tmp_path: Path) -> None:
    conclude(tmp_path, measured(), {}, BUDGETS)
    whole = conclude(tmp_path, measured(boot=booting(99.0)), {}, BUDGETS)
    (complaint,) = whole["over_budget"]
    assert "since build 1" in complaint
    assert f"Over budget: {complaint}" in (tmp_path / "report.html").read_text()
    assert history.reports(tmp_path)[0]["over_budget"] == []
    with pytest.raises(IngotError, match="1 of the budgets are broken\n  boot: ") as strict:
        insist(whole["over_budget"], "build")
    assert strict.value.exit_code == 1
    insist([], "build")


def test_the_bare_machine_is_measured_in_little_time_and_leaves_nothing(tmp_path: Path) -> None:
    bare = Bare(tmp_path)
    bare.again()
    assert all(0 < seconds < 30 for seconds in bare.seconds.values())
    assert list(tmp_path.iterdir()) == []


def test_the_budgets_of_the_catalog_are_of_steps_that_builds_have() -> None:
    assert set(read_catalog().budgets.steps) <= set(report()["seconds"])
