"""Pins that are due for a review are named, and so is what no fact is known of."""

from datetime import timedelta

import pytest

from ingot.catalog.read import read_catalog
from ingot.lock.hygiene import stale, unresolved
from tests.commandline import ingot

CATALOG = read_catalog()
DAYS = sorted({pin.review_after for stack in CATALOG.stacks.values() for pin in stack.pins.values()})


def test_a_pin_is_stale_from_the_day_after_its_review_was_due() -> None:
    assert stale(CATALOG, DAYS[0]) == []
    lines = stale(CATALOG, DAYS[-1] + timedelta(days=1))
    assert len(lines) == sum(len(stack.pins) for stack in CATALOG.stacks.values())
    assert all(f"review was due {day}" in " ".join(lines) for day in DAYS)


def test_what_is_unresolved_is_named_with_the_reason() -> None:
    lines = unresolved(CATALOG)
    assert any(line.startswith("instance family p6e-gb200: ") for line in lines)
    assert all(len(line.split(": ", 2)[-1]) > 10 for line in lines)


@pytest.mark.parametrize(("command", "said"), [("unresolved", "p6e-gb200"), ("stale", "")])
def test_the_list_is_for_people_and_for_programs(command: str, said: str) -> None:
    for words in ([command], [command, "--json"]):
        done = ingot("list", *words)
        assert done.returncode == 0
        assert said in done.stdout
        assert done.stdout.strip()
