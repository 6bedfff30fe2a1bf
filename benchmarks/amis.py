"""Measures the life of AMIs in the emulator of the tests: building, listing, collecting and copying them."""

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ingot import paths
from ingot.ami import ami
from ingot.ami import copy as ami_copy
from ingot.ami import gc as ami_gc
from ingot.console import Progress
from ingot.sources import aws

MANY = 1000
# A copy of some GB takes minutes; so many seconds show as well whether one waits for another.
COPYING = 10.0
REGIONS = ["us-west-2", "eu-west-1", "eu-central-1", "eu-north-1", "sa-east-1", "ca-central-1", "ap-south-1"]
REGIONS += ["ap-northeast-1", "ap-southeast-1", "ap-southeast-2"]
SILENT = Progress(quiet=True)
FALSE = {
    "AWS_ACCESS_KEY_ID": "false",
    "AWS_SECRET_ACCESS_KEY": "false",
    "AWS_DEFAULT_REGION": "us-east-1",
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
}

# Runs a command and writes down when it began and ended.
TIMED = """#!/bin/sh
began=$(date +%s.%N)
{command} "$@"
code=$?
echo "$began $(date +%s.%N)" >> '{times}'
exit $code
"""


@contextlib.contextmanager
def _emulator() -> Iterator[tuple[Any, Any]]:
    """The tests' emulator, empty, and what makes AMIs in it."""
    with patch.dict(os.environ, FALSE):
        # Only by now: clients are made with what the environment says.
        from tests.aws import world
        from tests.rigs import emulator

        with emulator.emulated():
            yield emulator, world


def many() -> tuple[float, float]:
    """How long it takes to list many AMIs, and to collect all but the newest of them, in seconds."""
    with _emulator() as (_, world):
        for _ in range(MANY):
            world.ami()
        began = time.monotonic()
        rows = ami.listed(aws.regions([], "list"), "", "", "")
        listed = time.monotonic()
        verdicts = ami_gc.collect(aws.regions([], "gc"), 3, SILENT)
        ended = time.monotonic()
    assert len(rows) == len(verdicts) == MANY
    assert sum(not verdict.keep for verdict in verdicts) == MANY - 3
    return listed - began, ended - listed


def copies() -> tuple[float, float]:
    """How long a copy to one region takes, and to ten, in seconds."""
    took = []
    for regions in (REGIONS[:1], REGIONS):
        with _emulator() as (emulator, world), patch.object(ami_copy, "POLL_SECONDS", 0.5):
            with patch.object(emulator, "copying", COPYING):
                made = world.ami()
                began = time.monotonic()
                (home,) = aws.regions([], "copy")
                found = ami.find(home, made)
                done = ami_copy.copy(found, home, aws.regions(regions, "copy"), "", SILENT)
                took.append(time.monotonic() - began)
            assert len(done) == len(regions)
    return took[0], took[1]


def packer() -> tuple[float, float]:
    """What Packer adds to its provisioners when it makes an AMI, to launch, log in and keep the image, in seconds; and
    how many more the emulator takes, whose machines are containers, to answer what Packer asks.
    """
    from tests.rigs import cloud

    with tempfile.TemporaryDirectory() as folder:
        own, times = Path(folder, "own"), Path(folder, "times")
        own.mkdir()
        row = {"platform": "ec2", "accelerator": "cpu", "summary": "Measured", "roles": ["manifest", "sysprep"]}
        (own / "images.yml").write_text(json.dumps({"images": {"measured": row}}))
        playbook = Path(folder, "ansible-playbook")
        playbook.write_text(TIMED.format(command=f"{sys.prefix}/bin/ansible-playbook", times=times))
        playbook.chmod(0o755)
        given = {"INGOT_CATALOG": str(own), "PKR_VAR_ansible_playbook": str(playbook)}
        with cloud.emulated(Path(folder), **given) as there:
            program = Path(folder, "ingot")
            command = program.read_text().partition("exec ")[2].removesuffix(' "$@"\n')
            program.write_text(TIMED.format(command=command, times=times))
            done = there.build("measured", "debian12", "--on-demand")
            answers = [line.split() for line in Path(folder, "seconds.txt").read_text().splitlines()]
        shutil.rmtree(paths.ROOT / "build" / "measured", ignore_errors=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        # The roles, the suite, and sysprep; the last is the suite once more, on the finished AMI.
        spans = [tuple(map(float, line.split())) for line in times.read_text().splitlines()][:-1]
        added = float(json.loads(done.stdout)["seconds"]["build"]) - sum(ended - began for began, ended in spans)
        # What is between these is Packer's own, and one after the other; later ones are of the check.
        actions = [action for action, _ in answers]
        first, last = actions.index("CreateKeyPair"), actions.index("DeleteKeyPair")
        emulated = sum(float(took) for _, took in answers[first : last + 1])
        return added - emulated, emulated


if __name__ == "__main__":
    with contextlib.redirect_stderr(io.StringIO()):
        counted, copied = many(), copies()
    print("Packer adds {:.2f} s, the emulator {:.2f} s".format(*packer()))
    print(f"{MANY} AMIs: listed in {counted[0]:.2f} s, collected in {counted[1]:.2f} s")
    print(f"a copy of {COPYING:.0f} s: to one region {copied[0]:.2f} s, to ten {copied[1]:.2f} s")
