"""The framework container for NVIDIA GPUs is built of the vendors' own files."""

from pathlib import Path

import pytest

from ingot.catalog.read import read_catalog
from ingot.lock import select
from tests.commandline import ingot_process
from tests.own_locks import copy_locks
from tests.real.hosts import require, vendors_of
from tests.rigs.systems import STACK

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.docker, pytest.mark.network, pytest.mark.disk(30)]


def test_fsdp_for_nvidia_is_built(tmp_path: Path) -> None:
    selection = select.container(read_catalog(), "fsdp", STACK, accelerator="nvidia")
    roles = {role for _, entry in selection.chain for role in entry.roles} & selection.lock.components.keys()
    require("registry-1.docker.io", *(host for role in roles for host in vendors_of(selection.lock, role)))
    # The build records what the lock lacks.
    done = ingot_process("container", "fsdp", "--accelerator", "nvidia", own=copy_locks(tmp_path / "own"))
    assert done.returncode == 0, done.stderr
