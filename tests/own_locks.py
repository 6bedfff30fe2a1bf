"""A catalog of one's own with copies of the newest stack and its locks, which builds then record into."""

import shutil
from pathlib import Path

from ingot import paths


def copy_locks(own: Path) -> Path:
    """Put the copies into `own`, a folder that may have more of a catalog."""
    stack = max(path.name for path in paths.LOCKS.iterdir())
    (own / "stacks").mkdir(parents=True, exist_ok=True)
    shutil.copy(paths.CATALOG / "stacks" / f"{stack}.yml", own / "stacks")
    shutil.copytree(paths.LOCKS / stack, own / "locks" / stack)
    return own
