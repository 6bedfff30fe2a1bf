"""`make local-parallelcluster` gives a machine image that boots and is what its lock says."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pyuefivars import AWSUEFIVarStore, EDK2UEFIVarStore

from ingot.ami.uefi import SigningKey
from ingot.image import secure_boot
from ingot.image.build import FREE_GIB
from ingot.image.machine import boot
from ingot.image.qemu import Firmware
from ingot.image.timeline import critical
from ingot.lock import file as locks
from ingot.model.lock import Lock
from ingot.model.target import Target
from tests.commandline import ingot_process

pytestmark = [pytest.mark.docker, pytest.mark.qemu, pytest.mark.network, pytest.mark.disk(FREE_GIB["nvidia"])]


@pytest.fixture(scope="module", params=["debian13", pytest.param("debian12", marks=pytest.mark.slow)])
def report(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The report of a build of what the checkout is now."""
    done = ingot_process("local", "parallelcluster", "--os", request.param, "--json")
    assert done.returncode == 0, done.stderr
    built: dict[str, Any] = json.loads(done.stdout)
    return built


@pytest.fixture(scope="module")
def lock(report: dict[str, Any]) -> Lock:
    """The lock that was built, which a refresh may have renewed."""
    return locks.load(locks.path_of(Target(report["stack"], report["os"], report["arch"])))


def test_every_component_is_observed_at_the_version_that_the_lock_declares(report: dict[str, Any], lock: Lock) -> None:
    assert report["declared"] == {name: component.version for name, component in lock.components.items()}
    for name, version in report["declared"].items():
        assert report["observed"][name] == version


def test_the_suite_passed_on_the_image_and_in_the_machine(report: dict[str, Any]) -> None:
    assert report["suite"]["image"]["passed"] > 0
    assert report["suite"]["machine"]["passed"] > report["suite"]["image"]["passed"] / 2


def test_what_is_left_out_is_reported_with_its_reason(report: dict[str, Any]) -> None:
    assert report["left_out"]["nvidia_container_toolkit"]
    assert report["left_out"]["efa.kmod"]


def test_seconds_are_reported_for_every_role_of_the_image(report: dict[str, Any]) -> None:
    from ingot.catalog.read import read_catalog

    assert set(read_catalog().images["parallelcluster"].roles) <= set(report["role_seconds"])


def test_the_report_says_where_time_and_space_went_and_what_the_boot_waited_for(report: dict[str, Any]) -> None:
    from ingot.catalog.read import read_catalog

    ran = {span["name"] for span in report["timeline"] if span["kind"] == "role"}
    assert set(read_catalog().images["parallelcluster"].roles) <= ran
    whole = sum(report["seconds"].values())
    assert sum(step["seconds"] for step in critical(report["timeline"])) == pytest.approx(whole, rel=0.1)
    assert report["space"]["kernel"]
    assert sum(sum(parts.values()) for parts in report["space"].values()) > 1 << 30
    assert report["boot"]["chain"]
    assert report["boot"]["stages"]["userspace"] > 0


def test_disk_manifest_sbom_and_log_lie_where_the_report_says(report: dict[str, Any], lock: Lock) -> None:
    for path in report["paths"].values():
        assert Path(path).stat().st_size > 0
    sbom = json.loads(Path(report["paths"]["sbom"]).read_text())
    listed = {entry["name"]: entry["version"] for entry in sbom["components"]}
    assert sbom["bomFormat"] == "CycloneDX"
    for name, package in lock.packages.items():
        assert listed.get(name) == package.version, name
    for name, wheel in lock.wheels.items():
        assert listed[name] == wheel.version


def test_a_second_build_of_the_same_inputs_says_so(report: dict[str, Any]) -> None:
    again = json.loads(ingot_process("local", "parallelcluster", "--os", report["os"], "--json").stdout)
    assert again.pop("unchanged") is True
    assert again == {key: value for key, value in report.items() if key != "unchanged"}


def test_the_booted_image_answers_as_the_readme_says(report: dict[str, Any]) -> None:
    launch = ingot_process("launch", "slurm", "cpu-ddp", "--bare", "--instance-type", "c5n.large", "--os", report["os"])
    script = base64.b64encode(launch.stdout.encode()).decode()
    command = f"modprobe nvidia; echo {script} | base64 -d | sbatch --test-only && ingot-doctor && srun hostname"
    done = ingot_process("boot", "parallelcluster", "--os", report["os"], "--json", "--ssh", command)
    answer = json.loads(done.stdout)
    assert done.returncode == answer["exit"] == 0, answer
    assert "No such device" in answer["stderr"]
    assert report["declared"]["nvidia_driver"] in answer["stdout"]


@pytest.mark.slow
def test_secure_boot_lets_in_what_is_signed_and_nothing_else(report: dict[str, Any]) -> None:
    command = "dmesg | grep NVRM; modprobe nvidia"
    done = ingot_process("boot", "parallelcluster", "--os", report["os"], "--secure-boot", "--json", "--ssh", command)
    answer = json.loads(done.stdout)
    assert answer["secure_boot"] == {
        "lockdown": "integrity",
        "module": "nvidia",
        "unsigned": "Key was rejected by service",
        "signed": "No such device",
    }
    assert "No NVIDIA GPU found" in answer["stdout"]
    assert "No such device" in answer["stderr"]


@pytest.mark.slow
def test_the_variables_of_an_ami_start_it_with_secure_boot_on(report: dict[str, Any], tmp_path: Path) -> None:
    key = SigningKey(secure_boot.KEY, secure_boot.CERTIFICATE)
    store = AWSUEFIVarStore(key.uefi_data.encode())
    # The tool's own way to write what EC2 reads as QEMU's firmware does.
    store.__class__ = EDK2UEFIVarStore
    variables = tmp_path / "variables.fd"
    variables.write_bytes(bytes(store))
    disk, log = Path(report["paths"]["disk"]), tmp_path / "boot.log"
    firmware = Firmware(secure_boot.FIRMWARE.code, variables, secure=True)
    with secure_boot.start_disk(disk, log=log) as start, boot(disk, log=log, firmware=firmware, start=start) as machine:
        assert secure_boot.prove(machine).signed == "No such device"


def test_a_build_leaves_no_container(report: dict[str, Any]) -> None:
    left = subprocess.run(
        ["docker", "ps", "-aq", "--filter", "name=^ingot-parallelcluster"], capture_output=True, text=True, check=True
    )
    assert left.stdout == ""
