"""`ingot check` says what is wrong with the environment of a job, and its exit code says how bad it is."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import commandline
from tests.commandline import Completed


def ingot(*words: str | Path) -> Completed:
    return commandline.ingot("check", *words)


def findings(*words: str | Path, about: str = "variables") -> dict[str, tuple[str, str, str]]:
    """rule -> (severity, place, message) of what is printed with --json about variables or about versions."""
    report = json.loads(ingot(*words, "--json").stdout)
    return {
        each["rule"]: (each["severity"], each["place"], each["message"])
        for each in report["findings"]
        if (each["variable"] is None) == (about == "versions")
    }


def manifest(folder: Path, observed: dict[str, str | None], source: str = "vendor", **more: Any) -> Path:
    """A manifest of an image in which these versions were observed."""
    declared = {"stack": "s", "components": {"efa": {"version": observed.get("efa"), "source": source}}}
    path = folder / "manifest.json"
    path.write_text(json.dumps({"image": "parallelcluster", "declared": declared, "observed": observed, **more}))
    return path


def test_an_error_exits_1_and_is_told_with_place_reason_fix_and_source(tmp_path: Path) -> None:
    job = tmp_path / "train.sbatch"
    job.write_text("#!/bin/bash\n\nexport NCCL_DEBUG=INFO RDMAV_FORK_SAFE=1\n")
    done = ingot("--file", job)
    assert (done.returncode, done.stderr) == (1, "")
    first, *rest = done.stdout.splitlines()
    assert first == f"error: {job}:3: RDMAV_FORK_SAFE=1 [rdmav]"
    assert rest[1:3] == [
        "  fix: Remove it.",
        "  source: https://github.com/aws/aws-ofi-nccl/blob/master/doc/efa-env-var.md",
    ]
    assert rest[-1].startswith("1 error, 0 warning, 1 info (2 variables, no image")


def test_warnings_and_information_exit_0() -> None:
    done = ingot("--env", "NCCL_SOCKET_IFNAME=eth0", "--env", "NCCL_DEBUG=INFO")
    assert done.returncode == 0
    assert "warning: --env: NCCL_SOCKET_IFNAME=eth0 [ifname-excludes]" in done.stdout


def test_a_good_environment_has_no_findings() -> None:
    done = ingot("--env", "NCCL_SOCKET_IFNAME=^docker,lo,veth", "--instance-type", "p5.48xlarge")
    assert (done.returncode, done.stdout.splitlines()[0][:27]) == (0, "0 error, 0 warning, 0 info ")


def test_json_says_what_was_checked(tmp_path: Path) -> None:
    job = tmp_path / "job.sh"
    job.write_text("export NCCL_DEBUG=WARN\n")
    done = ingot("--file", job, "--os", "debian13", "--instance-type", "p5.48xlarge", "--json")
    checked = json.loads(done.stdout)["checked"]
    assert checked["files"] == [str(job)]
    assert checked["variables"] == 1
    assert checked["image"] == "lock 2026.11 debian13-x86_64"
    assert (checked["accelerator"], checked["instance_type"]) == ("nvidia", "p5.48xlarge")
    assert checked["versions"]["libfabric"] == checked["versions"]["efa"]


def test_the_image_decides_the_accelerator_and_the_components() -> None:
    done = ingot("--env", "A=1", "--os", "debian13", "--image", "parallelcluster-cpu", "--json")
    checked = json.loads(done.stdout)["checked"]
    assert checked["accelerator"] == "cpu"
    assert "nccl" not in checked["versions"]


def test_without_an_image_a_rule_says_which_version_it_lacks() -> None:
    severity, _, message = findings("--env", "FI_EFA_USE_DEVICE_RDMA=1")["device-rdma-default"]
    assert severity == "info"
    assert message.startswith("not decided: unknown version of libfabric; unknown version of aws_ofi_nccl.")


def test_a_manifest_decides_by_what_was_observed_and_by_its_details(tmp_path: Path) -> None:
    words = ("--env", "FI_EFA_USE_DEVICE_RDMA=1", "--manifest")
    details = {"libfabric": "2.6.0"}
    new = manifest(tmp_path, {"aws_ofi_nccl": "1.21.1", "efa": "1.50.0", "neuron": None}, details=details)
    assert "not decided" not in findings(*words, new)["device-rdma-default"][2]
    old = manifest(tmp_path, {"aws_ofi_nccl": "1.6.0", "efa": "1.50.0"}, details=details)
    assert findings(*words, old) == {}


def test_on_debian_the_component_efa_is_libfabric_and_elsewhere_the_installer(tmp_path: Path) -> None:
    words = ("--env", "FI_EFA_USE_DEVICE_RDMA=1", "--manifest")
    debian = manifest(tmp_path, {"aws_ofi_nccl": "1.21.1", "efa": "1.17.0"}, source="debian")
    assert findings(*words, debian) == {}
    vendor = manifest(tmp_path, {"nccl": "2.19.3", "efa": "1.29.0"})
    assert findings(*words, vendor)["sync-memops"][:2] == ("error", "")


def test_an_image_and_its_manifest_have_the_versions_that_the_base_image_brings(tmp_path: Path) -> None:
    words = ("--env", "NCCL_DEBUG=INFO", "--json")
    planned = json.loads(ingot(*words, "--image", "parallelcluster", "--os", "ubuntu2404").stdout)["checked"][
        "versions"
    ]
    expected = {"nvidia_driver": "595.112.07", "efa_installer": "1.51.0"}
    assert expected.items() <= planned.items()
    # No version of the stack for what nobody knows before.
    assert "gdrcopy" not in planned
    observed = {"nvidia_driver": "595.112.07", "efa": "1.51.0"}
    path = tmp_path / "manifest.json"
    declared = {"stack": "s", "components": {}}
    document = {"image": "parallelcluster", "declared": declared, "observed": observed, "brought": {"efa": {}}}
    path.write_text(json.dumps(document))
    assert json.loads(ingot(*words, "--manifest", path).stdout)["checked"]["versions"].items() >= expected.items()


def test_what_must_be_set_depends_on_the_instance_type() -> None:
    assert "shm-memcpy" in findings("--env", "A=1", "--instance-type", "g5.48xlarge")
    assert "shm-memcpy" not in findings("--env", "A=1", "--instance-type", "p5.48xlarge")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing to check"),
        (("--env", "NCCL_DEBUG"), "not an assignment: 'NCCL_DEBUG'"),
        (("--env", "1A=x"), "write NAME=VALUE"),
        (("--env", "A=1", "--instance-type", "p5"), "unknown instance type 'p5'"),
        (("--env", "A=1", "--os", "debian14"), "debian12, debian13"),
        (("--env", "A=1", "--os", "debian13", "--image", "parallelclusterr"), "did you mean 'parallelcluster'"),
        (("--env", "A=1", "--os", "debian13", "--stack", "2020.01"), "2026.11"),
        (("--env", "A=1", "--os", "debian13", "--manifest", "m.json"), "give one of them"),
    ],
)
def test_a_wrong_command_exits_2_and_says_why(words: tuple[str, ...], said: str) -> None:
    done = ingot(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    done = ingot("--file", tmp_path / "job.sh")
    assert (done.returncode, done.stderr) == (1, f"error: {tmp_path / 'job.sh'}: there is no such file\n")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"observed": {}, "declared": []}'])
def test_what_is_no_manifest_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    done = ingot("--env", "A=1", "--manifest", tmp_path / "manifest.json")
    assert done.returncode == 1
    assert f"{tmp_path / 'manifest.json'}: not a manifest" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_manifest_alone_is_judged_by_the_rules_about_versions(tmp_path: Path) -> None:
    observed = {"cuda": "13.0.2", "nvidia_driver": "570.211.01", "nccl": None}
    done = ingot("--manifest", manifest(tmp_path, observed))
    assert done.returncode == 1
    assert f"error: {tmp_path / 'manifest.json'}: [cuda-13-driver]" in done.stdout
    assert "cuda 13.0.2 needs nvidia_driver >=580, it is 570.211.01" in done.stdout
    assert (
        findings("--manifest", manifest(tmp_path, {"cuda": "13.0.2", "nvidia_driver": "580.126.20"}), about="versions")
        == {}
    )


def test_a_driver_that_does_not_drive_the_instance_type_is_an_error(tmp_path: Path) -> None:
    words: list[str | Path] = ["--manifest", manifest(tmp_path, {"nvidia_driver": "595.71.05"}), "--instance-type"]
    severity, _, message = findings(*words, "p3dn.24xlarge", about="versions")["instance-type"]
    assert severity == "error"
    assert "nvidia_driver must be <581" in message
    assert findings(*words, "g6.48xlarge", about="versions") == {}
