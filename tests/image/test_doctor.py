"""`ingot-doctor` says what the machine really has, and that it is what the lock wanted."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

from ingot.model.lock import Lock
from ingot.model.types import BASE_IMAGE, DISTRIBUTION


@pytest.fixture(scope="module")
def findings(host: Host) -> dict[str, Any]:
    """What the doctor says, with its exit code."""
    asked = host.run("ingot-doctor --json")
    if not asked.stdout.startswith("{"):
        pytest.fail(f"ingot-doctor exited with {asked.rc}: {asked.stderr.strip()}")
    return {**json.loads(asked.stdout), "exit": asked.rc}


def test_it_finds_nothing_wrong(findings: dict[str, Any]) -> None:
    assert findings["faults"] == []
    assert findings["exit"] == 0


def test_it_observes_what_the_lock_declares(findings: dict[str, Any], lock: Lock) -> None:
    # Of the system's own packages a lock has the series, or nothing; the doctor itself compares those.
    declared = {
        name: part.version for name, part in lock.components.items() if part.source not in (DISTRIBUTION, BASE_IMAGE)
    }
    assert {name: findings["observed"][name] for name in declared} == declared
    assert findings["differs"] == []


def test_an_ordinary_user_is_told_the_same(findings: dict[str, Any], as_user: Callable[[str], str]) -> None:
    told = json.loads(as_user("ingot-doctor --json || true"))
    assert {key: told[key] for key in ("observed", "faults")} == {key: findings[key] for key in ("observed", "faults")}


def test_it_observes_nothing_of_what_the_lock_leaves_out(findings: dict[str, Any], lock: Lock) -> None:
    assert {name: version for name, version in findings["observed"].items() if version and name in lock.left_out} == {}


def test_a_variable_that_does_harm_is_a_fault_and_one_that_does_none_is_not(host: Host) -> None:
    harmful = host.run("RDMAV_FORK_SAFE=1 ingot-doctor --json")
    assert harmful.rc == 1
    assert [each["rule"] for each in json.loads(harmful.stdout)["settings"]] == ["rdmav"]
    assert any("RDMAV_FORK_SAFE" in fault for fault in json.loads(harmful.stdout)["faults"])
    debugging = host.run("NCCL_DEBUG=INFO ingot-doctor --json")
    assert debugging.rc == 0
    assert json.loads(debugging.stdout)["faults"] == []


def test_it_tells_what_training_finds_and_that_a_node_does_not_differ_from_itself(host: Host, lock: Lock) -> None:
    """The system's own Python has no PyTorch, which is then the one thing to find fault with that needs no device."""
    asked = host.run("ingot-doctor --pytorch --json")
    about = json.loads(asked.stdout)["pytorch"]
    assert about["facts"]["torch_error"] == "ModuleNotFoundError: No module named 'torch'"
    assert about["facts"]["processors"] == int(host.check_output("nproc --all"))
    assert about["facts"]["libfabric"] == about["expected"].get("libfabric", about["facts"]["libfabric"])
    said = host.run(
        "d=$(mktemp) && ingot-doctor --pytorch --json > $d; ingot-doctor --compare $d $d; s=$?; rm $d; exit $s"
    )
    assert (said.rc, said.stdout) == (0, "2 nodes are the same.\n")


def test_a_rank_is_not_profiled_where_there_is_no_nsight(host: Host) -> None:
    assert host.check_output("ingot-nsys --help").startswith("usage: ingot-nsys")
    assert host.run("RANK=1 INGOT_NSYS_RANKS=0 ingot-nsys true").rc == 0
