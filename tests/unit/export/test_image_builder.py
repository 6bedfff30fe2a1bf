"""`ingot export image-builder` writes templates that CloudFormation takes, and whose instances build the same image."""

import itertools
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cfnlint.api import lint
from cfnlint.config import ManualArgs

from ingot import paths
from ingot.ami.capacity import Options
from ingot.catalog.read import read_catalog
from ingot.export.image_builder import MOST_DATA, ROOT, export
from ingot.lock import select
from ingot.lock.file import load, path_of
from ingot.model.target import Target
from tests.commandline import ingot

STACK = "2026.11"
CATALOG = read_catalog()
# What Image Builder's documents may hold, as far as these do: https://docs.aws.amazon.com/imagebuilder/latest/userguide/
# toe-use-documents.html and toe-action-modules.html
PHASES = ["build", "validate", "test"]
INPUTS = {"ExecuteBash": {"commands"}, "S3Download": {"source", "destination"}}
Json = dict[str, Any]


def _rows() -> Iterator[Any]:
    """Every image, system and architecture for which EC2 has a base image and the lock a driver."""
    for (name, image), (system, row) in itertools.product(CATALOG.images.items(), CATALOG.operating_systems.items()):
        for arch in row.architectures:
            lock = load(path_of(Target(STACK, system, arch)))
            driver = {"nvidia": "nvidia_driver", "neuron": "neuron", "cpu": "kernel"}[image.accelerator]
            if lock.base_image(name, image) and driver not in lock.left_out:
                first = (system, arch) == ("ubuntu2404", "x86_64") or (name, system) == ("ec2-cpu", "al2023")
                yield pytest.param(name, system, arch, marks=() if first else pytest.mark.slow)


def template(image: str, system: str = "ubuntu2404", arch: str = "x86_64") -> str:
    selection = select.image(CATALOG, CATALOG.target(STACK, system, arch), image)
    return export(selection, Options(""), CATALOG, "ingot export image-builder")[0]


def resources(text: str) -> Json:
    found: Json = yaml.safe_load(text)["Resources"]
    return {name: each["Properties"] for name, each in found.items()}


def document(text: str) -> Json:
    """The component's document."""
    found: Json = yaml.safe_load(resources(text)["Component"]["Data"])
    return found


def steps(text: str, phase: str) -> dict[str, Json]:
    found = next(each for each in document(text)["phases"] if each["name"] == phase)
    return {step["name"]: step for step in found["steps"]}


def script(text: str, phase: str, name: str) -> str:
    (command,) = steps(text, phase)[name]["inputs"]["commands"]
    return str(command)


def variables(text: str) -> Json:
    """What the playbook is given."""
    found: Json = json.loads(
        script(text, "build", "Begin").partition("variables.json <<'EOF'\n")[2].rpartition("EOF")[0]
    )
    return found


@pytest.mark.parametrize(("image", "system", "arch"), list(_rows()))
def test_every_template_and_its_document_are_what_aws_takes(image: str, system: str, arch: str) -> None:
    text = template(image, system, arch)
    assert lint(text, config=ManualArgs(regions=["us-east-1"])) == []
    data = resources(text)["Component"]["Data"]
    assert len(data) <= MOST_DATA
    found = document(text)
    assert (found["schemaVersion"], [each["name"] for each in found["phases"]]) == (1.0, PHASES)
    declared = {name for each in found["parameters"] for name in each}
    given = {each["Name"] for each in resources(text)["Recipe"]["Components"][0]["Parameters"]}
    assert set(re.findall(r"{{(.*?)}}", data)) == {f" {name} " for name in declared}
    assert declared == given
    for phase in found["phases"]:
        names = [step["name"] for step in phase["steps"]]
        assert len(names) == len(set(names))
        for step in phase["steps"]:
            inputs = step["inputs"] if isinstance(step["inputs"], list) else [step["inputs"]]
            assert all(set(each) == INPUTS[step["action"]] for each in inputs)


def test_the_playbook_is_given_what_packer_gives_it() -> None:
    build = (paths.ROOT / "packer" / "build.pkr.hcl").read_text()
    names = set(re.findall(r"^ +((?:ingot|manifest|sysprep)_\w+) +=", build, re.MULTILINE))
    for image, system in (("parallelcluster", "ubuntu2404"), ("eks-neuron", "al2023"), ("ec2-cpu", "debian12")):
        given = variables(template(image, system))
        assert set(given) == names | {"ansible_python_interpreter"}
        row, lock = CATALOG.images[image], load(path_of(Target(STACK, system, "x86_64")))
        brings = lock.base_images[lock.base_image(image, row)].brings
        assert (given["ingot_roles"], given["ingot_without"]) == (row.roles, [*brings, "sysprep"])
        assert (paths.ROOT / given["ingot_lock"].removeprefix(f"{ROOT}/source/")).exists()
        assert given["manifest_image"] == image
        assert set(given["ingot_brought"]) == set(brings) >= {"base", "kernel"}


def test_the_suite_runs_before_and_after_it_is_an_image_and_sysprep_comes_last() -> None:
    text = template("ec2-cpu", "debian12")
    assert list(steps(text, "build")) == ["Begin", "Prepare", "Download", "Unpack", "Converge"]
    assert list(steps(text, "validate")) == ["Verify", "Seal"]
    assert list(steps(text, "test")) == ["Begin", "Prepare", "Download", "Unpack", "Verify"]
    for phase, target in (("validate", "instance"), ("test", "ami")):
        assert f"TARGET={target}\n" in script(text, phase, "Verify")
        assert 'verify local:// --target "$TARGET"' in script(text, phase, "Verify")
    assert '"sysprep"' in script(text, "validate", "Seal")


def test_the_base_image_is_named_by_its_public_parameter_or_by_who_deploys_it() -> None:
    parent = yaml.safe_load(template("ec2-cpu"))["Parameters"]["ParentImage"]
    assert parent["Type"] == "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>"
    assert parent["Default"] == load(path_of(Target(STACK, "ubuntu2404", "x86_64"))).base_images["ec2"].ssm
    parent = yaml.safe_load(template("parallelcluster", arch="aarch64"))["Parameters"]["ParentImage"]
    assert (parent["Type"], "Default" in parent) == ("AWS::EC2::Image::Id", False)
    assert (
        "--owners amazon --filters 'Name=name,Values=aws-parallelcluster-3.16.3-ubuntu-2404-" in parent["Description"]
    )
    assert "Name=architecture,Values=arm64" in parent["Description"]


def test_what_only_the_user_knows_has_no_default() -> None:
    parameters = yaml.safe_load(template("ec2-cpu"))["Parameters"]
    without = {name for name, each in parameters.items() if "Default" not in each}
    assert without == {"RootDevice", "SourceBucket", "SourceKey", "SourceSha256", "Subnet", "SecurityGroup"}


def test_machines_and_images_are_as_packer_makes_them() -> None:
    found = resources(template("ec2-cpu"))
    disk = found["Recipe"]["BlockDeviceMappings"][0]["Ebs"]
    assert (disk["VolumeType"], disk["Encrypted"], disk["Throughput"]) == ("gp3", True, 250)
    assert found["Infrastructure"]["InstanceMetadataOptions"]["HttpTokens"] == "required"
    assert found["Infrastructure"]["InstanceTypes"] == CATALOG.builders.instance_types["x86_64"]
    (distribution,) = found["Distribution"]["Distributions"]
    tags = distribution["AmiDistributionConfiguration"]["AmiTags"]
    assert tags["ingot:suite"].startswith("passed ")
    assert "ingot:suite" not in found["Recipe"]["AmiTags"]
    assert tags["ingot:base_ami"] == {"Ref": "ParentImage"}
    (parameter,) = distribution["SsmParameterConfigurations"]
    assert parameter["ParameterName"] == "/ingot/candidate/ec2-cpu/ubuntu2404/x86_64"


def test_a_lock_that_lacks_something_gives_a_pipeline_that_refuses() -> None:
    done = ingot("export", "image-builder", "ec2-cpu", "--os", "ubuntu2404")
    assert done.returncode == 0
    assert "warning: a pipeline of this template fails" in done.stderr
    first = script(done.stdout, "build", "Refuse")
    refused = subprocess.run(["bash", "-c", first], capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr.startswith("error: the lock does not resolve lustre")) == (1, True)
    assert "Refuse" not in steps(template("ec2-cpu", "debian12"), "build")


def test_new_content_has_a_new_version() -> None:
    versions = {resources(template("ec2-cpu", each))["Component"]["Version"] for each in ("debian12", "ubuntu2404")}
    assert len(versions) == 2
    assert all(int(each.rpartition(".")[2]) < 2**30 for each in versions)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ec2-cpuu",), "unknown image 'ec2-cpuu'\n  hint: did you mean 'ec2-cpu'"),
        (("eks", "--os", "debian13"), "no base image of eks for debian13"),
        (("ec2-neuron", "--os", "rhel9"), "rhel9-x86_64 has no neuron"),
        (("ec2-cpu", "--os", "ubuntu"), "unknown operating system 'ubuntu'"),
        (("ec2-cpu", "--arch", "arm64"), "ubuntu2404 has no architecture 'arm64'"),
        (("ec2-cpu", "--stack", "2027.01"), "unknown stack '2027.01'"),
        (("ec2-cpu", "--region", "us-east-x"), "unknown region 'us-east-x'\n  hint: --region: did you mean 'us-east-"),
    ],
)
def test_what_cannot_be_built_is_one_clear_error(words: tuple[str, ...], said: str) -> None:
    done = ingot("export", "image-builder", *words)
    assert said in done.stderr
    assert (done.returncode in (1, 2), done.stdout) == (True, "")


def test_a_catalog_beside_the_checkout_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ingot("init", tmp_path / "team").returncode == 0
    monkeypatch.setenv("INGOT_CATALOG", str(tmp_path / "team"))
    done = ingot("export", "image-builder", "ec2-cpu", "--os", "debian12", "--stack", STACK)
    assert (
        "this catalog is outside the checkout, and so not in its tarball\n  hint: commit it to the checkout"
        in done.stderr
    )


def test_an_instance_installs_the_versions_that_tests_run_with() -> None:
    pins = [
        dict(re.findall(r"^([\w.-]+)==(\S+)", (paths.ROOT / "requirements" / name).read_text(), re.MULTILINE))
        for name in ("instance.txt", "dev.txt")
    ]
    assert set(pins[0].items()) <= set(pins[1].items())
    assert {"ansible-core", "pytest", "pytest-testinfra"} <= set(pins[0])


# Stands for Python where no packages are wanted: the environments that it makes are the one that the tests run in.
SAME_PYTHON = f"""#!/bin/sh
case "$1 $2" in
  "-m venv") mkdir -p "$3/bin" && ln -sf "$0" "$3/bin/python" ;;
  "-m pip") ;;
  *) exec {sys.executable} "$@" ;;
esac
"""
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def instance(tmp_path: Path) -> Run:
    """What runs the first steps of a build of ec2-cpu on Debian 12 in a folder instead of /var/lib/ingot-build."""
    text = template("ec2-cpu", "debian12")
    (tmp_path / "python").write_text(SAME_PYTHON)
    (tmp_path / "python").chmod(0o755)

    def run(python: Path | str, sha256: str) -> subprocess.CompletedProcess[str]:
        lines = "\n".join(f"({script(text, 'build', name)})" for name in ("Begin", "Unpack"))
        lines = lines.replace("{{ SourceSha256 }}", sha256).replace(ROOT, str(tmp_path))
        lines = lines.replace('PYTHON="python3"', f'PYTHON="{python}"')
        return subprocess.run(["bash", "-ec", lines], capture_output=True, text=True, check=False)

    return run


def tarball(path: Path, *, altered: str = "") -> str:
    """A tarball of the checkout as it is, with one file altered; its digest."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=paths.ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name in names:
            if name == altered:
                other = path.with_name("altered")
                other.write_text((paths.ROOT / name).read_text() + "\n")
                tar.add(other, name)
            elif (paths.ROOT / name).exists():
                tar.add(paths.ROOT / name, name, recursive=False)
    return subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]


def test_an_instance_takes_the_checkout_of_the_template_and_no_other(tmp_path: Path, instance: Run) -> None:
    digest = tarball(tmp_path / "source.tar.gz")
    refused = instance(tmp_path / "python", "0" * 64)
    assert (refused.returncode, "FAILED" in refused.stdout, (tmp_path / "source").exists()) == (1, True, False)
    taken = instance(tmp_path / "python", digest)
    assert taken.returncode == 0, taken.stderr
    altered = tarball(tmp_path / "source.tar.gz", altered="roles/base/tasks/main.yml")
    other = instance(tmp_path / "python", altered)
    assert (other.returncode, "other roles or another lock" in other.stderr) == (1, True)


@pytest.mark.network
@pytest.mark.slow
def test_ansible_and_the_suite_run_with_what_an_instance_installs(tmp_path: Path, instance: Run) -> None:
    done = instance(sys.executable, tarball(tmp_path / "source.tar.gz"))
    assert done.returncode == 0, done.stderr
    environment = {
        "PATH": f"{tmp_path}/venv/bin:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
    }
    environment["ANSIBLE_COLLECTIONS_PATH"] = f"{tmp_path}/collections"
    play = ["ansible-playbook", "--inventory", "localhost,", "--syntax-check", "-e", f"@{tmp_path}/variables.json"]
    lock = f"--lock={paths.ROOT}/locks/{STACK}/debian12-x86_64.yml"
    # As `ingot verify` runs it there: what the other tests need is not installed.
    suite = ["python", "-m", "pytest", "-q", "--collect-only", "-c", "/dev/null", "tests/image"]
    suite += ["--rootdir", "tests/image", "--confcutdir", "tests/image", lock, "--image=ec2-cpu"]
    for words in ([*play, "playbooks/image.yml"], suite):
        done = subprocess.run(
            words, cwd=tmp_path / "source", env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
