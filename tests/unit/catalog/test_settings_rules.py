"""The engine decides what it can, says what it cannot, and runs on any machine of ours."""

import ast
from pathlib import Path
from typing import Any

import pytest

from ingot.catalog.settings import engine

RULE = {"id": "r", "variables": ["A_*"], "severity": "error", "reason": "R.", "fix": "F.", "source": "https://e.org/s"}


def judge(rule: dict[str, Any], env: dict[str, str | None], **known: Any) -> list[tuple[str, str, str]]:
    """(severity, variable, message) of what RULE with `rule` finds."""
    environment = [
        {"name": name, "value": value, "place": f"job.sh:{n}"} for n, (name, value) in enumerate(env.items())
    ]
    findings = engine().evaluate([RULE | rule], environment, known.pop("versions", {}), **known)
    return [(finding["severity"], finding["variable"], finding["message"]) for finding in findings]


@pytest.mark.parametrize(
    ("version", "text", "expected"),
    [
        ("1.18", ">=1.18", True),
        ("1.18.0", "==1.18", True),
        ("1.9", ">=1.18", False),
        ("1.18", "<1.18.1", True),
        ("2.7.0amzn2.0", ">=2.7,<2.8", True),
        ("2.7.0amzn2.0", "==2.7.0", True),
        ("1.7.0", "<1.7", False),
        ("1.6.9", "<1.7", True),
        ("1.5.0", ">1.5", False),
        ("1.5", "<=1.5.0", True),
        ("2.27.5", "==2.27.*", True),
        ("2.28", "==2.27.*", False),
        ("2.27.5", "!=2.27.*", False),
        ("10.0", ">9.9", True),
    ],
)
def test_a_range_compares_numbers(version: str, text: str, expected: bool) -> None:
    assert engine().within(version, text) is expected


@pytest.mark.parametrize("text", ["", "1.8", "~=1.8", ">=1.8,", ">=1.*", ">= one", "=>1"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a version range"):
        engine().parse_range(text)


def test_a_variable_may_be_a_glob_and_its_case_counts() -> None:
    assert [name for _, name, _ in judge({"never": True}, {"A_X": "1", "a_x": "1", "B_A_X": "1"})] == ["A_X"]


def test_values_are_matched_whole_and_in_whatever_case() -> None:
    rule = {"never_values": ["info", "t.*"]}
    assert [name for _, name, _ in judge(rule, {"A_1": "INFO", "A_2": "infos", "A_3": "Trace"})] == ["A_1", "A_3"]
    assert [name for _, name, _ in judge({"only_values": ["ofi"]}, {"A_1": "OFI", "A_2": "x"})] == ["A_2"]


def test_an_empty_value_counts_as_not_set() -> None:
    assert judge({"never": True}, {"A_1": ""}) == []
    assert judge({"must": "1", "variables": ["A_1"]}, {"A_1": ""}) == [("error", "A_1", "R.")]


def test_a_finding_says_everything_that_a_report_needs() -> None:
    environment = [{"name": "A_1", "value": "x", "place": "job.sh:3"}]
    (finding,) = engine().evaluate([RULE | {"never": True}], environment, {})
    assert finding == {
        "rule": "r",
        "severity": "error",
        "variable": "A_1",
        "value": "x",
        "place": "job.sh:3",
        "message": "R.",
        "fix": "F.",
        "source": "https://e.org/s",
    }


def test_each_place_is_a_finding() -> None:
    environment = [{"name": "A_1", "value": "x", "place": place} for place in ("a.sh:1", "b.sh:2")]
    findings = engine().evaluate([RULE | {"never": True}], environment, {})
    assert [finding["place"] for finding in findings] == ["a.sh:1", "b.sh:2"]


def test_the_worst_comes_first() -> None:
    rules = [RULE | {"never": True, "severity": severity} for severity in ("info", "error", "warning")]
    findings = engine().evaluate(rules, [{"name": "A_1", "value": "x", "place": ""}], {})
    assert [finding["severity"] for finding in findings] == ["error", "warning", "info"]


@pytest.mark.parametrize("versions", [{}, {"libfabric": None}])
def test_an_unknown_version_is_said_where_the_variable_is_set(versions: dict[str, Any]) -> None:
    rule = {"never": True, "when": {"versions": {"libfabric": ">=1.18"}}}
    assert judge(rule, {"A_1": "1"}, versions=versions) == [
        ("info", "A_1", "not decided: unknown version of libfabric. R.")
    ]
    assert judge(rule, {"B_1": "1"}, versions=versions) == []


def test_an_unknown_version_is_not_said_where_the_value_is_right_anyway() -> None:
    rule = {"must": "1", "variables": ["A_1"], "when": {"versions": {"libfabric": ">=1.18"}}}
    assert judge(rule, {"A_1": "1"}) == []
    assert judge(rule, {}) == []


def test_a_condition_that_does_not_hold_decides_whatever_else_is_unknown() -> None:
    rule = {"never": True, "when": {"versions": {"libfabric": ">=1.18", "nccl": ">=2"}}}
    assert judge(rule, {"A_1": "1"}, versions={"libfabric": "1.17"}) == []
    assert judge(rule, {"A_1": "1"}, versions={"libfabric": "1.18", "nccl": "2.1"}) == [("error", "A_1", "R.")]


def test_one_of_several_versions_is_enough() -> None:
    rule = {"never": True, "when": {"any_version": {"kernel": ">=5.15", "plugin": ">=1.2"}}}
    assert judge(rule, {"A_1": "1"}, versions={"plugin": "1.2"}) == [("error", "A_1", "R.")]
    assert judge(rule, {"A_1": "1"}, versions={"plugin": "1.1", "kernel": "5.10"}) == []
    assert judge(rule, {"A_1": "1"}, versions={"plugin": "1.1"}) == [
        ("info", "A_1", "not decided: unknown version of kernel. R.")
    ]


def test_instance_types_are_globs() -> None:
    rule = {"never": True, "when": {"instance_types": ["g5.*", "g6.*"]}}
    assert judge(rule, {"A_1": "1"}, instance_type="g5.48xlarge") == [("error", "A_1", "R.")]
    assert judge(rule, {"A_1": "1"}, instance_type="g5g.xlarge") == []
    assert judge(rule, {"A_1": "1"}) == [("info", "A_1", "not decided: unknown instance type. R.")]


def test_the_accelerator_is_a_condition() -> None:
    rule = {"never": True, "when": {"accelerator": "nvidia"}}
    assert judge(rule, {"A_1": "1"}, accelerator="nvidia") == [("error", "A_1", "R.")]
    assert judge(rule, {"A_1": "1"}, accelerator="neuron") == []
    assert judge(rule, {"A_1": "1"}) == [("info", "A_1", "not decided: unknown accelerator. R.")]


def test_what_must_be_set_is_missed_and_wrong_values_are_found() -> None:
    rule = {"must": "1", "variables": ["A_1"]}
    assert judge(rule, {}) == [("error", "A_1", "R.")]
    assert judge(rule, {"A_1": "0"}) == [("error", "A_1", "R.")]
    assert judge(rule, {"A_1": "1"}) == []


@pytest.mark.parametrize("value", ["$IFNAME", "${X}/lib", None])
def test_a_value_that_only_the_job_knows_is_not_judged(value: str | None) -> None:
    message = "not decided: only the running job knows its value. R."
    assert judge({"only_values": ["x"]}, {"A_1": value}) == [("info", "A_1", message)]
    assert judge({"never_values": ["x"]}, {"A_1": value}) == [("info", "A_1", message)]
    assert judge({"never": True}, {"A_1": value}) == [("error", "A_1", "R.")]


def test_the_part_of_a_value_that_is_known_can_be_enough() -> None:
    assert judge({"never_values": [".*libnccl.*"]}, {"A_1": "$HOME/libnccl.so"}) == [("error", "A_1", "R.")]


def test_it_runs_on_the_oldest_python_of_a_target_with_nothing_installed() -> None:
    tree = ast.parse(Path(engine().__file__).read_text(), feature_version=(3, 9))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert imported <= {"__future__", "collections.abc", "fnmatch", "operator", "re", "typing"}
