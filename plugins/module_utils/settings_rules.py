"""Turns rules about environment variables, an environment and versions into findings.

It is copied to machines as it is: standard library only, Python 3.9 or later. Rules are plain data, as
`catalog/settings.yml` describes them.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

SEVERITIES = ("error", "warning", "info")
COMPARISON = re.compile(r"(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)*)(\.\*)?")
OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


def numbers(version: str) -> list[int]:
    """The numeric parts that a version starts with: `2.7.0amzn2.0` -> [2, 7, 0]."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return [int(part) for part in found.group().split(".")] if found else []


def parse_range(text: str) -> list[tuple[str, list[int], bool]]:
    """The comparisons of a range such as `>=1.18,<2` or `==2.27.*`; ValueError if it is none."""
    parts = text.split(",")
    found = [match for match in (COMPARISON.fullmatch(part.strip()) for part in parts) if match]
    if len(found) < len(parts) or any(match.group(3) and match.group(1) not in ("==", "!=") for match in found):
        raise ValueError(f"{text!r} is no version range; write for example '>=1.18,<2' or '==2.27.*'")
    return [(match.group(1), numbers(match.group(2)), bool(match.group(3))) for match in found]


def within(version: str, text: str) -> bool:
    """Whether a version lies in a range; parts that one of the two lacks count as 0."""
    return all(_holds(numbers(version), *comparison) for comparison in parse_range(text))


def _holds(version: list[int], sign: str, bound: list[int], is_prefix: bool) -> bool:
    length = len(bound) if is_prefix else max(len(version), len(bound))
    mine, other = ((parts + [0] * length)[:length] for parts in (version, bound))
    if sign in ("==", "!="):
        return (mine == other) == (sign == "==")
    return bool(OPERATORS[sign](mine, other))


def _matches(name: str, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _among(value: str, patterns: Iterable[str]) -> bool:
    """Whether a whole value matches one of the regular expressions, in whatever case."""
    return any(re.fullmatch(pattern, value, re.IGNORECASE) for pattern in patterns)


def _conditions(
    when: Mapping[str, Any],
    versions: Mapping[str, str | None],
    instance_type: str | None,
    accelerator: str | None,
) -> Iterator[tuple[bool | None, str]]:
    """(holds, what is not known) for each condition of a rule; holds is None when it cannot be decided."""
    for name, text in when.get("versions", {}).items():
        yield _version_holds(name, text, versions)
    if when.get("any_version"):
        found = [_version_holds(name, text, versions) for name, text in when["any_version"].items()]
        unknown = ", ".join(what for holds, what in found if what)
        yield (True, "") if any(each[0] for each in found) else (None if unknown else False, unknown)
    if when.get("instance_types"):
        known = _matches(instance_type, when["instance_types"]) if instance_type else None
        yield known, "" if instance_type else "unknown instance type"
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
) -> tuple[bool | None, list[str]]:
    """(True, []) or (False, []) when that is certain, else (None, what is not known)."""
    found = list(_conditions(when, versions, instance_type, accelerator))
    if any(each[0] is False for each in found):
        return False, []
    unknown = [what for holds, what in found if holds is None]
    return (None, unknown) if unknown else (True, [])


def _breaks(rule: Mapping[str, Any], value: str | None) -> bool | None:
    """Whether a value that is set breaks the rule; None when it is known only where the job runs."""
    if rule.get("never"):
        return True
    if value is not None and rule.get("never_values") and _among(value, rule["never_values"]):
        return True
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
    """The finding that one setting gives under a rule that holds or may hold, or None."""
    breaks = _breaks(rule, setting["value"])
    if breaks is False:
        return None
    doubts = list(unknown) + (["its value is known only where the job runs"] if breaks is None else [])
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
) -> list[dict[str, Any]]:
    """What the rules find in an environment, worst first.

    `environment` is a list of {name, value, place}; a value of None is one that is known only where the job runs, an
    empty one counts as not set. `versions` maps components to versions; one that is missing or None is not known.
    """
    findings: list[dict[str, Any]] = []
    settings = [setting for setting in environment if setting["value"] != ""]
    for rule in rules:
        holds, unknown = applies(rule.get("when") or {}, versions, instance_type, accelerator)
        if holds is False:
            continue
        mine = [setting for setting in settings if _matches(setting["name"], rule["variables"])]
        findings += [found for found in (_judge(rule, setting, unknown) for setting in mine) if found]
        if rule.get("must") and holds and not mine:
            findings.append(_finding(rule, rule["severity"], rule["variables"][0], None, "", rule["reason"]))
    return sorted(findings, key=lambda found: SEVERITIES.index(found["severity"]))
