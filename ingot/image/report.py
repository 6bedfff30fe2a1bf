"""Renders the report of a build, and the list of builds, for the terminal."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ingot.console import clock
from ingot.image.page import size


def _table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def render(report: Mapping[str, Any]) -> RenderableType:
    """Declared and observed versions, grades, seconds per role and step, size, boot, suite, and paths."""
    observed = report["observed"]
    seconds = {name: f"{taken:.1f}" for name, taken in report["role_seconds"].items()}
    versions = [
        (name, version, report["grades"][name], str(observed.get(name) or "–"), seconds.get(name, "0.0"))
        for name, version in report["declared"].items()
    ]
    others = [(name, "", "", "", taken) for name, taken in seconds.items() if name not in report["declared"]]
    suites = [
        f"{where}: {counts['passed']} passed, {counts['skipped']} skipped in {counts['seconds']:.0f} s"
        for where, counts in report["suite"].items()
    ]
    facts = [
        ("image", f"{report['image']} · stack {report['stack']} · {report['os']} {report['arch']}"),
        ("base", f"{report['base']['tag']} (from {report['base']['origin']})"),
        (
            "size",
            f"{size(report['size']['disk_allocated_bytes'])} on disk, {size(report['size']['disk_bytes'])} disk size",
        ),
        ("boot", f"{report['boot']['wall_seconds']} s to ssh; {report['boot']['systemd']}"),
        *(("suite", line) for line in suites),
        *(("refreshed", line) for line in report["refreshed"]),
        *(("over budget", line) for line in report.get("over_budget", [])),
        *report["paths"].items(),
    ]
    parts: list[RenderableType] = [
        _table("Components", ("component", "declared", "grade", "observed", "seconds"), versions + others),
        Text(),
    ]
    if report["left_out"]:
        parts += [_table("Left out", ("component", "reason"), report["left_out"].items()), Text()]
    steps = ((name, clock(seconds)) for name, seconds in report["seconds"].items())
    parts += [_table("Steps", ("step", "m:ss"), steps), Text(), _table("Result", ("", ""), facts)]
    if report.get("unchanged"):
        parts += [Text(), Text("Nothing has changed since this image was built; `--rebuild` builds it anyway.")]
    return Group(*parts)


def render_builds(builds: Iterable[Mapping[str, Any]]) -> RenderableType:
    """One line per build: when, what, how long, how large, boot, tests."""
    rows = [
        (
            str(build["number"]),
            build["finished"],
            build["image"],
            f"{build['os']}-{build['arch']}",
            build["ami"] or "local",
            build["git_commit"][:12],
            clock(build["seconds"]),
            size(build["bytes"]) if build["bytes"] else "–",
            f"{build['boot_seconds']} s" if build["boot_seconds"] else "–",
            str(build["passed"]),
        )
        for build in builds
    ]
    if not rows:
        return Text("no finished builds")
    columns = ("build", "finished", "image", "system", "kind", "commit", "took", "size", "boot", "passed")
    return _table("Builds", columns, rows)
