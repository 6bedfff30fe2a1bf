"""What stands in for the steps of a local build, so that only what it decides is its own."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ingot import paths
from ingot.errors import IngotError
from ingot.image.disk import Disk
from ingot.image.verify import Result

PASSED = Result(passed=49, failed=0, skipped=0, failures=[], skips=[], seconds=1.0)
BOOT: dict[str, Any] = {"systemd": "", "stages": {}, "chain": [], "slow": {}, "failed": []}
FAILED = Result(passed=48, failed=1, skipped=0, failures=[("test_efa.py::test_a", "no")], skips=[], seconds=1.0)

DECLARED = set(
    re.findall(r'^variable "(\w+)"', (paths.ROOT / "packer" / "variables.pkr.hcl").read_text(), re.MULTILINE)
)


class Killed(BaseException):
    """What ends a build where no code of it runs any more."""


class Machine:
    """What stands in for the steps of a build: each disk is unlike the last, and `fails` is the step that fails."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fails = ""
        self.failed_units: list[str] = []
        self.containers: list[str] = []
        self.images: list[str] = []
        self.judged: list[str] = []

    @property
    def builds(self) -> int:
        return len(self.containers)

    def converge(self, _: str, variables: dict[str, str], **__: object) -> None:
        assert set(variables) <= DECLARED
        self.containers.append(variables["container_name"])
        if self.fails == "roles":
            raise IngotError("a role fails")
        self.images.append(f"sha256:{self.builds}")

    def disk(self, image: str, dest: Path, **_: object) -> Disk:
        assert not (self.folder / "report.json").exists()
        dest.write_text(f"disk {self.builds} of {image}")
        return Disk(dest, 1, 1, 1.0)

    @contextmanager
    def boot(self, *_: object, **__: object) -> Iterator[SimpleNamespace]:
        if self.fails == "killed in boot":
            raise Killed
        yield SimpleNamespace(
            wall_seconds=1.0, userspace="", boot_facts={**BOOT, "failed": self.failed_units}, host="x", ssh_config=None
        )

    def verify(self, uri: str, **_: object) -> Result:
        self.judged.append(uri.partition("://")[0])
        return FAILED if uri.startswith(self.fails or "none") else PASSED

    def run(self, words: list[str], **_: object) -> str:
        said = {"cat": '{"observed": {}}', "{{.Id}}": "".join(self.images[-1:]), "--quiet": "\n".join(self.images)}
        said["-"] = '{"packages": {}, "folders": {}}'
        return said.get(words[-2], "")
