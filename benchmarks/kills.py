"""Kills builds of an AMI in the tests' emulator at random moments, and counts what `ingot ami sweep` leaves of them.

    .venv/bin/python -m benchmarks.kills 30 --seed 1

Every second time the build's own programs are killed with it, as by a loss of power: nobody cleans up then.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ingot import paths
from ingot.image.packer import CLEAN_UP_SECONDS
from tests.commandline import command
from tests.own_locks import copy_locks
from tests.rigs.cloud import REGION, Cloud, emulated

IMAGE, SYSTEM = "killed", "debian12"
BUILD = ("ami", "build", IMAGE, "--os", SYSTEM, "--region", REGION)
ROW = {"platform": "ec2", "accelerator": "cpu", "summary": "Measured", "roles": ["manifest", "sysprep"]}


def family(process: int) -> list[int]:
    """A process, and those that it has started, and so on."""
    try:
        threads = list(Path(f"/proc/{process}/task").iterdir())
        children = [int(word) for thread in threads for word in (thread / "children").read_text().split()]
    except FileNotFoundError:
        return []
    return [process, *(each for child in children for each in family(child))]


def kill(cloud: Cloud, moment: float, *, everything: bool) -> str:
    """Begin a build, kill it after so many seconds, and collect; what is left, as text."""
    with subprocess.Popen(command(*BUILD), env=cloud.env, cwd=paths.ROOT, stderr=subprocess.DEVNULL) as build:
        try:
            build.wait(moment)
        except subprocess.TimeoutExpired:
            for each in family(build.pid) if everything else [build.pid]:
                os.kill(each, signal.SIGKILL)
    # Packer is told by the kernel, and takes away what it has made: its key last of all.
    deadline = time.monotonic() + (0 if everything else CLEAN_UP_SECONDS)
    while cloud.left().keys() & {"instances", "keys"} and time.monotonic() < deadline:
        time.sleep(0.1)
    before = cloud.left()
    cloud.run("ami", "sweep", "--age", "0", "--region", REGION)
    left = cloud.left()
    how = "all of it" if everything else "ingot"
    print(f"{how} killed after {moment:.1f} s: {len(before)} kinds before sweep, {left or 'nothing'} after", flush=True)
    return json.dumps(left) if left else ""


def kills(number: int, seed: int) -> list[str]:
    """What was left of each of so many builds that left something."""
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        own = copy_locks(Path(folder, "own"))
        (own / "images.yml").write_text(json.dumps({"images": {IMAGE: ROW}}))
        try:
            with emulated(Path(folder), INGOT_CATALOG=str(own)) as cloud:
                began = time.monotonic()
                done = cloud.build(IMAGE, SYSTEM)
                if done.returncode != 0:
                    raise RuntimeError(done.stderr)
                took = time.monotonic() - began
                print(f"a build takes {took:.0f} s", flush=True)
                left = [kill(cloud, moments.uniform(0, took), everything=bool(each % 2)) for each in range(number)]
        finally:
            shutil.rmtree(paths.ROOT / "build" / IMAGE, ignore_errors=True)
    return [each for each in left if each]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("number", type=int, nargs="?", default=30)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    found = kills(given.number, given.seed)
    print(f"{given.number} builds killed, {len(found)} left something")
    sys.exit(1 if found else 0)
