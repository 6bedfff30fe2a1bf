"""`ingot-doctor` says what the machine really has, and that it is what the lock wanted."""

import json

from testinfra.host import Host

from ingot.models import Lock


def test_it_finds_nothing_wrong(host: Host) -> None:
    asked = host.run("ingot-doctor")
    assert asked.rc == 0, asked.stdout + asked.stderr


def test_it_observes_what_the_lock_declares(host: Host, lock: Lock) -> None:
    observed = json.loads(host.check_output("ingot-doctor --json"))["observed"]
    declared = {name: component.version for name, component in lock.components.items()}
    assert {name: observed[name] for name in declared} == declared


def test_it_observes_nothing_of_what_the_lock_leaves_out(host: Host, lock: Lock) -> None:
    observed = json.loads(host.check_output("ingot-doctor --json"))["observed"]
    assert {name: observed[name] for name in lock.left_out if observed.get(name) is not None} == {}
