"""Boots a disk and runs the suite in the machine, beside what the suite has said of the image."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingot.console import Progress
from ingot.errors import IngotError
from ingot.image import verdict
from ingot.image.inputs import Inputs
from ingot.image.machine import boot
from ingot.image.verify import Result, verify
from ingot.model.target import ImageSelection

# What the report speaks of.
FILES = (verdict.DISK, verdict.MANIFEST, verdict.SBOM)


def _insist(result: Result, where: str, log: Path) -> None:
    if result.failed:
        lines = [
            f"{test}: {message.strip().splitlines()[-1] if message.strip() else ''}"
            for test, message in result.failures
        ]
        raise IngotError(f"{result.failed} tests fail {where}\n  " + "\n  ".join(lines[:15]), hint=f"full log: {log}")


def judge(
    selection: ImageSelection, on_image: Result, inputs: Inputs, progress: Progress, log: Path
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Boot the disk and run the suite in the machine: what the report says of it, and the identity of each file.

    `on_image` is the suite's result before the boot. Raises IngotError if either has failures.
    """
    folder = selection.dir
    _insist(on_image, "on the image", log)
    with ExitStack() as stack:
        # Meanwhile, as the machine only reads the disk.
        files = stack.enter_context(ThreadPoolExecutor(1)).submit(
            lambda: {name: verdict.identity(folder / name) for name in FILES}
        )
        with progress.phase("boot"):
            machine = stack.enter_context(boot(folder / verdict.DISK, log=log))
        with progress.phase("suite in the machine"):
            in_machine = verify(
                f"ssh://{machine.host}",
                lock_path=selection.lock_path,
                image=selection.name,
                log=log,
                ssh_config=machine.ssh_config,
                on_progress=lambda done, total: progress.tell(f"{done} of {total} tests"),
            )
            boot_facts = {"wall_seconds": round(machine.wall_seconds, 1), **machine.boot_facts}
    _insist(in_machine, "in the machine", log)
    judged = {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "suite_sha256": inputs.suite_sha256,
        "boot": boot_facts,
        "suite": {
            place: {key: facts[key] for key in ("passed", "skipped", "skips", "seconds")}
            for place, facts in (("image", asdict(on_image)), ("machine", asdict(in_machine)))
        },
    }
    return judged, files.result()
