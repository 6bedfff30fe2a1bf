"""Runs the suite of finished images (`tests/image`) on a container that roles have converged."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ingot import paths
from tests.commandline import Completed
from tests.rigs.seen import SEEN

IMAGE = {"platform": "ec2", "accelerator": "cpu", "summary": "Converged by a test."}


def suite(
    host: str,
    lock_file: Path,
    roles: Sequence[str],
    files: Sequence[str] | None = None,
    *options: str,
    platform: str = IMAGE["platform"],
) -> Completed:
    """Run the roles' test files, or `files`, on a container that they have converged; what pytest prints."""
    own = lock_file.parent / "catalog"
    own.mkdir(exist_ok=True)
    (own / "images.yml").write_text(
        json.dumps({"images": {"rig": {**IMAGE, "platform": platform, "roles": list(roles)}}})
    )
    folder = paths.ROOT / "tests" / "image"
    argv = [sys.executable, "-m", "pytest", *(str(folder / f"test_{name}.py") for name in files or roles)]
    argv += ["-c", os.devnull, "--rootdir", str(folder), "--confcutdir", str(folder)]
    argv += ["-p", "no:cacheprovider", "-rs", "--color=no"]
    argv += [*options, f"--hosts=docker://{host}", f"--lock={lock_file}", "--image=rig"]
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"} | {"INGOT_CATALOG": str(own)}
    done = subprocess.run(argv, cwd=paths.ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        # A file that is no role's tests what roles have in common.
        SEEN.verified(lock_file, [name for name in files or roles if name in roles])
    return done
