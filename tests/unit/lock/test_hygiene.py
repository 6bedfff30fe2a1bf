"""Pins that are due for a review are named, and so is what no fact is known of."""

from datetime import timedelta

import pytest

from ingot.catalog.read import read_catalog
from ingot.lock.hygiene import lines, stale, unresolved
from tests.commandline import ingot

CATALOG = read_catalog()
DAYS = sorted({pin.review_after for stack in CATALOG.stacks.values() for pin in stack.pins.values()})


def test_a_pin_is_stale_from_the_day_after_its_review_was_due() -> None:
    assert stale(CATALOG, DAYS[0]) == []
    overdue = stale(CATALOG, DAYS[-1] + timedelta(days=1))
    assert len(overdue) == sum(len(stack.pins) for stack in CATALOG.stacks.values())
    assert all(f"review was due {day}" in " ".join(overdue) for day in DAYS)


def test_what_is_unresolved_is_named_with_the_reason() -> None:
    facts = unresolved(CATALOG)
    assert facts["instance_types"]["trn3.48xlarge"].startswith("vcpus, memory_mib")
    less = facts["locks"][f"{CATALOG.newest_stack} ubuntu2404-x86_64"]["less"]
    assert less["nccl"] == {"grade": "signature", "lacks": "its packages' digests"}
    assert all(pin["lacks"] for lock in facts["locks"].values() for pin in lock["less"].values())
    text = lines(facts)
    assert f"lock {CATALOG.newest_stack} debian13-x86_64: 9 digest" in text
    assert f"lock {CATALOG.newest_stack} ubuntu2404-x86_64: nccl: signature, lacks its packages' digests" in text


@pytest.mark.parametrize(("command", "said"), [("unresolved", "p6e-gb300r.36xlarge"), ("stale", "")])
def test_the_list_is_for_people_and_for_programs(command: str, said: str) -> None:
    for words in ([command], [command, "--json"]):
        done = ingot("list", *words)
        assert done.returncode == 0
        assert said in done.stdout
        assert done.stdout.strip()
