"""Judges versions by advisories.

Copied to machines unchanged: standard library only, Python 3.9 or later. Advisories are plain data, as described in
`catalog/advisories/`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

# Worst first.
SEVERITIES = ("critical", "high", "medium", "low", "unresolved")
STATES = ("open", "expired", "unknown", "accepted")
# The severities that no new lock takes.
REFUSED = ("critical", "high")
# The sources of a distribution's own packages.
DISTRIBUTIONS = ("debian", "distribution", "base_image")
COMPARISON = re.compile(r"(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)*)(\.\*)?")
OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
EPOCH = re.compile(r"^\d+:")
BACKPORTED = "the distribution fixes its packages without a newer number; ask its own tracker"
SILENT = "the source says nothing of this branch"


def numbers(version: str) -> tuple[int, ...]:
    """The numeric parts that a version starts with, after its epoch: `3:580.126.20-1` -> (580, 126, 20)."""
    match = re.match(r"\d+(?:\.\d+)*", EPOCH.sub("", version))
    return tuple(int(part) for part in match.group().split(".")) if match else ()


@cache
def _comparisons(text: str) -> tuple[tuple[str, tuple[int, ...], bool], ...]:
    parts = [] if text == "*" else text.split(",")
    matches = [COMPARISON.fullmatch(part.strip()) for part in parts]
    return tuple((match.group(1), numbers(match.group(2)), bool(match.group(3))) for match in matches if match)


@cache
def within(version: str, text: str) -> bool:
    """Whether a version is in a range; missing parts count as 0."""
    own = numbers(version)
    return bool(own) and all(_holds(own, *comparison) for comparison in _comparisons(text))


def _holds(version: tuple[int, ...], sign: str, bound: tuple[int, ...], is_prefix: bool) -> bool:
    length = len(bound) if is_prefix else max(len(version), len(bound))
    own, other = ((parts + (0,) * length)[:length] for parts in (version, bound))
    if sign in ("==", "!="):
        return (own == other) == (sign == "==")
    return bool(OPERATORS[sign](own, other))


def python_name(name: str) -> str:
    """The name of a Python package as the index writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _concerned(file: Mapping[str, Any], thing: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The thing, with the version and the source that count, if a file of advisories is about it."""
    kind, name = thing["kind"], thing["name"]
    if file["python"]:
        if kind == "python" and python_name(name) == file["python"]:
            yield dict(thing)
    elif kind == "package" and name in file["packages"]:
        yield {**thing, "source": file["packages"][name]}
    elif kind == "component" and name == file["component"] and thing.get("source") not in file["not_from"]:
        fact = file["fact"]
        yield {**thing, "version": str((thing.get("facts") or {}).get(fact, ""))} if fact else dict(thing)


def about(files: Iterable[Mapping[str, Any]], thing: Mapping[str, Any]) -> bool:
    """Whether some advisory is about a thing, in whichever version."""
    return any(not file["fact"] and any(_concerned(file, thing)) for file in files)


def _match(file: Mapping[str, Any], advisory: Mapping[str, Any], thing: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an advisory of a file says of a thing: `state`, the `fixed` version and why it is undecided; None if it is
    not about its version."""
    version = thing["version"]
    facts = thing.get("facts") or {}
    if any(name in facts and facts[name] != value for name, value in advisory["facts"].items()):
        return None
    doubts = [
        f"only with {name} {value}, and this is not known"
        for name, value in advisory["facts"].items()
        if name not in facts
    ]
    if file["backported"] and thing.get("source") in DISTRIBUTIONS:
        doubts.append(BACKPORTED)
    for part in advisory["affected"]:
        if within(version, part["versions"]) and version != part["fixed"]:
            state = "unknown" if doubts else "open"
            return {"state": state, "fixed": part["fixed"], "why": "; ".join(doubts)}
    if any(within(version, text) for text in advisory["unknown"]):
        return {"state": "unknown", "fixed": "", "why": SILENT}
    return None


def _accepted(advisory: Mapping[str, Any], accepts: Mapping[str, Mapping[str, str]], today: str) -> dict[str, str]:
    accept = accepts.get(advisory["id"]) or accepts.get(advisory["bulletin"])
    if accept is None:
        return {"state": "open", "why": "", "until": ""}
    state = "accepted" if accept["until"] >= today else "expired"
    return {"state": state, "why": accept["why"], "until": accept["until"]}


def judge(
    files: Iterable[Mapping[str, Any]],
    things: Iterable[Mapping[str, Any]],
    accepts: Mapping[str, Mapping[str, str]],
    today: str,
) -> list[dict[str, Any]]:
    """What the advisories say of things, worst first.

    A thing has `kind` (component, python or package), `name`, `version`, and may have `source`, `facts` and `place`.
    `accepts` maps advisories and bulletins to {why, until}; `today` and `until` are ISO dates. A finding is `open`,
    `accepted`, `expired` (accepted until a day that has passed) or `unknown`, with the reason in `why`.
    """
    findings = []
    listed = list(things)
    for file in files:
        for thing in (each for listed_thing in listed for each in _concerned(file, listed_thing)):
            for advisory in file["advisories"]:
                match = _match(file, advisory, thing)
                if match is None:
                    continue
                decision = _accepted(advisory, accepts, today) if match["state"] == "open" else {}
                findings.append(
                    {
                        **{key: advisory[key] for key in ("id", "bulletin", "kind", "summary", "note")},
                        **{key: advisory[key] for key in ("severity", "score", "source", "published")},
                        "name": file["fact"] or thing["name"],
                        "version": thing["version"],
                        "place": thing.get("place") or "",
                        "until": "",
                        **match,
                        **decision,
                    }
                )
    return sorted(findings, key=rank)


def rank(finding: Mapping[str, Any]) -> tuple[Any, ...]:
    """The key that sorts findings, worst first."""
    order = STATES.index(finding["state"]), SEVERITIES.index(finding["severity"]), -(finding["score"] or 0)
    return (*order, finding["name"], finding["id"])


def is_open(finding: Mapping[str, Any]) -> bool:
    """Whether somebody has to do something about a finding."""
    return finding["state"] in ("open", "expired")


def rated(finding: Mapping[str, Any]) -> str:
    """The severity and the score of a finding: `high 7.8`."""
    severity = "no severity known" if finding["severity"] == "unresolved" else str(finding["severity"])
    return severity if finding["score"] is None else f"{severity} {finding['score']}"


def accepted(findings: Iterable[Mapping[str, Any]]) -> list[str]:
    """One sentence for each version and reason of what is accepted, with all of its advisories."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for finding in findings:
        if finding["state"] == "accepted":
            key = finding["name"], finding["version"], finding["until"], finding["why"]
            rows.setdefault(key, []).append(f"{finding['id']} ({rated(finding)})")
    return [
        f"accepted{f' until {until}' if until else ''}: {name} {version}: {', '.join(names)}: {why}"
        for (name, version, until, why), names in rows.items()
    ]


def sentence(finding: Mapping[str, Any]) -> str:
    """A finding in one sentence."""
    subject = f"{finding['name']} {finding['version']}".strip()
    fix = f"fixed in {finding['fixed']}" if finding["fixed"] else "no fixed version is known"
    text = f"{subject}: {finding['id']} ({rated(finding)}): {finding['summary']}"
    if finding["state"] == "open":
        return f"{text}; {fix}"
    if finding["state"] == "expired":
        return f"{text}; {fix}; accepted until {finding['until']}, which has passed: {finding['why']}"
    return f"{text}; not decided: {finding['why']}"
