"""Every linter is content with what it understands; a failure shows what it prints."""

from pathlib import Path

import pytest

from ingot.paths import ROOT
from tests.linters import check, tracked


@pytest.mark.parametrize(
    "words",
    [
        ["ruff", "check", "--quiet", "."],
        ["ruff", "format", "--quiet", "--check", "."],
        ["mypy", "--no-error-summary"],
        ["yamllint", "--strict", "."],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_linter_is_content(words: list[str]) -> None:
    check(*words)


def test_shell_scripts() -> None:
    # What a template becomes is checked instead: it is among the data of tests/unit/export/test_launch.py.
    scripts = [name for name in tracked() if _is_shell(ROOT / name) and not name.endswith(".j2")]
    assert ".ci/run" in scripts
    check("shellcheck", "--", *scripts)


def _is_shell(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline(100)
    return first.startswith(b"#!") and first.split()[-1].endswith(b"sh")


def test_dockerfiles() -> None:
    if files := tracked("*Dockerfile*", "*Containerfile*", ":!*.dockerignore"):
        check("hadolint", *files)


def test_ansible(tmp_path: Path) -> None:
    # A home of its own, so that a check never installs into the user's.
    env = {"ANSIBLE_HOME": str(tmp_path), "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build")}
    check("ansible-lint", "--offline", "-q", "--nocolor", **env)
