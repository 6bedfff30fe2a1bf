"""What the end-to-end tests share: containers that builds leave, and a checkout that a test may spoil."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ingot import paths
from tests.e2e.image import IMAGE


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
