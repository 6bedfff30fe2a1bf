"""A channel moves in all regions or in none, only to what the suite has passed on, and goes back the way it came."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from ingot.ami import promote
from ingot.errors import IngotError
from tests.aws.names import CANDIDATE, OTHER, REGION, STABLE, THIRD, WORDS
from tests.aws.world import ami, amis, answer, backend, calls, client, held, hold
from tests.commandline import ingot

pytestmark = pytest.mark.usefixtures("aws")
ALL = ["--region", REGION, "--region", OTHER, "--region", THIRD]


def candidate(**tags: str) -> str:
    made = ami(**tags)
    hold(CANDIDATE, made)
    return made


def everywhere(name: str = STABLE) -> dict[str, str]:
    """The names of the AMIs that a channel holds, by region."""
    found = {region: held(name, region) for region in (REGION, OTHER, THIRD)}
    return {region: backend(region).amis[made].name if made else "" for region, made in found.items()}


def test_a_build_is_published_as_candidate_where_the_suite_has_passed() -> None:
    made = ami()
    assert promote.publish(REGION, made) == CANDIDATE
    assert held(CANDIDATE) == made
    with pytest.raises(IngotError, match="is untested"):
        promote.publish(REGION, ami(suite=""))
    assert held(CANDIDATE) == made


def test_the_candidate_is_copied_to_every_region_and_is_stable_there() -> None:
    made = candidate()
    data = answer(ingot("ami", "promote", *WORDS, *ALL, "--json"))
    assert everywhere() == dict.fromkeys((REGION, OTHER, THIRD), backend().amis[made].name)
    assert data["parameter"] == STABLE
    assert data["regions"][REGION] == {"before": None, "after": made}
    parameter = client("ssm").get_parameter(Name=STABLE)["Parameter"]
    assert (parameter["Type"], parameter["DataType"]) == ("String", "aws:ec2:image")


@pytest.mark.parametrize("suite", ["", "failed 3", "passed 210", "passed 210 on ami-0123456789abcdef0"])
def test_an_untested_ami_is_not_promoted(suite: str) -> None:
    made = candidate(suite=suite)
    done = ingot("ami", "promote", *WORDS, *ALL)
    assert done.returncode == 1
    assert f"{made} is untested" in done.stderr
    assert "make ami-" in done.stderr
    assert (amis(OTHER), held(STABLE)) == (set(), "")


def test_an_empty_candidate_says_which_parameter_is_missing() -> None:
    done = ingot("ami", "promote", *WORDS)
    assert done.returncode == 1
    assert f"no parameter {CANDIDATE}" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["paralelcluster", "--os", "al2023"], "did you mean"),
        (["parallelcluster", "--os", "al2024"], "did you mean"),
        (["parallelcluster", "--os", "al2023", "--arch", "arm"], "no architecture"),
        (["parallelcluster", "--os", "al2023", "--to", "candidate"], "cannot promote to candidate"),
        (["parallelcluster", "--os", "al2023", "--to", "a/b"], "not a channel name"),
    ],
)
def test_what_there_cannot_be_exits_2_before_aws_is_asked(words: list[str], said: str) -> None:
    with calls() as noted:
        done = ingot("ami", "promote", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert noted.made == []


def test_a_failure_in_one_region_puts_back_the_others_and_a_second_run_goes_on() -> None:
    first = candidate()
    assert ingot("ami", "promote", *WORDS, "--region", REGION, "--region", OTHER).returncode == 0
    before = everywhere()
    second = candidate()

    def refuse(operation: str, region: str, _: dict[str, Any]) -> None:
        if (operation, region) == ("PutParameter", THIRD):
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, operation)

    with calls(refuse):
        done = ingot("ami", "promote", *WORDS, *ALL)
    assert done.returncode == 1
    assert f"error: {THIRD}: AWS refused" in done.stderr
    # The region that refused held nothing before.
    assert everywhere() == before == {**dict.fromkeys((REGION, OTHER), backend().amis[first].name), THIRD: ""}
    with calls() as noted:
        assert ingot("ami", "promote", *WORDS, *ALL).returncode == 0
    assert "CopyImage" not in noted.names()
    assert set(everywhere().values()) == {backend().amis[second].name}


def test_where_it_could_not_be_put_back_the_error_says_so() -> None:
    candidate()
    assert ingot("ami", "promote", *WORDS, *ALL).returncode == 0
    candidate()
    puts: dict[str, int] = {}

    def refuse(operation: str, region: str, _: dict[str, Any]) -> None:
        if operation == "PutParameter":
            puts[region] = puts.get(region, 0) + 1
            if region == THIRD or puts[region] > 1:
                raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, operation)

    with calls(refuse):
        done = ingot("ami", "promote", *WORDS, *ALL)
    assert done.returncode == 1
    assert f"{STABLE} could not be restored" in done.stderr
    assert ingot("ami", "promote", *WORDS, *ALL).returncode == 0
    assert len(set(everywhere().values())) == 1


def test_a_value_that_parameter_store_does_not_take_is_an_error() -> None:
    made = candidate()

    def gone(operation: str, region: str, _: dict[str, Any]) -> None:
        if operation == "PutParameter":
            backend().amis.pop(made, None)

    with calls(gone):
        done = ingot("ami", "promote", *WORDS)
    assert done.returncode == 1
    assert f"Parameter Store rejects {made}" in done.stderr
    assert held(STABLE) == ""


def test_rolling_back_goes_one_further_back_each_time_in_every_region() -> None:
    names = []
    for _ in range(3):
        names.append(backend().amis[candidate()].name)
        assert ingot("ami", "promote", *WORDS, *ALL).returncode == 0
    for expected in (names[1], names[0]):
        assert ingot("ami", "rollback", *WORDS, *ALL).returncode == 0
        assert set(everywhere().values()) == {expected}
    done = ingot("ami", "rollback", *WORDS, *ALL)
    assert done.returncode == 1
    assert "has no previous AMI" in done.stderr


def test_what_was_put_back_is_not_what_a_rollback_returns_to() -> None:
    names = []
    for _ in range(2):
        names.append(backend().amis[candidate()].name)
        assert ingot("ami", "promote", *WORDS).returncode == 0
    never = candidate()

    def refuse(operation: str, region: str, _: dict[str, Any]) -> None:
        if (operation, region) == ("PutParameter", OTHER):
            raise ClientError({"Error": {"Code": "InternalServerError", "Message": "no"}}, operation)

    with calls(refuse):
        assert ingot("ami", "promote", *WORDS, "--region", REGION, "--region", OTHER).returncode == 1
    assert never in {each["Value"] for each in client("ssm").get_parameter_history(Name=STABLE)["Parameters"]}
    assert ingot("ami", "rollback", *WORDS).returncode == 0
    assert everywhere()[REGION] == names[0]


def test_what_has_been_deregistered_is_not_rolled_back_to() -> None:
    first = candidate()
    assert ingot("ami", "promote", *WORDS).returncode == 0
    second = candidate()
    assert ingot("ami", "promote", *WORDS).returncode == 0
    client("ec2").deregister_image(ImageId=first)
    done = ingot("ami", "rollback", *WORDS)
    assert done.returncode == 1
    assert f"the channel's previous AMI {first} has been deregistered" in done.stderr
    assert held(STABLE) == second


@pytest.mark.parametrize("state", ["disabled", "failed"])
def test_what_cannot_be_launched_is_not_rolled_back_to(state: str) -> None:
    first = candidate()
    assert ingot("ami", "promote", *WORDS).returncode == 0
    second = candidate()
    assert ingot("ami", "promote", *WORDS).returncode == 0
    backend().amis[first].state = state
    done = ingot("ami", "rollback", *WORDS)
    assert done.returncode == 1
    assert f"the channel's previous AMI {first} is {state}" in done.stderr
    assert held(STABLE) == second


def test_regions_that_held_different_amis_before_are_not_rolled_back_together() -> None:
    for region in (REGION, OTHER):
        hold(STABLE, ami(region), region)
    candidate()
    assert ingot("ami", "promote", *WORDS, "--region", REGION, "--region", OTHER).returncode == 0
    before = held(STABLE)
    done = ingot("ami", "rollback", *WORDS, "--region", REGION, "--region", OTHER)
    assert done.returncode == 1
    assert f"the previous AMIs of {STABLE} differ" in done.stderr
    assert held(STABLE) == before


def test_a_dry_run_says_what_would_change_and_changes_nothing() -> None:
    made = candidate()
    done = ingot("ami", "promote", *WORDS, *ALL, "--dry-run")
    assert done.returncode == 0
    assert f"would be nothing → {made}" in done.stdout
    assert (amis(OTHER), held(STABLE)) == (set(), "")
    ingot("ami", "promote", *WORDS)
    second = candidate()
    ingot("ami", "promote", *WORDS)
    assert f"would be {second} → {made}" in ingot("ami", "rollback", *WORDS, "--dry-run").stdout
    assert held(STABLE) == second
