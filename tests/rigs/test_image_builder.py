"""What `ingot export image-builder` writes builds the image: the steps of its component, run as they stand.

Simulated: AWSTOE, which only runs these scripts one after the other, S3, and machines by containers, whose volume has
no size of its own. Real: the scripts, Python, Ansible, the roles, the suite.
"""

import os
import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingot import paths
from ingot.ami.capacity import Options
from ingot.catalog.read import read_catalog
from ingot.export.image_builder import ROOT, export
from ingot.lock import select
from tests.rigs.machines import installed
from tests.rigs.systems import docker

pytestmark = [pytest.mark.docker, pytest.mark.network, pytest.mark.slow]
IMAGE, SYSTEM = "ec2-cpu", "debian12"
LISTED = "dpkg-query --show --showformat '${Package}\\n'"
# How this machine reaches the index of Python's packages.
PIP = {name: value for name, value in os.environ.items() if name.startswith("PIP_") and name != "PIP_REQUIRE_HASHES"}
FILES = [PIP[name] for name in ("PIP_CERT", "PIP_FIND_LINKS") if Path(PIP.get(name, "")).is_absolute()]
VOLUME = re.compile(r"^# Under another device's name.*?^fi\n(?=\n)", re.MULTILINE | re.DOTALL)


class Instance:
    """A container that is built or tested, step by step."""

    def __init__(self, image: str, document: dict[str, Any], tarball: Path) -> None:
        self.name = f"ingot-image-builder-{uuid.uuid4().hex[:8]}"
        self.document, self.tarball = document, tarball
        words = [word for file in FILES for word in ("--volume", f"{file}:{file}:ro")]
        words += [word for name, value in PIP.items() for word in ("--env", f"{name}={value}")]
        docker("run", "-d", "--name", self.name, "--label", "ingot=1", *words, image, "sleep", "infinity")

    def run(self, phase: str) -> str:
        """Run a phase's steps; what they print."""
        digest = subprocess.run(["sha256sum", self.tarball], capture_output=True, text=True, check=True).stdout.split()[
            0
        ]
        values = {"SourceSha256": digest, "VolumeGib": "64", "SourceBucket": "bucket", "SourceKey": "key"}
        said = ""
        for step in next(each["steps"] for each in self.document["phases"] if each["name"] == phase):
            if step["action"] == "S3Download":
                docker("cp", str(self.tarball), f"{self.name}:{step['inputs'][0]['destination']}")
                continue
            (script,) = step["inputs"]["commands"]
            script = VOLUME.sub("", re.sub(r"{{ (\w+) }}", lambda match: values[match[1]], script))
            done = subprocess.run(
                ["docker", "exec", "-i", self.name, "bash"], input=script, capture_output=True, text=True, check=False
            )
            lines = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("skipped: ")]
            assert done.returncode == 0, "\n".join([f"{phase}: {step['name']}", *lines[-40:]])
            said += done.stdout
        return said

    def listed(self) -> set[str]:
        """The names of the packages that it has."""
        return set(docker("exec", self.name, "sh", "-c", LISTED).split())


@pytest.fixture
def component(tmp_path: Path) -> tuple[dict[str, Any], Path]:
    """The document of the component, and the tarball of the checkout as it is."""
    catalog = read_catalog()
    selection = select.image(catalog, catalog.target(catalog.newest_stack, SYSTEM, "x86_64"), IMAGE)
    text, _ = export(selection, Options(""), catalog, "test")
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listing, cwd=paths.ROOT, capture_output=True, check=True).stdout
    tar = ["tar", "--create", "--gzip", "--null", "--files-from=-", f"--file={tmp_path / 'source.tar.gz'}"]
    subprocess.run(tar, cwd=paths.ROOT, input=names, check=True)
    data = yaml.safe_load(text)["Resources"]["Component"]["Properties"]["Data"]
    return yaml.safe_load(data), tmp_path / "source.tar.gz"


@pytest.fixture
def base() -> Iterator[str]:
    """The image of an instance of the base AMI; what a test makes of it is removed."""
    made = installed(SYSTEM)
    yield made
    listed = ["docker", "ps", "-aq", "--filter", "name=^ingot-image-builder-"]
    for each in subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split():
        docker("rm", "-f", "-v", each)
    docker("rmi", "-f", "ingot/rig-image-builder")


def test_the_steps_build_the_image_test_it_and_leave_nothing_of_their_own(
    component: tuple[dict[str, Any], Path], base: str
) -> None:
    built = Instance(base, *component)
    assert "python3-venv" not in built.listed()
    built.run("build")
    assert not {"python3-venv", "python3-pip-whl"} & built.listed()
    suite = built.run("validate")
    assert re.search(r"\b[1-9]\d* passed, 0 failed", suite), suite[-2000:]
    assert not {"python3-venv", "python3-pip-whl"} & built.listed()
    assert (
        docker("exec", built.name, "sh", "-c", f"ls -d {ROOT} /var/log/dpkg.log /etc/ssh/ssh_host_* 2>&1; true").count(
            "No such file"
        )
        == 3
    )
    docker("commit", built.name, "ingot/rig-image-builder")
    tested = Instance("ingot/rig-image-builder", *component)
    suite = tested.run("test")
    assert re.search(r"\b[1-9]\d* passed, 0 failed", suite), suite[-2000:]
