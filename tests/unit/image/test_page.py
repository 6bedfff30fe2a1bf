"""The report of a build is a page by itself: nothing from outside, every value escaped, and `ingot report` finds it."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ingot import paths
from ingot.image import history, verdict
from ingot.image.page import conclude, render, size
from ingot.model.budget import Budgets
from tests.commandline import ingot
from tests.unit.image.reports import ROLES, report

# Attributes and rules of style by which a page reads something else.
OUTSIDE = re.compile(r"https?://|\b(?:src|href|srcset|action)=|@import|url\(|<script|<link", re.IGNORECASE)


class Texts(HTMLParser):
    """The texts of a page; complains about a tag that is not closed where it was opened."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.found.append(data.strip())


def test_a_page_reads_nothing_from_outside_and_runs_nothing() -> None:
    assert OUTSIDE.findall(render(report(), report(number=1))) == []


def test_a_page_names_every_role_component_and_reason_as_text() -> None:
    texts = Texts(render(report(), None)).found
    assert {*ROLES, *report()["declared"], *report()["left_out"].values(), "no GPU"} <= set(texts)
    assert "Install <b>the packages</b> of slurm" in texts
    assert "This is the first build that is kept here." in texts


def test_a_page_tells_what_is_different_from_the_build_before() -> None:
    before = report(declared={**report()["declared"], "efa": "1.42.0"}, number=7)
    page = render(report(), before)
    assert "To build 7 of 2026-12-01" in page
    texts = Texts(page).found
    assert texts[texts.index("1.42.0") + 2] == "1.43.2" or "1.43.2" in texts[texts.index("1.42.0") :][:3]
    assert "None to build 7" in render(report(), report(number=7))


def test_an_ami_without_boot_and_space_has_a_page_too() -> None:
    facts = {"ami": "ami-1", "name": "ingot-x", "region": "us-east-1", "boot": {}, "space": {}}
    page = render(report(**facts, suite={"passed": 9, "failed": 0, "skipped": 1}), None)
    assert "ami-1 in us-east-1" in page
    assert "9 passed, 1 skipped" in page


def test_a_map_with_a_part_of_almost_nothing_is_drawn() -> None:
    space = {"large": {"a": 1 << 40}, "small": {"b": 512, "c": 0}, "none": {"d": 0}}
    assert "small: b, 0 KiB" in render(report(space=space), None)


@pytest.mark.parametrize(("count", "text"), [(3 << 29, "1.50 GiB"), (5 << 20, "5 MiB"), (2048, "2 KiB"), (0, "0 KiB")])
def test_sizes_are_for_people(count: int, text: str) -> None:
    assert size(count) == text


def test_a_finished_build_leaves_its_page_report_and_history(tmp_path: Path) -> None:
    conclude(tmp_path, report(), {}, Budgets())
    whole = conclude(tmp_path, report(seconds={**report()["seconds"], "boot": 90.0}), {}, Budgets())
    assert verdict.read(tmp_path, []) == whole
    assert [each["seconds"]["boot"] for each in history.reports(tmp_path)] == [50.0, 90.0]
    assert "To build 1 of" in (tmp_path / verdict.PAGE).read_text()
    verdict.drop(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [history.FOLDER]


def test_the_newer_page_of_a_local_build_and_an_ami_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "build_dir", lambda *_: tmp_path)
    missing = ingot("report", "ec2-cpu", "--os", "debian12")
    assert missing.returncode == 1
    assert "make local-ec2-cpu OS=debian12" in missing.stderr
    conclude(tmp_path / "ami", report(), {}, Budgets())
    assert ingot("report", "ec2-cpu").stdout == f"{tmp_path / 'ami' / verdict.PAGE}\n"
    conclude(tmp_path, report(), {}, Budgets())
    assert ingot("report", "ec2-cpu").stdout == f"{tmp_path / verdict.PAGE}\n"
