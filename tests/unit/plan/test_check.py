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
        "  fix: Remove it; libfabric has FI_EFA_FORK_SAFE, which kernels from 5.15 on do not need.",
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
    vendor = manifest(tmp_path, {"nccl": "2.19.3", "efa": "1.28.0"})
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


@pytest.mark.parametrize(
    ("setting", "severity"),
    [
        ("NCCL_NET=Socket", "error"),
        ("NCCL_NET_PLUGIN=none", "error"),
        ("NCCL_NET_PLUGIN=spcx", "error"),
        ("FI_PROVIDER=tcp", "error"),
        ("FI_EFA_USE_DEVICE_RDMA=0", "error"),
        ("NCCL_NET_GDR_LEVEL=LOC", "error"),
        ("OFI_NCCL_PROTOCOL=SENDRECV", "warning"),
        ("NCCL_P2P_DISABLE=1", "warning"),
        ("NCCL_SHM_DISABLE=1", "warning"),
    ],
)
def test_what_takes_the_network_away_is_an_error_and_what_costs_speed_a_warning(setting: str, severity: str) -> None:
    found = findings("--env", setting, "--instance-type", "p5.48xlarge")
    assert severity in {each[0] for each in found.values()}
    # A type without EFA and NVLink has neither to lose.
    if setting != "NCCL_SHM_DISABLE=1":
        lost = findings("--env", setting, "--instance-type", "g5.xlarge")
        assert {each[0] for each in lost.values()} <= {"info"}


def test_a_variable_is_judged_for_the_accelerator_of_the_instance_type() -> None:
    setting = ("--env", "FI_EFA_USE_DEVICE_RDMA=1", "--os", "ubuntu2404", "--image", "ec2-neuron")
    assert findings(*setting, "--instance-type", "trn1.32xlarge") == {}
    assert findings("--env", "FI_EFA_USE_DEVICE_RDMA=1", "--instance-type", "trn1.32xlarge") == {}


def test_what_the_lock_knows_of_efa_s_parts_is_known() -> None:
    severity, _, message = findings("--env", "FI_EFA_USE_DEVICE_RDMA=1", "--os", "ubuntu2404", "--image", "ec2")[
        "device-rdma-default"
    ]
    assert (severity, "not decided" in message) == ("info", False)


@pytest.mark.parametrize(
    ("value", "rule", "fix"),
    [
        ("/usr/local/cuda/compat:$LD_LIBRARY_PATH", "library-path-compat", "do not add it to the system's"),
        ("/usr/local/cuda/lib64/stubs", "library-path-stubs", "LIBRARY_PATH or -L"),
        ("/opt/amazon/efa/lib", "library-path", "/etc/ld.so.conf.d"),
        ("/opt/rocm/lib:$LD_LIBRARY_PATH", "", ""),
    ],
)
def test_the_advice_depends_on_the_value(value: str, rule: str, fix: str) -> None:
    report = json.loads(ingot("--env", f"LD_LIBRARY_PATH={value}", "--json").stdout)
    assert [each["rule"] for each in report["findings"]] == ([rule] if rule else [])
    assert all(fix in each["fix"] for each in report["findings"])


@pytest.mark.parametrize("name", ["ml.p5.48xlarge", "zz9.32xlarge"])
def test_a_type_of_sagemaker_or_one_that_nobody_knows_is_no_wrong_command(name: str) -> None:
    done = ingot("--env", "NCCL_NET=Socket", "--instance-type", name)
    assert done.returncode == 1
    assert ("is not in the catalog" in done.stdout) == name.startswith("zz9")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("train.md", "Set the variable\nNCCL_DEBUG to see more.\n"),
        ("train.sh", "#!/bin/bash\npython -c \"import os; os.environ['NCCL_DEBUG']='INFO'\"\n"),
        ("main.yaml", "set:\n  - how to set NCCL_DEBUG\n"),
    ],
)
def test_a_file_that_names_a_variable_and_was_not_understood_is_no_clean_verdict(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    done = ingot("--file", tmp_path / name)
    assert done.returncode == 3
    assert f"not understood: {tmp_path / name}:2: it names NCCL_DEBUG" in done.stdout
    # An error weighs more.
    assert ingot("--file", tmp_path / name, "--env", "RDMAV_FORK_SAFE=1").returncode == 1


@pytest.mark.parametrize(
    "text",
    [
        "unset NCCL_DEBUG\nsrun x\n",
        'echo "NCCL_DEBUG=$NCCL_DEBUG"\n',
        "cat <<EOF\nset NCCL_DEBUG=INFO\nEOF\n",
        "# NCCL_DEBUG=INFO\nsrun x\n",
        'if [ "${NCCL_DEBUG:-}" = INFO ]; then srun x; fi\n',
        "mpirun -x NCCL_DEBUG x\n",
        "export NCCL_DEBUG\n",
    ],
)
def test_a_script_that_names_a_variable_and_sets_none_is_understood(tmp_path: Path, text: str) -> None:
    (tmp_path / "job.sh").write_text(text)
    assert ingot("--file", tmp_path / "job.sh").returncode == 0


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
