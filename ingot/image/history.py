"""Keeps the reports of finished builds, and tells what is different from one to another."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ingot import paths
from ingot.lock.diff import changed

FOLDER = "history"
KEPT = 20
Change = dict[str, tuple[Any, Any]]


def keep(folder: Path, report: Mapping[str, Any]) -> None:
    """Keep a report in the history of the build folder, under the next number; removes all but the last KEPT."""
    files = _files(folder)
    number = int(files[-1].stem) + 1 if files else 1
    paths.write_text(folder / FOLDER / f"{number:04}.json", json.dumps(report, default=str) + "\n")
    for file in files[: 1 - KEPT]:
        file.unlink()


def reports(folder: Path) -> list[dict[str, Any]]:
    """The kept reports of a build folder, oldest first; files that are no reports are passed over."""
    found = []
    for file in _files(folder):
        try:
            report = json.loads(file.read_text())
        except ValueError:
            continue
        if isinstance(report, dict):
            found.append(report | {"number": int(file.stem)})
    return found


def _files(folder: Path) -> list[Path]:
    files = (file for file in (folder / FOLDER).glob("*.json") if file.stem.isdigit())
    return sorted(files, key=lambda file: int(file.stem))


def expected(folder: Path) -> dict[str, float]:
    """The seconds of each phase of the last build; empty if there is none."""
    last = reports(folder)[-1:]
    return dict(last[0]["seconds"]) if last else {}


def builds(root: Path) -> list[dict[str, Any]]:
    """One row per kept report below the build folder `root`, the newest last: what was built, when, and how it went."""
    files = (file for pattern in ("*/*", "*/*/ami") for file in root.glob(f"{pattern}/{FOLDER}/*.json"))
    folders = {file.parent.parent for file in files}
    rows = [_row(folder, report) for folder in folders for report in reports(folder)]
    return sorted(rows, key=lambda row: (row["finished"], row["dir"], row["number"]))


def _row(folder: Path, report: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("number", "finished", "image", "stack", "os", "arch", "git_commit", "inputs_sha256")
    suites = suites_of(report).values()
    return {
        **{key: report.get(key, "") for key in keys},
        "ami": report.get("ami", ""),
        "seconds": round(sum(report["seconds"].values()), 1),
        "bytes": bytes_of(report),
        "boot_seconds": report.get("boot", {}).get("wall_seconds"),
        "passed": sum(suite["passed"] for suite in suites),
        "dir": str(folder),
    }


def bytes_of(report: Mapping[str, Any]) -> int:
    """The bytes on disk of everything in the image."""
    return sum(sum(parts.values()) for parts in report.get("space", {}).values())


def suites_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """The results of the suite, by where it ran."""
    suite = report["suite"]
    return {"AMI": suite} if "passed" in suite else dict(suite)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Change]:
    """What is different from one report to another, by kind and name, as (before, after); kinds without any are
    absent."""
    old, new = (_facts(report) for report in (before, after))
    kinds = {kind: dict(changed(old[kind], new[kind])) for kind in new}
    return {kind: rows for kind, rows in kinds.items() if rows}


def _facts(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What of a report is compared, by kind and name."""
    return {
        "inputs": {key: report[key] for key in ("stack", "git_commit", "inputs_sha256")},
        "components": report["declared"],
        "packages": report.get("packages", {}),
        "left out": report["left_out"],
        "space": {name: sum(parts.values()) for name, parts in report.get("space", {}).items()},
        "seconds": report["seconds"],
    }
