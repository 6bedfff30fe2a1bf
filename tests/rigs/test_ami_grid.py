"""Each image of a system that EC2 has base images of becomes an AMI that passes the suite; the others are refused with
the catalog's reason.

Vendors are simulated, but for Debian. A cell alone, with the seconds of its phases:

    pytest -m '' -rP tests/rigs/test_ami_grid.py -k 'built and al2023-eks'
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.model.image import DRIVERS
from ingot.model.lock import Lock
from tests.commandline import ingot
from tests.own_locks import copy_locks
from tests.rigs.cloud import Cloud, emulated, inside
from tests.rigs.locks import locked
from tests.rigs.machines import base_tag
from tests.rigs.systems import SYSTEMS
from tests.signing import signing_key

SYSTEM_NAMES = ["ubuntu2404", "ubuntu2204", "al2023", "rhel9", "rocky9", "debian12"]
IMAGES = read_catalog().images
# Modules that are not of the distribution's kernel, and who has signed them.
SIGNERS = """find /lib/modules/*/* -maxdepth 0 -type d ! -name kernel -exec find {} -name '*.ko*' -type f ';' |
while read -r file; do echo "$file $(modinfo -F signer "$file")"; done"""
# Of what ParallelCluster's base image brings: files that no other role may touch.
BROUGHT = "find /opt/slurm /opt/amazon/efa /opt/amazon/ofi-nccl /usr/src/nvidia-* -type f | sort | xargs sha256sum"
# One image of each family is signed.
SIGNED = [("ubuntu2404", "ec2"), ("rocky9", "ec2")]


@cache
def refusal(system: str, name: str) -> str:
    """Why the image is not built, as the lock has it; empty where it is built."""
    lock, image = locked(system), IMAGES[name]
    driver = DRIVERS.get(image.accelerator, "")
    if not lock.base_image(name, image):
        why = lock.left_out.get(image.platform)
        return f"no base image of {image.platform} for {system}" + (f": {why}" if why else "")
    return lock.left_out.get(driver, "")


CELLS = [(system, name) for system in SYSTEM_NAMES for name in IMAGES]
BUILT = [cell for cell in CELLS if not refusal(*cell)]
REFUSED = [cell for cell in CELLS if refusal(*cell)]


def named(cells: list[tuple[str, str]]) -> list[Any]:
    """Cells as values of a test's parameters."""
    return [pytest.param(*cell, id="-".join(cell)) for cell in cells]


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Cloud]]:
    """The emulator with the vendors of a system, of one at a time; Debian is its own."""
    there: dict[str, Cloud] = {}
    with ExitStack() as stack:

        def cloud(system: str) -> Cloud:
            if system not in there:
                stack.close()
                there.clear()
                folder = tmp_path_factory.mktemp("ec2")
                real = SYSTEMS[system].real
                own = {"INGOT_CATALOG": str(copy_locks(folder / "own"))} if real else {}
                there[system] = stack.enter_context(emulated(folder, "" if real else system, **own))
            return there[system]

        yield cloud


@pytest.mark.docker
@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize(("system", "name"), named(BUILT))
def test_an_image_is_built_and_keeps_what_its_base_image_brings(
    clouds: Callable[[str], Cloud], system: str, name: str, tmp_path: Path
) -> None:
    cloud = clouds(system)
    key = signing_key(tmp_path)
    signing = ["--signing-key", str(key.key), "--signing-certificate", str(key.certificate)]
    done = cloud.build(name, system, *(signing if (system, name) in SIGNED else []))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    seconds = ", ".join(f"{phase} {each:.0f}" for phase, each in report["seconds"].items() if each >= 1)
    print(f"{system} {name}: {sum(report['seconds'].values()):.0f} s ({seconds})")
    assert report["suite"]["failed"] == 0
    assert report["suite"]["passed"] > 0
    manifest = json.loads((Path(report["dir"]) / "manifest.json").read_text())
    assert manifest["image"] == name
    (there,) = cloud.ec2.describe_images(ImageIds=[report["ami"]])["Images"]
    tags = {tag["Key"] for tag in there["Tags"]}
    image, brings = IMAGES[name], _brings(locked(system), name)
    assert ("ingot:nvidia_driver" in tags) == (image.accelerator == "nvidia" and "nvidia_driver" not in brings)
    assert "ingot:slurm" not in tags
    if (system, name) in SIGNED:
        signers = dict(line.split() for line in inside(report["ami"], "sh", "-euc", SIGNERS).splitlines())
        assert {"nvidia", "gdrdrv", "efa"} <= {Path(file).name.split(".")[0] for file in signers}
        assert set(signers.values()) == {"ingot-test"}
    if image.platform == "parallelcluster":
        assert manifest["brought"]["nvidia_driver"]["observed"] == "595.112.07"
        assert inside(report["ami"], "find", "/var/crash", "/opt/parallelcluster", "-name", "*.crash") == ""
        base = base_tag(system, image.platform)
        assert inside(report["ami"], "sh", "-euc", BROUGHT) == inside(base, "sh", "-euc", BROUGHT) != ""
    assert cloud.left() == {}


def _brings(lock: Lock, name: str) -> set[str]:
    """The components that an image's base image brings."""
    return set(lock.base_images[lock.base_image(name, IMAGES[name])].brings)


@pytest.mark.parametrize(("system", "name"), named(REFUSED))
def test_an_image_without_base_image_or_driver_is_refused_with_the_reason(
    system: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody answers there.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    done = ingot("ami", "build", name, "--os", system, "--region", "us-east-1")
    assert done.returncode == 1
    assert refusal(system, name) in " ".join(done.stderr.split())
    assert not (paths.ROOT / "build" / name / f"{system}-x86_64" / "ami").exists()
