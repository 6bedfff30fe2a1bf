"""What the documentation says exists, exists; and no file depends on one machine or names a package registry's host."""

import re
import subprocess
import textwrap
import tomllib

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from ingot.catalog.read import read_catalog
from ingot.cli.main import app
from ingot.docs.pages import pages
from ingot.paths import ROOT

GIT = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
LISTED = subprocess.run(GIT, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
FILES = sorted(name for name in set(LISTED) if (ROOT / name).is_file())
DOCS = [name for name in FILES if name.endswith(".md")]
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]+)(?:#[^)\s]*)?\)")
CODE = re.compile(r"`([^`\n]+)`|^ {4}(.+)$", re.MULTILINE)
# Written in two parts, so that this file does not find itself.
FOREIGN = re.compile(
    "|".join(
        [
            r"\b(?:deb|security|ftp|httpredir|snapshot)\.debian" + r"\.org",
            r"(?:archive|ports|security)\.ubuntu" + r"\.com",
            r"\bpypi" + r"\.org",
            r"files\.pythonhosted" + r"\.org",
            r"proxy\.golang" + r"\.org",
            r"registry\.npmjs" + r"\.org",
            "/work" + "/(?:main|shared)",
            "/root/" + r"\.pyenv",
            "/home/" + "[a-z]",
        ]
    )
)


def _text(name: str) -> str:
    try:
        return (ROOT / name).read_text()
    except UnicodeDecodeError:
        return ""


@pytest.mark.parametrize("name", DOCS)
def test_links_lead_somewhere(name: str) -> None:
    folder = (ROOT / name).parent
    broken = [target for target in LINK.findall(_text(name)) if not (folder / target).exists()]
    assert broken == []


def _commands() -> list[tuple[str, str]]:
    """(file, command line) of everything in the documentation that looks like one."""
    return [(name, inline or block) for name in DOCS for inline, block in CODE.findall(_text(name))]


def test_named_make_targets_exist() -> None:
    targets = re.findall(r"^([a-z0-9-]+)%?:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = [(name, word) for name, line in _commands() for word in re.findall(r"\bmake ([a-z][a-z0-9-]*)", line)]
    assert named
    patterns = tuple(word for word in targets if word.endswith("-"))
    assert [(n, word) for n, word in named if word not in targets and not word.startswith(patterns)] == []


def test_named_commands_and_options_exist() -> None:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    named, unknown = 0, []
    for name, line in _commands():
        for command, rest in re.findall(r"(?:^|[/\s(])ingot (?:--catalog \S+ )?([a-z][a-z-]*)([^#|`)]*)", line):
            named += 1
            known = group.commands.get(command)
            if isinstance(known, TyperGroup) and rest.split():
                # A group that does something by itself is named with options alone, or in a sentence.
                known = known.commands.get(rest.split()[0], known if known.invoke_without_command else None)
            options = {option for parameter in known.params for option in parameter.opts} if known else set()
            used = re.findall(r"(?:^|\s)(--[a-z-]+)", rest)
            unknown += [(name, line) for option in used if option not in {*options, "--help"}]
            unknown += [] if known else [(name, line)]
    assert named
    assert unknown == []


def test_the_readme_fits_on_a_page() -> None:
    assert len(_text("README.md").splitlines()) <= 100


def test_the_index_of_the_documentation_links_every_page() -> None:
    pages = {name.removeprefix("docs/") for name in DOCS if name.startswith("docs/")} - {"README.md"}
    assert pages
    assert pages - set(LINK.findall(_text("docs/README.md"))) == set()


def test_the_drawing_of_the_architecture_has_the_rooms_in_their_order() -> None:
    contracts = tomllib.loads(_text("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = [each["layers"] for each in contracts if each["type"] == "layers"]
    section = _text("ARCHITECTURE.md").partition("## The rooms")[2].partition("\n## ")[0]
    drawn = [re.split(" {3,}", line)[0].replace("/", "") for line in re.findall("^ {4}(.+)", section, re.MULTILINE)]
    assert [[" ".join(line.split()) for line in drawn]] == layers


def _hunks(name: str) -> list[tuple[str, str]]:
    """(file, added lines) of the diffs in a page."""
    hunks: list[tuple[str, str]] = []
    for block in re.findall(r"^ *```diff\n(.*?)^ *```$", _text(name), re.MULTILINE | re.DOTALL):
        file = ""
        for line in textwrap.dedent(block).splitlines():
            if line.startswith("+++ b/"):
                file = line.removeprefix("+++ b/")
            elif line == "@@":
                hunks.append((file, ""))
            else:
                hunks[-1] = (file, f"{hunks[-1][1]}{line[1:]}\n")
    return hunks


def test_diffs_in_the_documentation_are_of_the_files_as_they_are() -> None:
    hunks = [hunk for name in DOCS for hunk in _hunks(name)]
    assert hunks
    assert [f"{file}: {added}" for file, added in hunks if added not in _text(file)] == []


def test_generated_documentation_is_current() -> None:
    stale = [str(path.relative_to(ROOT)) for path, text in pages(read_catalog()).items() if path.read_text() != text]
    assert stale == [], "run `make docs`"


def test_nothing_depends_on_one_machine() -> None:
    found = [
        f"{name}:{number}: {match[0]}"
        for name in FILES
        for number, line in enumerate(_text(name).splitlines(), 1)
        if (match := FOREIGN.search(line))
    ]
    assert found == []


def test_no_failure_is_hidden() -> None:
    hidden = re.compile(r"\|\| true|^\s*(?:ignore_errors|failed_when: false)", re.MULTILINE)
    files = [name for name in FILES if not name.endswith((".md", ".py"))]
    assert [f"{name}: {match[0]}" for name in files if (match := hidden.search(_text(name)))] == []
