"""A plan speaks of what the base image brings in the base image's versions, and judges those."""

import json
from typing import Any

from ingot.catalog.read import read_catalog
from ingot.lock.diff import notes, of_image
from ingot.lock.file import load, path_of
from ingot.model.target import Target
from tests.commandline import ingot

CATALOG = read_catalog()


def planned(image: str, os_name: str, *words: str) -> dict[str, Any]:
    """The plan of an image, as data."""
    plan: dict[str, Any] = json.loads(ingot("plan", image, "--os", os_name, "--json", *words).stdout)
    return plan


def test_what_parallelclusters_image_brings_has_the_versions_of_its_release() -> None:
    plan = planned("parallelcluster", "ubuntu2404")
    release = plan["components"]["parallelcluster"]["version"]
    assert release == "3.16.3"
    shown = {name: plan["components"][name] for name in ("nvidia_driver", "efa", "cuda", "slurm")}
    # https://github.com/aws/aws-parallelcluster/releases/tag/v3.16.3
    assert {name: row["version"] for name, row in shown.items()} == {
        "nvidia_driver": "595.112.07", "efa": "1.51.0", "cuda": "13.0.2", "slurm": "25.11.8",
    }  # fmt: skip
    assert {row["source"] for row in shown.values()} == {"base_image"}
    assert plan["components"]["nccl"]["source"] != "base_image"
    assert not {"base", "kernel", "nvidia_driver", "efa"} & set(plan["unresolved"])
    # Rules judge what will be there, so that a release's own parts are no finding.
    assert "parallelcluster-parts" not in [finding.get("rule") for finding in plan["findings"]]


def test_a_version_that_nobody_knows_before_is_not_the_stacks() -> None:
    plan = planned("eks", "al2023", "--instance-type", "p5.48xlarge")
    driver, fabric = plan["components"]["nvidia_driver"], plan["components"]["efa"]
    assert driver["version"] == ""
    assert "/opt/nvidia/lts" in driver["why"]
    assert "no libfabric, no plugin" in fabric["why"]
    assert plan["components"]["kernel"]["version"] == "6.12"
    shown = ingot("plan", "eks", "--os", "al2023").stdout
    assert "base image" in shown
    assert "unresolved" not in next(line for line in shown.splitlines() if line.startswith("nvidia_driver"))


def test_an_image_that_is_also_made_on_this_machine_keeps_the_locks_versions() -> None:
    plan = planned("ec2-cpu", "debian12")
    assert plan["components"]["kernel"]["source"] == "debian"
    assert set(plan["brought"]) == {"base", "kernel"}


def test_release_notes_of_an_ami_have_the_base_images_versions_marked() -> None:
    name = "parallelcluster"
    old, new = (load(path_of(Target(stack, "ubuntu2404", "x86_64"))) for stack in ("2025.11", "2026.11"))
    text = notes(*(of_image(lock, name, CATALOG.images[name]) for lock in (old, new)))
    assert "| nvidia_driver | 570.172.08 (base image) | 595.112.07 (base image) |" in text
    assert "| efa | 1.43.2 (base image) | 1.51.0 (base image) |" in text
    assert f"| nccl | {old.components['nccl'].version} | {new.components['nccl'].version} |" in text
    # No role of the image, so no line.
    assert "| neuron |" not in text
