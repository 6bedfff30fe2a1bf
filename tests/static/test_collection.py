"""The collection builds, installs elsewhere, and holds what a role needs there and nothing of a checkout."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from ingot.paths import ROOT

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


def test_every_role_has_argument_specs_and_a_readme() -> None:
    roles = [path for path in (ROOT / "roles").iterdir() if (path / "tasks").is_dir()]
    lacking = [
        f"{role.name}/{name}"
        for role in roles
        for name in ("meta/argument_specs.yml", "README.md")
        if not (role / name).exists()
    ]
    assert lacking == []
