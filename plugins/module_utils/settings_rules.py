"""Evaluates rules about environment variables against an environment and versions.

Copied to machines unchanged: standard library only, Python 3.9 or later. Rules are plain data, as described in
`catalog/settings.yml`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

SEVERITIES = ("error", "warning", "info")
COMPARISON = re.compile(r"(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)*)(\.\*)?")
# Variables that hold lists, which a job adds to: LD_LIBRARY_PATH=/opt/lib:$LD_LIBRARY_PATH.
LISTS = ("PATH", "PRELOAD")
OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


def numbers(version: str) -> list[int]:
    """The numeric parts that a version starts with: `2.7.0amzn2.0` -> [2, 7, 0]."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return [int(part) for part in match.group().split(".")] if match else []


def parse_range(text: str) -> list[tuple[str, list[int], bool]]:
    """The comparisons of a range such as `>=1.18,<2` or `==2.27.*`; ValueError if it is malformed."""
    parts = text.split(",")
    matches = [match for match in (COMPARISON.fullmatch(part.strip()) for part in parts) if match]
    if len(matches) < len(parts) or any(match.group(3) and match.group(1) not in ("==", "!=") for match in matches):
        raise ValueError(f"not a version range: {text!r}; write for example '>=1.18,<2' or '==2.27.*'")
    return [(match.group(1), numbers(match.group(2)), bool(match.group(3))) for match in matches]


def within(version: str, text: str) -> bool:
    """Whether a version is in a range; missing parts count as 0."""
    return all(_holds(numbers(version), *comparison) for comparison in parse_range(text))


def _holds(version: list[int], sign: str, bound: list[int], is_prefix: bool) -> bool:
    length = len(bound) if is_prefix else max(len(version), len(bound))
    own, other = ((parts + [0] * length)[:length] for parts in (version, bound))
    if sign in ("==", "!="):
        return (own == other) == (sign == "==")
    return bool(OPERATORS[sign](own, other))


def _matches(name: str, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _among(value: str, patterns: Iterable[str]) -> bool:
    """Whether a whole value matches one of the regular expressions, ignoring case."""
    return any(re.fullmatch(pattern, value, re.IGNORECASE) for pattern in patterns)


def _conditions(
    when: Mapping[str, Any],
    versions: Mapping[str, str | None],
    instance_type: str | None,
    accelerator: str | None,
    machine: Mapping[str, bool],
) -> Iterator[tuple[bool | None, str]]:
    """(holds, unknown fact) for each condition of a rule; holds is None if it cannot be decided."""
    # A job that is checked for EFA and NCCL has what they need, as long as nobody says otherwise.
    yield all(machine.get(feature, True) for feature in when.get("has", ())), ""
    for name, text in when.get("versions", {}).items():
        yield _version_holds(name, text, versions)
    if when.get("any_version"):
        results = [_version_holds(name, text, versions) for name, text in when["any_version"].items()]
        unknown = ", ".join(what for holds, what in results if what)
        yield (True, "") if any(result[0] for result in results) else (None if unknown else False, unknown)
    if when.get("instance_types"):
        matches = _matches(instance_type, when["instance_types"]) if instance_type else None
        yield matches, "" if instance_type else "unknown instance type"
    if when.get("accelerator"):
        yield (
            (accelerator == when["accelerator"] if accelerator else None),
            "" if accelerator else "unknown accelerator",
        )


def _version_holds(name: str, text: str, versions: Mapping[str, str | None]) -> tuple[bool | None, str]:
    version = versions.get(name)
    return (within(version, text), "") if version else (None, f"unknown version of {name}")


def applies(
    when: Mapping[str, Any],
    versions: Mapping[str, str | None],
    instance_type: str | None,
    accelerator: str | None,
    machine: Mapping[str, bool],
) -> tuple[bool | None, list[str]]:
    """(True, []) or (False, []) if that is certain, else (None, unknown facts)."""
    results = list(_conditions(when, versions, instance_type, accelerator, machine))
    if any(result[0] is False for result in results):
        return False, []
    unknown = [what for holds, what in results if holds is None]
    return (None, unknown) if unknown else (True, [])


def _breaks(rule: Mapping[str, Any], name: str, value: str | None) -> bool | None:
    """Whether a value breaks the rule; None if only the running job knows."""
    if rule.get("never"):
        return True
    if value is not None and rule.get("never_values") and _among(value, rule["never_values"]):
        return True
    if value is not None and rule.get("never_values") and name.endswith(LISTS):
        # The other entries of the list are what they were.
        return False
    if value is None or "$" in value:
        return None
    if rule.get("only_values"):
        return not _among(value, rule["only_values"])
    if rule.get("must"):
        return value.lower() != str(rule["must"]).lower()
    return False


def _finding(
    rule: Mapping[str, Any], severity: str, variable: str, value: str | None, place: str, message: str
) -> dict[str, Any]:
    return {
        "rule": rule["id"],
        "severity": severity,
        "variable": variable,
        "value": value,
        "place": place,
        "message": message,
        "fix": rule["fix"],
        "source": rule["source"],
    }


def _judge(rule: Mapping[str, Any], setting: Mapping[str, Any], unknown: Sequence[str]) -> dict[str, Any] | None:
    """The finding for one setting under a rule that holds or may hold, or None."""
    breaks = _breaks(rule, setting["name"], setting["value"])
    if breaks is False:
        return None
    doubts = list(unknown) + (["only the running job knows its value"] if breaks is None else [])
    if doubts:
        message, severity = f"not decided: {'; '.join(doubts)}. {rule['reason']}", "info"
    else:
        message, severity = rule["reason"], rule["severity"]
    return _finding(rule, severity, setting["name"], setting["value"], setting["place"], message)


def evaluate(
    rules: Iterable[Mapping[str, Any]],
    environment: Iterable[Mapping[str, Any]],
    versions: Mapping[str, str | None],
    instance_type: str | None = None,
    accelerator: str | None = None,
    machine: Mapping[str, bool] | None = None,
) -> list[dict[str, Any]]:
    """The findings of the rules in an environment, worst first.

    `environment` is a list of {name, value, place}; a value of None is known only to the running job, an empty one
    counts as not set. `versions` maps components to versions; one that is missing or None is unknown. `machine` says
    which features it has (`efa`, `rdma`, `nvlink`, `nvidia`, `neuron`); one that is missing is assumed to be there.
    """
    findings: list[dict[str, Any]] = []
    settings = [setting for setting in environment if setting["value"] != ""]
    for rule in rules:
        holds, unknown = applies(rule.get("when") or {}, versions, instance_type, accelerator, machine or {})
        if holds is False:
            continue
        matching = [setting for setting in settings if _matches(setting["name"], rule["variables"])]
        findings += [finding for finding in (_judge(rule, setting, unknown) for setting in matching) if finding]
        if rule.get("must") and holds and not matching:
            findings.append(_finding(rule, rule["severity"], rule["variables"][0], None, "", rule["reason"]))
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding["severity"]))
