"""The lookup `ingot.ml.pin` gives a component's entry of the right lock, or one sentence that says what there is."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ingot import paths
from ingot.lock import file as locks
from ingot.model.lock import Asked, AskedPackage, VendorPackage

ANSIBLE = Path(sys.prefix) / "bin" / "ansible"
LOCK = paths.LOCKS / "2026.11" / "debian13-x86_64.yml"
FACTS = {"distribution": "Debian", "distribution_major_version": "13", "architecture": "x86_64"}


def ask(term: str, home: Path, **variables: Any) -> subprocess.CompletedProcess[str]:
    """What Ansible says of the lookup, with these variables."""
    asked = f"msg={{{{ lookup('ingot.ml.pin', '{term}') }}}}"
    words = [str(ANSIBLE), "localhost", "-m", "debug", "-a", asked]
    env = os.environ | {
        "ANSIBLE_COLLECTIONS_PATH": str(paths.ROOT / "build"),
        "ANSIBLE_HOME": str(home),
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "true",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
    }
    return subprocess.run([*words, "-e", json.dumps(variables)], env=env, capture_output=True, text=True, check=False)


def entry(term: str, home: Path, **variables: Any) -> Any:
    """The answer of the lookup."""
    done = ask(term, home, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"]["localhost"]["msg"]


def test_the_lock_is_that_of_the_host(tmp_path: Path) -> None:
    lock = locks.load(LOCK)
    found = entry("efa", tmp_path, ansible_facts=FACTS)
    assert found["version"] == lock.components["efa"].version
    assert found["packages"] == [
        {"name": name, "version": lock.packages[name].version} for name in lock.components["efa"].packages
    ]
    assert set(found["missing"]) == {"efa.kmod"}


def test_a_vendors_package_is_in_the_version_that_was_recorded(tmp_path: Path) -> None:
    lock = locks.load(paths.LOCKS / "2026.11" / "ubuntu2404-x86_64.yml")
    build = VendorPackage(version="2.31.2-1+cuda13.3", path="x.deb", size=1, sha256="a" * 64)
    nccl = lock.components["nccl"].model_copy(update={"files": {"libnccl2": build, "libnccl-dev": build}})
    path = tmp_path / "lock.yml"
    path.write_text(locks.dump(lock.model_copy(update={"components": {**lock.components, "nccl": nccl}})))
    found = entry("nccl", tmp_path, ingot_lock=str(path))
    assert [each["version"] for each in found["packages"]] == [build.version] * 2


def test_without_records_a_signed_repositorys_packages_are_as_exact_as_the_lock(tmp_path: Path) -> None:
    ubuntu = {**FACTS, "distribution": "Ubuntu", "distribution_version": "24.04"}
    lock = locks.load(paths.LOCKS / "2026.11" / "ubuntu2404-x86_64.yml")
    nccl, driver, docker, efa, kernel = (
        entry(name, tmp_path, ansible_facts=ubuntu) for name in ("nccl", "fabricmanager", "docker", "efa", "kernel")
    )
    exact = lock.components["nccl"].exact
    assert {each["name"]: each["version"] for each in nccl["packages"]} == exact
    assert (nccl["grade"], nccl["closure"]) == ("signature", nccl["packages"])
    assert [each["version"] for each in driver["packages"]] == [f"{lock.components['fabricmanager'].version}*"]
    # Packages with versions of their own.
    assert {each["name"]: each["version"] for each in docker["packages"]}["containerd.io"] == ""
    assert efa["grade"] == "digest"
    # The base image decides.
    assert (kernel["grade"], {each["version"] for each in kernel["packages"]}) == ("base", {""})


def test_what_the_system_lacks_comes_with_the_repository_that_has_it_in_any_version(tmp_path: Path) -> None:
    lock = locks.load(paths.LOCKS / "2026.11" / "rhel9-x86_64.yml")
    build = VendorPackage(version="3:580.126.20-1.el9", path="x.rpm", size=1, sha256="a" * 64)
    driver = lock.components["nvidia_driver"]
    driver = driver.model_copy(update={"files": dict.fromkeys(driver.packages, build)})
    path = tmp_path / "lock.yml"
    path.write_text(locks.dump(lock.model_copy(update={"components": {**lock.components, "nvidia_driver": driver}})))
    found = entry("nvidia_driver", tmp_path, ingot_lock=str(path))
    assert found["packages"][-1] == {"name": "dkms", "version": ""}
    assert {each["version"] for each in found["packages"][:-1]} == {build.version}
    assert {each["name"]: each["signs"] for each in found["repositories"]} == {
        "cuda_rpm": ["index", "packages"],
        "epel": ["packages"],
    }
    assert found["repositories"][1]["key_fingerprint"] == lock.repositories["epel"].key_fingerprint


def test_the_systems_own_packages_may_have_any_version(tmp_path: Path) -> None:
    lock = locks.load(paths.LOCKS / "2026.11" / "al2023-x86_64.yml")
    found = entry("base", tmp_path, ingot_lock=str(paths.LOCKS / "2026.11" / "al2023-x86_64.yml"))
    assert found["packages"] == [{"name": name, "version": ""} for name in lock.components["base"].packages]
    assert found["repositories"] == []
    # Where the catalog names one, it is that one.
    agent = entry("ssm_agent", tmp_path, ingot_lock=str(paths.LOCKS / "2026.11" / "al2023-x86_64.yml"))
    assert {each["name"]: each["version"] for each in agent["packages"]} == lock.components["ssm_agent"].exact != {}


def test_a_package_whose_files_alone_are_used_is_not_among_those_to_install(tmp_path: Path) -> None:
    lock = locks.load(paths.LOCKS / "2026.11" / "ubuntu2404-x86_64.yml")
    names = ["nvidia-kernel-source-580", "nvidia-open"]
    files = {name: VendorPackage(version="1", path=f"{name}.deb", size=1, sha256="a" * 64) for name in names}
    update = {"packages": names, "files": files, "facts": {"module": "auto", "unpacked": names[0]}}
    driver = lock.components["nvidia_driver"].model_copy(update=update)
    path = tmp_path / "lock.yml"
    path.write_text(locks.dump(lock.model_copy(update={"components": {**lock.components, "nvidia_driver": driver}})))
    found = entry("nvidia_driver", tmp_path, ingot_lock=str(path))
    assert found["packages"] == [{"name": "nvidia-open", "version": "1"}]
    url = lock.repositories["cuda_deb"].url.rstrip("/")
    assert found["unpacked"] == {"url": f"{url}/{names[0]}.deb", "sha256": "a" * 64}


def test_a_component_that_is_left_out_says_why(tmp_path: Path) -> None:
    found = entry("nvidia_container_toolkit", tmp_path, ingot_lock=str(LOCK))
    assert found["left_out"] == locks.load(LOCK).left_out["nvidia_container_toolkit"]
    assert found["packages"] == []


def test_an_image_gets_the_part_of_its_roles(tmp_path: Path) -> None:
    found = entry("*", tmp_path, ingot_lock=str(LOCK), ingot_roles=["base", "efa", "doctor"])
    assert set(found["components"]) == {"base", "efa"}
    assert set(found["left_out"]) == {"efa.kmod"}
    assert set(found["packages"]) == set(locks.load(LOCK).packages)


def test_an_image_gets_the_wheels_of_its_own_components(tmp_path: Path) -> None:
    path = paths.LOCKS / "2026.11" / "debian12-x86_64.yml"
    lock = locks.load(path)
    for roles in (["base", "nccl"], ["base", "efa"]):
        found = entry("*", tmp_path, ingot_lock=str(path), ingot_roles=roles)
        assert set(found["wheels"]) == set(lock.of(roles).wheels)
    assert lock.of(["base", "nccl"]).wheels.keys() == set(lock.components["nccl"].wheels) > set()


def test_what_the_base_image_brings_is_not_of_an_images_part(tmp_path: Path) -> None:
    roles = {"ingot_roles": ["base", "efa", "doctor"], "ingot_without": ["efa", "sysprep"]}
    found = entry("*", tmp_path, ingot_lock=str(LOCK), **roles)
    assert set(found["components"]) == {"base"}
    assert set(found["left_out"]) == set()


def test_of_what_the_base_image_brings_packages_are_known_by_name_and_the_version_is_the_images(tmp_path: Path) -> None:
    path = paths.LOCKS / "2026.11" / "al2023-x86_64.yml"
    brought = {"kernel": {"version": "6.12"}, "nvidia_driver": {"version": "595.112.07"}, "base": {}}
    given = {"ingot_lock": str(path), "ingot_without": [*brought, "sysprep"], "ingot_brought": brought}
    for name, part in brought.items():
        found = entry(name, tmp_path, **given)
        assert found["version"] == part.get("version", "")
        # None of the lock's versions, which the archive of the base image may not have; nor a refusal for lack of them.
        names = locks.load(path).components[name].packages
        assert found["packages"] == [{"name": package, "version": ""} for package in names]
        assert (found["closure"], found["hold"]) == ([], False)
    found = entry("kernel", tmp_path, **{**given, "ingot_lock": str(LOCK)})
    assert "release" in locks.load(LOCK).components["kernel"].facts
    assert "release" not in found["facts"]


@pytest.mark.parametrize(
    ("term", "variables", "said"),
    [
        ("slrum", {"ingot_lock": str(LOCK)}, "did you mean 'slurm'"),
        ("efa", {"ingot_lock": "/nowhere/lock.yml"}, "lock not found: /nowhere/lock.yml"),
        (
            "efa",
            {"ansible_facts": {**FACTS, "distribution_major_version": "11"}},
            "no lock for debian11-x86_64; it has",
        ),
        (
            "efa",
            {"ansible_facts": {**FACTS, "distribution": "Ubuntu", "distribution_version": "23.10"}},
            "no lock for ubuntu2310-x86_64; it has",
        ),
        (
            "efa",
            {"ansible_facts": {**FACTS, "distribution": "Amazon", "distribution_major_version": "2"}},
            "no lock for al2-x86_64; it has",
        ),
        (
            "lustre",
            {"ansible_facts": {**FACTS, "distribution": "Ubuntu", "distribution_version": "24.04"}},
            "lustre of ubuntu2404-x86_64 is unresolved: the lock lacks its version, the repository's key; set the",
        ),
        (
            "docker",
            {"ansible_facts": {**FACTS, "distribution": "Rocky", "distribution_major_version": "9"}},
            "docker of rocky9-x86_64 is unresolved: the lock lacks its version; set the variable ingot_lock",
        ),
        ("efa", {"ansible_facts": FACTS, "ingot_stack": "2020.01"}, "unknown stack 2020.01"),
    ],
)
def test_what_cannot_be_found_is_named_with_what_there_is(
    term: str, variables: dict[str, Any], said: str, tmp_path: Path
) -> None:
    done = ask(term, tmp_path, **variables)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
    # The command line is not in the collection.
    assert "`ingot" not in done.stdout + done.stderr


def test_the_whole_lock_says_how_sure_what_a_base_image_gets_from_its_own_archive_is(tmp_path: Path) -> None:
    lock = locks.load(paths.LOCKS / "2026.11" / "ubuntu2404-x86_64.yml")
    packages = {
        "chrony": AskedPackage(version="4.5-1ubuntu4", origin="Ubuntu:24.04/noble", sha256="a" * 64),
        "dkms": AskedPackage(version="3.0.11-1ubuntu13", origin="Ubuntu:24.04/noble"),
    }
    answer = Asked(image="simulated-20261101", date="20261201T120000Z", packages=packages)
    path = tmp_path / "lock.yml"
    path.write_text(locks.dump(lock.model_copy(update={"asked": {"ec2": answer}})))
    found = entry("*", tmp_path, ingot_lock=str(path))["asked"]["ec2"]
    assert found["date"] == answer.date
    assert {name: row["grade"] for name, row in found["packages"].items()} == {"chrony": "digest", "dkms": "base"}
