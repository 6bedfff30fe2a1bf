"""An AMI is deprecated from a day on in every region, and disabled only where nothing would miss it."""

import pytest

from tests.aws.names import OTHER, REGION, STABLE
from tests.aws.world import ami, answer, backend, calls, hold
from tests.commandline import ingot

pytestmark = pytest.mark.usefixtures("aws")


def test_an_ami_and_its_copies_are_deprecated_from_that_day_on() -> None:
    made = ami()
    (copied,) = answer(ingot("ami", "copy", made, "--to", OTHER, "--json"))
    words = ["ami", "deprecate", made, "--at", "2099-06-30", "--region", REGION, "--region", OTHER]
    rows = answer(ingot(*words, "--json"))
    assert [(row["id"], row["at"]) for row in rows] == [
        (made, "2099-06-30T00:00Z"),
        (copied["id"], "2099-06-30T00:00Z"),
    ]
    (row,) = answer(ingot("ami", "list", "--region", OTHER, "--json"))
    assert row["deprecation"].startswith("2099-06-30")
    assert "deprecated from 2099-06-30" in ingot("ami", "list", "--region", OTHER).stdout


def test_a_time_of_another_zone_is_told_and_set_in_utc() -> None:
    made = ami()
    (row,) = answer(ingot("ami", "deprecate", made, "--at", "2099-06-30T01:00+02:00", "--json"))
    assert row["at"] == "2099-06-29T23:00Z"
    assert str(backend().amis[made].deprecation_time).startswith("2099-06-29")


def test_what_is_disabled_already_is_not_disabled_again() -> None:
    made = ami()
    assert ingot("ami", "deprecate", made, "--disable").returncode == 0
    with calls() as noted:
        assert ingot("ami", "deprecate", made, "--disable").returncode == 0
    assert "DisableImage" not in noted.names()


def test_it_is_deprecated_now_where_no_day_is_named_and_disabled_if_asked() -> None:
    made = ami()
    assert ingot("ami", "deprecate", made, "--disable").returncode == 0
    assert backend().amis[made].state == "disabled"
    assert backend().amis[made].deprecation_time
    assert ingot("ami", "deprecate", made, "--disable").returncode == 0


def test_what_a_channel_holds_is_not_disabled() -> None:
    made = ami()
    hold(STABLE, made)
    done = ingot("ami", "deprecate", made, "--disable")
    assert done.returncode == 1
    assert "channel stable:parallelcluster/al2023/x86_64" in done.stderr
    assert backend().amis[made].state == "available"
    assert ingot("ami", "deprecate", made).returncode == 0


@pytest.mark.parametrize(
    ("at", "said"), [("tomorrow", "not a date"), ("2020-01-01", "is in the past"), ("2099-02-30", "not a date")]
)
def test_a_day_that_cannot_be_exits_2_before_aws_is_asked(at: str, said: str) -> None:
    with calls() as noted:
        done = ingot("ami", "deprecate", "ami-1", "--at", at)
    assert done.returncode == 2
    assert said in done.stderr
    assert noted.made == []


def test_a_dry_run_changes_nothing() -> None:
    made = ami()
    done = ingot("ami", "deprecate", made, "--disable", "--dry-run")
    assert "would be deprecated" in done.stdout
    assert (backend().amis[made].state, hasattr(backend().amis[made], "deprecation_time")) == ("available", False)
