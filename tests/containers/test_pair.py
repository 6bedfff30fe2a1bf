"""The built base fits the host of its lock, and no host with an older lock or another stack."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingot.lock import file as locks
from ingot.model.target import Target
from tests.commandline import ingot_process

pytestmark = [pytest.mark.docker, pytest.mark.network, pytest.mark.slow]


def test_the_base_goes_with_the_host_of_its_lock_alone(built: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    report = built("base")
    tag, path = report["tag"], locks.path_of(Target(report["stack"], report["os"], report["arch"]))
    done = ingot_process("pair", str(path), tag, "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["what"]: row for row in json.loads(done.stdout)["compared"]}
    assert {rows[name]["state"] for name in ("stack", "lock", "efa")} == {"same"}
    # Read from the packages that are really in it.
    lock = locks.load(path)
    for name, package in (("libfabric", "libfabric1"), ("pmix", "libpmix2t64")):
        assert rows[name]["state"] == "fits"
        assert lock.packages[package].version.startswith(f"{rows[name]['container']}-")
    older = lock.components["efa"].model_copy(update={"version": "1.17.0"})
    host = tmp_path / "host.yml"
    host.write_text(locks.dump(lock.model_copy(update={"components": lock.components | {"efa": older}})))
    other = locks.path_of(Target("2025.11", "ubuntu2404", "x86_64"))
    for each, why in ((host, "versions of two locks"), (other, "one stack")):
        done = ingot_process("pair", str(each), tag)
        assert done.returncode == 1
        assert why in " ".join(done.stdout.split())
