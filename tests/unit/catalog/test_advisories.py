"""Every advisory has a source and a range that ends before its fix, and a mistake in one is one sentence."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from ingot import paths
from ingot.catalog import advisories
from ingot.catalog.advisories import accepts, engine, everything, files_of, known, lapsed, plain, read_advisories
from ingot.catalog.read import read_catalog
from ingot.errors import IngotError
from ingot.model.advisory import Advisory
from tests.commandline import ingot

CATALOG = read_catalog()
ALL = [(file, advisory) for file in CATALOG.advisories for advisory in file.advisories]
ROW = """
component: nvidia_driver
advisories:
  - id: CVE-2026-1
    bulletin: NVIDIA-1
    summary: it breaks
    severity: high
    score: 7.8
    affected: [{versions: '>=580,<580.2', fixed: 580.2.0}]
    source: https://example.org/advisory
    published: 2026-11-01
    checked: 2026-12-01
"""


def written(folder: Path, text: str, name: str = "nvidia_driver") -> Path:
    path = folder / f"{name}.yml"
    path.write_text(text.lstrip())
    return path


def test_the_faults_that_research_found_are_in_the_catalog() -> None:
    names = known(CATALOG.advisories)
    assert len({advisory.id for _, advisory in ALL}) >= 60
    bulletins = {f"NVIDIA-{number}" for number in (5659, 5747, 5755, 5808, 5821, 5831, 5850, 5857, 5861)}
    cves = {"CVE-2025-23266", "CVE-2025-23267", "CVE-2026-24187", "CVE-2026-24260", "CVE-2026-47483", "CVE-2026-47501"}
    python = {"CVE-2026-68508", "CVE-2025-66418", "CVE-2026-21441", "CVE-2026-25990", "CVE-2026-24217"}
    assert bulletins | cves | python | {"aws-ofi-nccl-broadcast-hang", "neuron-reused-communicator"} <= names


@pytest.mark.parametrize(("file", "advisory"), ALL, ids=lambda value: value.id if isinstance(value, Advisory) else "")
def test_a_score_and_its_severity_agree(file: object, advisory: Advisory) -> None:
    # https://www.first.org/cvss/v3.1/specification-document, table 14; the same in 4.0.
    if advisory.score is not None:
        rating = next(
            name for name, least in (("critical", 9), ("high", 7), ("medium", 4), ("low", 0)) if advisory.score >= least
        )
        assert advisory.severity == rating
    assert advisory.checked >= (advisory.published or date.min)


@pytest.mark.parametrize(
    ("component", "version", "found"),
    [
        ("nvidia_container_toolkit", "1.17.6", {"CVE-2025-23266", "CVE-2025-23267", "CVE-2026-24260"}),
        ("nvidia_container_toolkit", "1.19.0", {"CVE-2026-24260"}),
        ("nvidia_container_toolkit", "1.19.1", set()),
        ("aws_ofi_nccl", "1.18.0", {"aws-ofi-nccl-broadcast-hang"}),
        ("aws_ofi_nccl", "1.21.1", set()),
        ("dcgm_exporter", "4.8.3", set()),
    ],
)
def test_a_version_is_judged_as_its_sources_say(component: str, version: str, found: set[str]) -> None:
    thing = {"kind": "component", "name": component, "version": version}
    findings = engine().judge(plain(CATALOG.advisories), [thing], {}, "2026-12-01")
    assert {finding["id"] for finding in findings if finding["state"] == "open"} == found


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("component: nvidia_driver", "component: nvidia_drver", "unknown component 'nvidia_drver'"),
        ("severity:", "severty:", "unknown key 'advisories.0.severty'"),
        ("severity: high", "severity: bad", "advisories.0.severity"),
        ("'>=580,<580.2'", "'580.1'", "not a version range: '580.1'"),
        ("fixed: 580.2.0", "fixed: 580.1.0", "580.1.0 is fixed and affected"),
        ("fixed: 580.2.0", "fixed: soon", "not a version: 'soon'"),
        ("https://example.org/advisory", "the vendor", "advisories.0.source"),
        ("    bulletin: NVIDIA-1\n", "    kind: known-bad\n", "has no score"),
        (
            "component: nvidia_driver",
            "python: nvidia_driver\ncomponent: nvidia_driver",
            "one 'component' or one 'python'",
        ),
    ],
)
def test_a_mistake_is_named_with_file_line_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in ROW
    name = "nvidia_drver" if "drver" in new else "nvidia_driver"
    with pytest.raises(IngotError) as caught:
        read_advisories([written(tmp_path, ROW.replace(old, new), name)], CATALOG.components)
    assert message in str(caught.value)
    assert str(tmp_path) in caught.value.place


def test_a_file_has_the_name_of_what_it_is_about(tmp_path: Path) -> None:
    with pytest.raises(IngotError, match=r"other\.yml:1: the file is about 'nvidia_driver'"):
        read_advisories([written(tmp_path, ROW, "other")], CATALOG.components)
    with pytest.raises(IngotError, match="not a normal name: 'Hydra_Core'"):
        python = ROW.replace("component: nvidia_driver", "python: Hydra_Core")
        read_advisories([written(tmp_path, python, "Hydra_Core")], CATALOG.components)


def test_an_id_stands_once_in_a_file_and_a_teams_own_file_replaces_it(tmp_path: Path) -> None:
    row = ROW[ROW.index("  - id") :]
    with pytest.raises(IngotError, match="duplicate advisory 'CVE-2026-1'"):
        read_advisories([written(tmp_path, ROW + row)], CATALOG.components)
    ours = written(tmp_path, ROW)
    (tmp_path / "team").mkdir()
    theirs = written(tmp_path / "team", ROW.replace("severity: high", "severity: low").replace("7.8", "2"))
    (merged,) = read_advisories([ours, theirs], CATALOG.components)
    assert [advisory.severity for advisory in merged.advisories] == ["low"]


def test_what_a_stack_accepts_must_be_known(tmp_path: Path) -> None:
    (tmp_path / "stacks").mkdir()
    stack = "stack: own\nsummary: ours\nextends: '2026.11'\npins: {}\naccepts:\n"
    (tmp_path / "stacks" / "own.yml").write_text(stack + "  CVE-2025-2326:\n    why: so\n    until: 2027-01-01\n")
    with pytest.raises(IngotError, match=r"own\.yml:6: unknown advisory 'CVE-2025-2326'") as caught:
        read_catalog(own=tmp_path)
    assert "did you mean 'CVE-2025-2326" in caught.value.hint


def test_an_end_that_has_passed_stops_plans_and_locks_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = CATALOG.stack("2026.11")
    assert lapsed(stack) == {}
    end = min(entry.until for entry in stack.accepts.values())
    monkeypatch.setattr(advisories, "today", lambda: end + timedelta(days=1))
    name = next(iter(lapsed(stack)))
    for words in (["plan", "ec2", "--os", "ubuntu2404"], ["solve"], ["lock", "--os", "rocky9"], ["lock", "check"]):
        done = ingot(*words)
        assert done.returncode == 1
        assert f"stack 2026.11 accepts {name} until {end}, which has passed" in done.stderr
        assert "catalog/stacks/2026.11.yml:" in done.stderr


def test_the_doctor_has_all_advisories_and_what_stacks_accept() -> None:
    data = everything(CATALOG)
    assert sum(len(file["advisories"]) for file in data["files"]) == len(ALL)
    assert data["accepts"]["2026.11"] == accepts(CATALOG.stack("2026.11"))
    assert set(data["accepts"]["2026.11"]) == set(CATALOG.stack("2026.11").accepts)


def test_every_file_of_the_folder_is_read() -> None:
    assert {path.stem for path in files_of([paths.CATALOG])} == {
        file.fact or file.component or file.python for file in CATALOG.advisories
    }
