"""Judges what a build cost by `catalog/budgets.yml`, and says what has changed since the last build that kept to it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ingot.errors import IngotError
from ingot.image import history
from ingot.model.budget import Budgets

Judged = dict[str, dict[str, float]]
# How many changes an error lists of each kind.
SHOWN = 5


def judge(report: Mapping[str, Any], budgets: Budgets) -> Judged:
    """What each budget allows, and what was measured, by name; without those that the report says nothing about."""
    limits = dict(_limits(report, budgets))
    return {name: {"measured": round(measured, 3), "at_most": limit} for name, (measured, limit) in limits.items()}


def _limits(report: Mapping[str, Any], budgets: Budgets) -> Iterator[tuple[str, tuple[float, float]]]:
    boot = report.get("boot") or {}
    stages = boot.get("stages") or {}
    kernel = stages.get("kernel", 0.0) + stages.get("initrd", 0.0)
    if budgets.boot is not None and kernel and "userspace" in stages:
        yield "boot", (stages["userspace"] / kernel, budgets.boot)
    if budgets.size is not None and report.get("stated_bytes"):
        yield "size", (history.bytes_of(report) / report["stated_bytes"], budgets.size)
    if budgets.slow_units is not None and kernel:
        slow = [unit for unit, taken in boot["slow"].items() if taken > budgets.slow_units.longer_than * kernel]
        yield "slow_units", (len(slow), budgets.slow_units.at_most)
    if budgets.failed_units is not None and "failed" in boot:
        yield "failed_units", (len(boot["failed"]), budgets.failed_units)
    bare = report.get("bare", {})
    for name, step in budgets.steps.items():
        if name in report["seconds"] and bare.get(step.of):
            yield f"steps.{name}", (report["seconds"][name] / bare[step.of], step.at_most)


def broken(judged: Judged) -> Judged:
    """The budgets that were broken."""
    return {name: numbers for name, numbers in judged.items() if numbers["measured"] > numbers["at_most"]}


def complaints(report: Mapping[str, Any], budgets: Budgets, earlier: Sequence[Mapping[str, Any]]) -> list[str]:
    """One text per broken budget: by how much, and what has changed since the last of the `earlier` reports, oldest
    first, that kept to it."""
    texts = []
    for name, numbers in broken(judge(report, budgets)).items():
        over = f" ({numbers['measured'] / numbers['at_most'] - 1:.0%} over)" if numbers["at_most"] else ""
        text = f"{name}: {numbers['measured']:.4g}, the budget is {numbers['at_most']:.4g}{over}"
        kept = [old for old in earlier if name in (was := judge(old, budgets)) and name not in broken(was)]
        texts.append(f"{text}; {_since(kept[-1], report)}" if kept else f"{text}; no earlier build kept to it")
    return texts


def _since(before: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """What has changed since the report `before`, in one line."""
    changes = history.difference(before, report)
    parts = []
    for kind in ("inputs", "components", "packages", "left out"):
        rows = changes.get(kind, {})
        names = [f"{name} {_short(old)} → {_short(new)}" for name, (old, new) in rows.items()]
        more = [f"{len(names) - SHOWN} more"] if len(names) > SHOWN else []
        parts += [f"{kind}: {', '.join([*names[:SHOWN], *more])}"] if names else []
    return f"since build {before['number']}, which kept to it: {'; '.join(parts) or 'nothing has changed'}"


def _short(value: object) -> str:
    """A value that may be a long digest."""
    return str(value)[:12] if value else "–"


def insist(texts: Sequence[str], place: str) -> None:
    """IngotError that lists what was broken, if anything was."""
    if texts:
        raise IngotError(
            f"{len(texts)} of the budgets are broken\n  " + "\n  ".join(texts),
            place=place,
            hint="find the cause in the report's page, or raise the budget with the reason",
        )
