"""Lets this machine's kernel start programs of another architecture, by QEMU's user mode: slow, but real."""

import platform
import shutil
from pathlib import Path

import pytest

from ingot.image.setup import as_root
from ingot.model.types import Arch
from ingot.run import run

HANDLERS = Path("/proc/sys/fs/binfmt_misc")
# As Debian does; Docker Desktop's own machine does so from the start.
SCRIPT = """set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --yes --no-install-recommends arch-test binfmt-support qemu-user-static
[ -e {handlers}/register ] || mount -t binfmt_misc binfmt_misc {handlers}
update-binfmts --enable qemu-{arch}
"""


def can_run(arch: Arch) -> None:
    """Make programs of `arch` run, or skip the test that wants it."""
    # mmdebstrap asks arch-test whether it can.
    if platform.machine() == arch or ((HANDLERS / f"qemu-{arch}").exists() and shutil.which("arch-test")):
        return
    root = as_root()
    if shutil.which("apt-get") is None or root is None:
        pytest.skip(f"this kernel starts no programs of {arch}, and teaching it so needs apt and root")
    run([*root, "sh", "-c", SCRIPT.format(arch=arch, handlers=HANDLERS)], doing=f"making programs of {arch} run")
