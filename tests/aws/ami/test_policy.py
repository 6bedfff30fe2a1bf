"""The policy of each command allows every call that the command makes, and none that it does not."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ingot.ami import policy as ami_policy
from ingot.ami import promote
from ingot.errors import IngotError
from tests.aws.names import CANDIDATE, OTHER, REGION, STABLE, WORDS
from tests.aws.world import ami, backend, calls, client, hold, left, node_group, refusing, template
from tests.commandline import Completed, ingot

pytestmark = pytest.mark.usefixtures("aws")
TWO = ["--region", REGION, "--region", OTHER]
HELD = "stable:parallelcluster/al2023/x86_64"
DENIED = refusing("PutParameter", "AccessDeniedException", OTHER)


class Recorder:
    """Runs the command line, and notes the actions that it calls."""

    def __init__(self) -> None:
        self.actions: set[str] = set()

    def __call__(self, *words: str, code: int = 0, before: Any = None) -> Completed:
        with calls(before) as noted:
            done = ingot("ami", *words)
        self.actions |= noted.actions()
        assert done.returncode == code, done.stderr
        return done


def referred(made: str) -> None:
    """What makes a search for references go everywhere."""
    node_group(made)
    hold("/ingot/stable/a/b/c", made)
    template("resolve:ssm:/ingot/stable/a/b/c", "alias")


def failed_copy(made: str) -> None:
    """A copy that has failed, which is replaced."""
    (row,) = json.loads(ingot("ami", "copy", made, "--to", OTHER, "--json").stdout)
    backend(OTHER).amis[row["id"]].state = "failed"


def run_list(run: Recorder) -> None:
    run("list")


def run_show(run: Recorder) -> None:
    made = ami()
    hold(STABLE, made)
    referred(made)
    run("show", HELD)


def run_diff(run: Recorder) -> None:
    hold(STABLE, ami())
    run("diff", HELD, ami())


def run_share(run: Recorder) -> None:
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    client("kms").put_key_policy(KeyId=key, PolicyName="default", Policy='{"Statement": [], "Id": "o-abcdefghij"}')
    hold(STABLE, ami(key=key))
    organization = "arn:aws:organizations::111122223333:organization/o-abcdefghij"
    run("share", HELD, "--account", "111122223333", "--organization", organization)


def run_copy(run: Recorder) -> None:
    made = ami()
    hold(STABLE, made)
    failed_copy(made)
    run("copy", HELD, "--to", OTHER)


def run_promote(run: Recorder) -> None:
    made = ami()
    hold(CANDIDATE, made)
    failed_copy(made)
    run("promote", *WORDS, *TWO, code=1, before=DENIED)
    run("promote", *WORDS, *TWO)


def run_publish(run: Recorder) -> None:
    made = ami(OTHER)
    with calls(DENIED) as noted, pytest.raises(IngotError, match="AWS refused"):
        promote.publish(OTHER, made)
    assert promote.publish(REGION, ami()) == CANDIDATE
    run.actions |= noted.actions()


def run_rollback(run: Recorder) -> None:
    for _ in range(2):
        hold(STABLE, ami())
    run("rollback", *WORDS)


def run_deprecate(run: Recorder) -> None:
    hold(STABLE, ami())
    referred(ami())
    run("deprecate", HELD)
    run("deprecate", ami(), "--disable")


def run_gc(run: Recorder) -> None:
    hold(STABLE, ami())
    referred(ami())
    for _ in range(2):
        ami()
    run("gc", "--keep", "1")


def run_sweep(run: Recorder) -> None:
    left()
    referred(ami())
    run("sweep")


RUNS: dict[str, Callable[[Recorder], None]] = {
    name.removeprefix("run_").replace("_", "-"): run for name, run in globals().items() if name.startswith("run_")
}


# What a build calls is recorded where one runs: tests/rigs/test_ami.py.
@pytest.mark.parametrize("command", sorted(set(ami_policy.COMMANDS) - {"build"}))
def test_a_policy_allows_exactly_what_its_command_calls(command: str) -> None:
    run = Recorder()
    RUNS[command](run)
    assert run.actions == ami_policy.called(command)


@pytest.mark.parametrize("command", ami_policy.COMMANDS)
def test_a_policy_is_a_document_that_iam_takes(command: str) -> None:
    document = json.loads(ingot("ami", "policy", command).stdout)
    assert document["Version"] == "2012-10-17"
    statements = document["Statement"]
    assert not [action for each in statements for action in each["Action"] if "*" in action]
    # What changes something is bound to resources.
    reading = ("Describe", "List", "Get")
    for each in statements:
        if not all(action.partition(":")[2].startswith(reading) for action in each["Action"]):
            assert "*" not in each["Resource"]
    client("iam").create_policy(PolicyName=command, PolicyDocument=json.dumps(document))
    assert len(json.dumps(document, separators=(",", ":"))) < 6144


def test_a_policy_of_no_command_exits_2_with_the_nearest() -> None:
    done = ingot("ami", "policy", "gcc")
    assert done.returncode == 2
    assert "did you mean 'gc'" in done.stderr
