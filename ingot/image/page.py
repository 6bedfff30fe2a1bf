"""Writes the report of a build as a page: one file that needs no server, no script and nothing from outside."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ingot import paths
from ingot.console import clock
from ingot.image import history, verdict
from ingot.image.budgets import complaints, judge
from ingot.image.space import largest, squarified
from ingot.image.timeline import critical, end_of, of_kind
from ingot.model.budget import Budgets
from ingot.templates import environment

TEMPLATE = "page.html.j2"
SLOWEST_TASKS = 15
# Boxes of the map per component; smaller packages are one box.
BOXES = 12
MAP_SHAPE = 1.6
LEAST = 0.001
# Differences that say something: in the time of a step, in the space of a component.
SECONDS, BYTES = 2.0, 1 << 20


def conclude(
    folder: Path, report: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]], limits: Budgets
) -> dict[str, Any]:
    """Judge a finished build by its budgets, write its page and its report with the identity of `files`, and keep it in
    the history."""
    earlier = history.reports(folder)
    report = {**report, "budgets": judge(report, limits), "over_budget": complaints(report, limits, earlier)}
    paths.write_text(folder / verdict.PAGE, render(report, earlier[-1] if earlier else None))
    whole = verdict.write(folder, report, files)
    history.keep(folder, whole)
    return whole


def size(count: float) -> str:
    """Bytes for people: `1.25 GiB`, `310 MiB`, `12 KiB`."""
    if abs(count) >= 1 << 30:
        return f"{count / (1 << 30):.2f} GiB"
    return f"{count / (1 << 20):.0f} MiB" if abs(count) >= 1 << 20 else f"{count / (1 << 10):.0f} KiB"


def render(report: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    """The page of a report; `before` is the report of the build before."""
    pages = environment(Path(__file__).parent, escape=True)
    pages.filters |= {"clock": clock, "size": size}
    spans = report["timeline"]
    whole = max((end_of(span) for span in of_kind(spans, "phase")), default=0.0)
    return pages.get_template(TEMPLATE).render(
        report=report,
        whole=whole,
        rows=rows(report, whole),
        path=[step for step in critical(spans) if step["seconds"] >= 1],
        slow=sorted(of_kind(spans, "task"), key=lambda task: -float(task["seconds"]))[:SLOWEST_TASKS],
        map=treemap(report.get("space", {})),
        space={name: sum(parts.values()) for name, parts in report.get("space", {}).items()},
        bytes=history.bytes_of(report),
        suites=history.suites_of(report),
        before=before,
        difference=telling(history.difference(before, report)) if before else {},
    )


def rows(report: Mapping[str, Any], whole: float) -> list[dict[str, Any]]:
    """The rows of the time line: phases, each followed by its parts and roles; bars are in per cent of the whole."""
    spans = report["timeline"]

    def row(name: str, kind: str, pieces: list[Mapping[str, Any]], seconds: float) -> dict[str, Any]:
        bars = [(round(100 * p["begin"] / whole, 2), max(0.3, round(100 * p["seconds"] / whole, 2))) for p in pieces]
        return {"name": name, "kind": kind, "seconds": seconds, "bars": bars}

    found = []
    for phase in of_kind(spans, "phase"):
        found.append(row(phase["name"], "phase", [phase], phase["seconds"]))
        below: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for piece in of_kind(spans, "part", "role"):
            if piece["within"] == phase["name"]:
                below.setdefault((piece["name"], piece["kind"]), []).append(piece)
        found += [row(name, kind, it, sum(p["seconds"] for p in it)) for (name, kind), it in below.items()]
    return found


def treemap(space: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    """The map of what takes the space: a box per component, with boxes of its packages."""
    outer = squarified({name: sum(parts.values()) for name, parts in space.items()}, MAP_SHAPE)
    found = []
    for number, box in enumerate(outer):
        # Sides are rounded, that of a thin box perhaps to nothing.
        shape = MAP_SHAPE * max(box.width, LEAST) / max(box.height, LEAST)
        inner = squarified(dict(largest(space[box.name], BOXES)), shape)
        found.append({"box": box, "inner": inner, "hue": number * 47 % 360})
    return found


def telling(difference: Mapping[str, history.Change]) -> dict[str, history.Change]:
    """The differences without those that are noise."""
    least = {"seconds": SECONDS, "space": BYTES}
    kept = {
        kind: {
            name: (old, new)
            for name, (old, new) in rows.items()
            if kind not in least or abs((new or 0) - (old or 0)) >= least[kind]
        }
        for kind, rows in difference.items()
    }
    return {kind: rows for kind, rows in kept.items() if rows}
