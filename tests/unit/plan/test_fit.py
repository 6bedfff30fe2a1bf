"""An image is refused for an instance type that it cannot work on, with the reason, a fix and a source."""

import json
from typing import Any

import pytest

from ingot.catalog.instance_types import describe
from ingot.catalog.read import read_catalog
from ingot.lock import file as locks
from ingot.lock import select
from ingot.model.lock import Lock
from ingot.plan.fit import findings, images_for
from ingot.plan.plan import of_selection
from tests.commandline import Completed, ingot

CATALOG = read_catalog()
TARGET = CATALOG.target("2026.11", "debian13", "x86_64")
LOCK = locks.load(locks.path_of(TARGET))
SELECTION = select.image_of_lock(CATALOG, TARGET, "parallelcluster", LOCK)


def found(type_: str, image: str = "parallelcluster", lock: Lock = LOCK) -> list[dict[str, Any]]:
    row = CATALOG.image(image)
    return findings(lock.of(row.roles), row, describe(type_))


def errors(type_: str, image: str = "parallelcluster", lock: Lock = LOCK) -> list[str]:
    return [each["message"] for each in found(type_, image, lock) if each["severity"] == "error"]


def with_driver(version: str, flavour: str) -> Lock:
    """The lock with another driver, and with what a machine with switches needs beside it."""
    driver = LOCK.components["nvidia_driver"]
    driver = driver.model_copy(update={"version": version, "facts": {**driver.facts, "module": flavour}})
    return LOCK.model_copy(update={"components": {**LOCK.components, "nvidia_driver": driver}})


@pytest.mark.parametrize(
    ("type_", "version", "flavour", "said"),
    [
        ("p6-b200.48xlarge", "580.126.20", "closed", "B200 needs the open kernel module, the image has the closed one"),
        ("g7e.8xlarge", "580.126.20", "closed", "needs the open kernel module"),
        ("p3dn.24xlarge", "580.126.20", "open", "V100 needs the closed kernel module, the image has the open one"),
        ("p3dn.24xlarge", "595.71.05", "closed", "V100 needs nvidia_driver <581, the image has 595.71.05"),
        ("g7e.48xlarge", "570.211.01", "open", "needs nvidia_driver >=575.57.08, the image has 570.211.01"),
        ("g7.48xlarge", "580.126.20", "open", "RTX PRO 4500 needs nvidia_driver >=595, the image has 580.126.20"),
        ("p5en.48xlarge", "535.274.02", "open", "H200 needs nvidia_driver >=550.90.07, the image has 535.274.02"),
        ("p6-b300.48xlarge", "570.211.01", "open", "B300 needs nvidia_driver >=580.82.07, the image has 570.211.01"),
    ],
)
def test_a_driver_that_does_not_drive_the_gpu_is_an_error(type_: str, version: str, flavour: str, said: str) -> None:
    assert any(said in message for message in errors(type_, lock=with_driver(version, flavour)))


def test_a_driver_with_both_modules_drives_either_generation() -> None:
    for type_ in ("p3dn.24xlarge", "p6-b200.48xlarge"):
        said = errors(type_, lock=with_driver("580.126.20", "auto"))
        assert [message for message in said if "module" in message] == []


def test_the_driver_of_debian_drives_one_gpu_of_the_generations_that_it_knows() -> None:
    for type_ in ("p5.4xlarge", "g4dn.xlarge", "g5.xlarge", "g6.xlarge", "p3dn.24xlarge"):
        assert errors(type_) == []


def test_switches_without_their_manager_are_an_error() -> None:
    def rules(type_: str) -> list[str]:
        plan = of_selection(SELECTION, CATALOG, type_)
        return [each["rule"] for each in plan["findings"] if each["severity"] == "error"]

    assert rules("p5.48xlarge") == ["nvswitch-needs-fabricmanager"]
    assert rules("p5.4xlarge") == []


@pytest.mark.parametrize(
    ("type_", "image", "said"),
    [
        ("trn2.48xlarge", "parallelcluster", "has neuron, the image is for nvidia"),
        ("hpc8a.96xlarge", "parallelcluster", "has no accelerator, the image is for nvidia"),
        ("hpc7g.16xlarge", "parallelcluster-cpu", "is aarch64, the image is x86_64"),
        ("g5g.xlarge", "parallelcluster", "is aarch64, the image is x86_64"),
    ],
)
def test_another_machine_is_an_error(type_: str, image: str, said: str) -> None:
    assert any(said in message for message in errors(type_, image))


def test_what_is_missing_without_stopping_the_image_is_a_warning() -> None:
    assert errors("p5.48xlarge", "parallelcluster-cpu") == []
    messages = [each["message"] for each in found("p5.48xlarge", "parallelcluster-cpu")]
    assert any("leaves p5.48xlarge's H100 unused" in message for message in messages)
    assert any("efa.kmod is left out, so traffic between machines uses TCP" in message for message in messages)
    assert not any("efa" in each["message"] for each in found("g5.xlarge"))


def test_the_images_for_a_type_are_those_of_its_accelerator() -> None:
    assert images_for(CATALOG.images, "nvidia") == ["parallelcluster", "ec2", "eks"]
    assert images_for(CATALOG.images, "cpu") == ["parallelcluster-cpu", "ec2-cpu", "eks-cpu"]


def test_every_finding_has_a_fix_and_a_source_and_the_worst_comes_first() -> None:
    every = of_selection(SELECTION, CATALOG, "p6-b200.48xlarge")["findings"]
    assert {each.get("rule", "") for each in every} >= {"", "nvswitch-needs-fabricmanager"}
    assert all(each["fix"] and each["sources"] for each in every)
    assert [each["severity"] for each in every] == sorted(each["severity"] for each in every)


def test_the_plan_exits_by_what_it_finds() -> None:
    def plan(*words: str) -> Completed:
        return ingot("plan", "parallelcluster", *words)

    refused = plan("--instance-type", "p6-b200.48xlarge")
    assert refused.returncode == 1
    assert "needs the open kernel module" in refused.stdout
    assert "does not fit p6-b200.48xlarge" in refused.stdout
    fits = plan("--instance-type", "p5.4xlarge", "--json")
    assert fits.returncode == 0
    assert {each["severity"] for each in json.loads(fits.stdout)["findings"]} == {"warning"}
    assert plan("--instance-type", "p5.4xlrge").returncode == 2


def test_a_plan_says_which_of_its_answers_rest_on_what_no_source_has() -> None:
    def unknown(type_: str) -> list[str]:
        return [each["message"] for each in found(type_) if each["severity"] == "info"]

    assert unknown("p5.48xlarge") == []
    assert "trn3.48xlarge: EFA between machines is not judged: no source has its efa, efa_device" in " ".join(
        unknown("trn3.48xlarge")
    )
    assert unknown("g7.48xlarge") == [
        "g7.48xlarge: which kernel module an image with both loads at boot is not judged: no source has its pci"
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        # The kernels of all systems have the change that keeps the closed module from EFA.
        ("ubuntu2404 p5.48xlarge --set nvidia_driver.module=closed", "closed-module-without-gpudirect-over-efa"),
        ("ubuntu2204 p5.48xlarge --set nvidia_driver.module=closed", "closed-module-without-gpudirect"),
        ("rocky9 p4d.24xlarge --set nvidia_driver.module=closed", "closed-module-without-gpudirect-on-older-series"),
        ("al2023 p5en.48xlarge --set nvidia_driver.module=closed", "closed-module-without-gpudirect-over-efa"),
        ("ubuntu2404 g7e.48xlarge --stack 2025.11", "plugin-1.17.2-for-g7e"),
        ("ubuntu2404 p6-b300.48xlarge --stack 2025.11", "plugin-1.18.0-for-p6-b300"),
        ("ubuntu2404 g7.48xlarge", "needs nvidia_driver >=595"),
    ],
)
def test_what_would_not_run_as_it_should_is_refused(words: str, said: str) -> None:
    os_name, type_, *options = words.split()
    done = ingot("plan", "ec2", "--os", os_name, "--instance-type", type_, *options)
    assert done.returncode == 1
    assert said in done.stdout + done.stderr


def test_a_driver_is_refused_on_a_kernel_that_it_does_not_compile_on() -> None:
    done = ingot("solve", "--want", "nvidia_driver==580.95.05", "--want", "kernel==6.18", "--os", "al2023")
    assert done.returncode == 1
    assert "driver-580-kernel-6.18" in done.stderr


def test_the_closed_module_is_refused_with_a_way_out_that_fits() -> None:
    for os_name in ("ubuntu2404", "al2023"):
        words = ("--instance-type", "p5.48xlarge", "--set", "nvidia_driver.module=closed")
        done = ingot("plan", "ec2", "--os", os_name, *words)
        assert "kernel 6.1 " not in done.stderr.partition("hint:")[2], done.stderr
