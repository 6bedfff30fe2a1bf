"""What a run of the tests has seen, role by system and role by fault: printed at its end, and kept for programs."""

import json
from collections import defaultdict
from collections.abc import Sequence
from functools import cache

import pytest

from ingot import paths
from ingot.lock import file as locks
from ingot.model.lock import Lock
from ingot.model.types import DISTRIBUTION
from tests.rigs.faults import FAULTS
from tests.rigs.seen import SHARED
from tests.rigs.systems import SYSTEMS

# As the matrix has them.
COLUMNS = ["ubuntu2204", "ubuntu2404", "al2023", "rocky9", "rhel9", "debian12", "debian13"]
COLUMNS += [f"{name}-aarch64" for name in ("ubuntu2404", "al2023", "debian13")]
STEPS = {"converged": "c", "unchanged": "2", "verified": "s"}
LEGEND = """✓ converged, a second run changed nothing, suite green; c2s: which of these were seen; ✗ a test failed;
- left out by the lock; n needs packages of the distribution, which a simulated system does not have; · not run"""
FAULT_LEGEND = (
    """R refused by an error that names component and file, nothing left; M mended: it succeeds all the same"""
)
# Built with packages of the distribution, though its source is the vendor's.
BUILT_WITH_THE_DISTRIBUTIONS = {"slurm", "pyxis"}
RESULT = "rig-report.json"


class Report:
    """What all tests of a run have noted."""

    def __init__(self) -> None:
        self.steps: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.faults: dict[str, dict[str, str]] = defaultdict(dict)
        self._failed: set[str] = set()
        self.failed: set[tuple[str, str]] = set()
        self._lasted: dict[str, float] = defaultdict(float)
        self._saw: dict[str, set[tuple[str, str, str]]] = defaultdict(set)

    def add(self, report: pytest.TestReport) -> None:
        """Take what a test has noted, at its end."""
        self._lasted[report.nodeid] += report.duration
        if report.failed:
            self._failed.add(report.nodeid)
        if report.when != "teardown":
            return
        for kind, noted in report.user_properties:
            if kind == "role":
                assert isinstance(noted, list)
                system, role, step = noted
                self.steps[role, system].add(step)
                self._saw[report.nodeid].add((role, system, step))
                if report.nodeid in self._failed:
                    self.failed.add((role, system))
            elif kind == "fault":
                assert isinstance(noted, list)
                role, fault, result = noted
                self.faults[role][fault] = result

    def enough(self) -> dict[str, float]:
        """The tests that alone would have filled the matrix, and how many seconds each took: again and again the one
        that takes least for each step that no other one has seen yet.
        """
        left = {step for saw in self._saw.values() for step in saw}
        chosen: dict[str, float] = {}
        while left:
            more = {test: len(saw & left) for test, saw in self._saw.items() if saw & left}
            best = min(more, key=lambda test: self._lasted[test] / more[test])
            left -= self._saw[best]
            chosen[best] = self._lasted[best]
        # What was chosen first may be all in what was chosen later.
        for test in sorted(chosen, key=self._lasted.__getitem__, reverse=True):
            if self._saw[test] <= {step for other in chosen if other != test for step in self._saw[other]}:
                del chosen[test]
        return chosen

    def cell(self, role: str, system: str) -> str:
        """What the matrix says of a role on a system."""
        lock = _lock(system)
        if (role, system) in self.failed:
            return "✗"
        if role in lock.left_out:
            return "-"
        if steps := self.steps.get((role, system)):
            return "✓" if steps == set(STEPS) else "".join(STEPS[each] if each in steps else "·" for each in STEPS)
        entry = lock.components.get(role)
        of_distribution = role in BUILT_WITH_THE_DISTRIBUTIONS or (entry and entry.source == DISTRIBUTION)
        if of_distribution and not _real(system):
            return "n"
        return "·"

    def lines(self) -> list[str]:
        """The matrix and the table of faults, as they are printed."""
        roles = sorted({path.name for path in (paths.ROOT / "roles").iterdir()} - SHARED)
        real = ["real" if _real(name) else "simulated" for name in COLUMNS]
        rows = [
            ["role", *COLUMNS],
            ["", *real],
            *([role, *(self.cell(role, name) for name in COLUMNS)] for role in roles),
        ]
        lines = [*_table(rows), *LEGEND.splitlines()]
        if enough := self.enough():
            emulated = [test for test in enough if any("-" in system for _, system, _ in self._saw[test])]
            minutes, slowly = (sum(enough[test] for test in tests) / 60 for tests in (enough, emulated))
            found = f"{len(enough)} tests fill it in {minutes:.0f} min of one worker"
            lines.append(f"{found}, {slowly:.0f} of them on an emulated processor")
        if self.faults:
            faults = [["role", *FAULTS]]
            faults += [[role, *(found.get(each, "") for each in FAULTS)] for role, found in sorted(self.faults.items())]
            results = [each for found in self.faults.values() for each in found.values()]
            lines += ["", *_table(faults), FAULT_LEGEND]
            lines.append(f"{len(results)} faults, {results.count('SILENT')} silent successes")
        return lines

    def write(self) -> None:
        """Keep it for programs."""
        cells = {role: {name: self.cell(role, name) for name in COLUMNS} for role in {role for role, _ in self.steps}}
        file = paths.ROOT / "build" / RESULT
        file.parent.mkdir(exist_ok=True)
        real = {name: _real(name) for name in COLUMNS}
        seen = {"real": real, "roles": cells, "faults": self.faults, "seconds": self.enough()}
        file.write_text(json.dumps(seen, indent=1, ensure_ascii=False))


def _real(column: str) -> bool:
    return SYSTEMS[column.partition("-")[0]].real


@cache
def _lock(column: str) -> Lock:
    stack = max(path.name for path in paths.LOCKS.iterdir())
    name, _, arch = column.partition("-")
    return locks.load(paths.LOCKS / stack / f"{name}-{arch or 'x86_64'}.yml")


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [" ".join(each.ljust(width) for each, width in zip(row, widths, strict=True)).rstrip() for row in rows]
