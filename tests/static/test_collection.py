"""The collection builds, installs elsewhere, and holds what a role needs there and nothing of a checkout."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from ingot import __version__
from ingot.paths import ROOT
from tests.linters import check

UNWANTED = {".venv", "build", ".git", ".cache", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}
GALAXY = Path(sys.executable).parent / "ansible-galaxy"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collection")
    words: list[str | Path] = [GALAXY, "collection", "build", "--output-path", folder, ROOT]
    done = subprocess.run(words, env=_env(folder), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("ingot-ml-*.tar.gz"))


def _env(home: Path) -> dict[str, str]:
    # A collection path of its own: galaxy does not install what the checkout's path has already.
    return {**os.environ, "ANSIBLE_HOME": str(home), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_COLLECTIONS_PATH": str(home)}


def test_artifact_is_small_and_has_no_checkout_in_it(artifact: Path) -> None:
    with tarfile.open(artifact) as tar:
        names = tar.getnames()
    roots = {name.partition("/")[0] for name in names}
    assert sorted(roots & UNWANTED) == []
    assert {"roles", "plugins", "meta", "locks"} <= roots
    assert artifact.stat().st_size < 2_000_000


def test_no_error_names_a_command_that_is_not_in_the_archive() -> None:
    """The command line stays in the checkout."""
    roles = [path for kind in ("tasks", "handlers", "vars") for path in (ROOT / "roles").glob(f"*/{kind}/*.yml")]
    plugins = (ROOT / "plugins").rglob("*.py")
    named = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted([*roles, *plugins])
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"`(ingot|make) ", line) and not line.lstrip().startswith("#")
    ]
    assert named == []


def test_every_role_has_argument_specs_and_a_readme() -> None:
    roles = [path for path in (ROOT / "roles").iterdir() if (path / "tasks").is_dir()]
    lacking = [
        f"{role.name}/{name}"
        for role in roles
        for name in ("meta/argument_specs.yml", "README.md")
        if not (role / name).exists()
    ]
    assert lacking == []


def test_the_collection_and_the_changelog_have_the_version_of_the_command_line() -> None:
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    releases = yaml.safe_load((ROOT / "changelogs" / "changelog.yaml").read_text())["releases"]
    exporter = (ROOT / "roles" / "efa_exporter" / "files" / "ingot-efa-exporter").read_text()
    assert galaxy["version"] == __version__
    assert __version__ in releases
    assert f'VERSION = "{__version__}"' in exporter


def test_the_changelog_is_valid_and_its_page_is_generated_from_it(tmp_path: Path) -> None:
    env = {"ANSIBLE_HOME": str(tmp_path), "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build")}
    check("antsibull-changelog", "lint", **env)
    check("antsibull-changelog", "lint-changelog-yaml", "changelogs/changelog.yaml", **env)
    page = tmp_path / "CHANGELOG.md"
    check("antsibull-changelog", "generate", "--output", str(page), "--output-format", "md", **env)
    assert page.read_text() == (ROOT / "CHANGELOG.md").read_text(), "run `antsibull-changelog generate`"
