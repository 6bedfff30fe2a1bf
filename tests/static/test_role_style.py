"""A reader finds a step of a role by the name of a file, and understands each task by its name alone."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingot.paths import ROOT

# How a role proceeds, and what the name of a file of tasks begins with; `main.yml` lists the phases.
PHASES = {
    "apply": "the phases of a role, in order",
    "check": "reads and refuses, and changes nothing",
    "fetch": "brings a vendor's file or key to the machine",
    "install": "packages, programs, modules, built or not",
    "configure": "settings of what is installed",
    "enable": "units that start at boot",
    "remove": "what another version or an interrupted run has left",
}
MOST_LINES = 30
PRONOUN = re.compile(r"\b(it|its|itself|they|them|their|theirs|themselves)\b", re.IGNORECASE)
NESTED = ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always")

TASKS = sorted(ROOT.glob("roles/*/tasks/*.yml"))
HANDLERS = sorted(ROOT.glob("roles/*/handlers/*.yml"))
# Scenarios of Molecule list platforms, which have names as well.
SCENARIOS = [path for path in sorted(ROOT.glob("molecule/*/*.yml")) if path.name != "molecule.yml"]
PLAYS = [*sorted(ROOT.glob("playbooks/**/*.yml")), *SCENARIOS]


def relative(path: Path) -> str:
    """A file's name in messages."""
    return str(path.relative_to(ROOT))


def names(content: Any) -> Iterator[str]:
    """The names of plays, blocks, tasks and handlers, at any depth."""
    for each in content or []:
        yield each.get("name", "")
        for key in NESTED:
            yield from names(each.get(key))


@pytest.mark.parametrize("path", [*TASKS, *HANDLERS, *PLAYS], ids=relative)
def test_every_task_name_stands_alone(path: Path) -> None:
    bad = [name for name in names(yaml.safe_load(path.read_text())) if PRONOUN.search(name) or len(name.split()) < 2]
    assert bad == [], f"{relative(path)}: a task name has at least two words and no pronoun"


@pytest.mark.parametrize("path", [path for path in TASKS if path.name == "main.yml"], ids=relative)
def test_the_main_file_of_a_role_lists_phases(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= MOST_LINES, f"{relative(path)} has {lines} lines; move steps to {', '.join(PHASES)}.yml"


@pytest.mark.parametrize("path", [path for path in TASKS if path.name != "main.yml"], ids=relative)
def test_the_name_of_a_task_file_begins_with_a_phase(path: Path) -> None:
    assert path.stem.partition("_")[0] in PHASES, f"{relative(path)}: begin with {', '.join(PHASES)}"
