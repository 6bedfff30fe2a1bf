"""What the end-to-end tests share: the command line as a user runs it, and a checkout that a test may spoil."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ingot import paths

# The image that is made fastest; what it goes through is what every image goes through.
IMAGE = "parallelcluster-cpu"
MAIN = "from ingot.cli.main import main; main()"
Ingot = Callable[..., subprocess.CompletedProcess[str]]


def command(*words: str) -> list[str]:
    """The words that run `ingot` with this Python."""
    return [sys.executable, "-c", MAIN, *words]


@pytest.fixture(scope="session")
def ingot() -> Ingot:
    """Run `ingot`; `checkout` names another one than this."""

    def run(*words: str, checkout: Path = paths.ROOT) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": str(checkout)}
        return subprocess.run(command(*words), capture_output=True, text=True, cwd=checkout, env=env, check=False)

    return run


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this checkout with the same Python environment, the collection in its place, and nothing built."""
    copy = tmp_path / "checkout"
    shutil.copytree(paths.ROOT, copy, ignore=shutil.ignore_patterns(".*", "build", "__pycache__", "*.egg-info"))
    (copy / ".venv").symlink_to(Path(sys.prefix))
    collections = copy / "build" / "ansible_collections" / "ingot"
    collections.mkdir(parents=True)
    (collections / "ml").symlink_to(copy)
    return copy


@pytest.fixture
def containers() -> Callable[[], list[str]]:
    """The names of the containers of builds of IMAGE, of their disks and signatures; other tests have theirs."""

    def there() -> list[str]:
        words = ["docker", "ps", "-a", "--filter", f"name=^ingot-({IMAGE}|disk|sign)-", "--format", "{{.Names}}"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()

    return there
