"""Checks whether an image, as locked, fits an EC2 instance type: findings, each with its reason and source."""

from collections.abc import Iterator, Mapping
from typing import Any

from ingot.catalog.rules import SEVERITIES, Need, locked_parts
from ingot.model.image import Image
from ingot.model.lock import Lock

# What a plan answers for an instance type, and the facts that the answer rests on.
RESTS_ON = {
    "which kernel module an image with both loads at boot": ("pci",),
    "the number of processes and of accelerators": ("devices", "logical_cores"),
    "EFA between machines": ("efa", "efa_device", "network_cards", "first_efa_card"),
    "the room for data and checkpoints": ("storage_gb", "disks"),
    "the memory of a job": ("vcpus", "memory_mib", "device_memory_mib"),
}


def _finding(severity: str, message: str, fix: str, sources: list[str]) -> dict[str, Any]:
    return {"severity": severity, "message": message, "fix": fix, "sources": sources}


def findings(lock: Lock, image: Image, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """The mismatches between `lock`, the image's part of one, and the instance type with `facts` from `describe`.

    An error means that the image does not work there; a warning, that it works without something. Worst first.
    """
    mismatches = [*_machine(lock, image, facts), *_driver(lock, facts), *_fabric(lock, facts), *_unknown(facts)]
    return sorted(mismatches, key=lambda finding: SEVERITIES.index(finding["severity"]))


def images_for(images: Mapping[str, Image], accelerator: str) -> list[str]:
    """The images for an accelerator."""
    return [name for name, image in images.items() if image.accelerator == accelerator]


def _machine(lock: Lock, image: Image, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The architecture and the kind of accelerator."""
    name, sources = facts["name"], facts["sources"]
    if lock.arch != facts["arch"]:
        fix = f"build for {facts['arch']}, or use an instance type with {lock.arch}"
        yield _finding("error", f"{name} is {facts['arch']}, the image is {lock.arch}", fix, sources)
    offered = facts["accelerator"]
    if image.accelerator not in (offered, "cpu"):
        message = (
            f"{name} has {offered if offered != 'cpu' else 'no accelerator'}, the image is for {image.accelerator}"
        )
        yield _finding("error", message, "use another image", sources)
    elif image.accelerator == "cpu" and offered != "cpu":
        yield _finding("warning", f"the image leaves {name}'s {facts['device']} unused", "use another image", sources)


def driver_needs(facts: dict[str, Any]) -> list[Need]:
    """The requirements on the driver of the GPU of the instance type with `facts` from `describe`."""
    if facts["accelerator"] != "nvidia":
        return []
    reason = f"{facts['name']} has {facts['device']}, {facts['generation']} [{facts['sources'][0]}]"
    needs = [Need("nvidia_driver", facts["driver"], reason)] if facts["driver"] != "*" else []
    if facts["module"] in ("open", "closed"):
        # An image with both modules loads the one that the GPU needs.
        needs.append(Need("nvidia_driver", "*", reason, facts={"module": facts["module"]}, or_=("auto",)))
    return needs


def _driver(lock: Lock, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The driver's version and the flavour of its module; the rules cover the rest of the software."""
    parts = {part.component: part for part in locked_parts(lock.components)}
    for need in driver_needs(facts):
        driver = parts.get(need.component)
        if driver is None or need.allows(driver):
            continue
        if need.facts:
            flavour = need.facts["module"]
            message = f"needs the {flavour} kernel module, the image has the {driver.facts.get('module')} one"
            fix = f"use a driver with the {flavour} module, or an instance type of another generation"
        else:
            message = f"needs nvidia_driver {need.spec}, the image has {driver.text}"
            fix = f"pin nvidia_driver to {need.spec} in the stack"
        yield _finding("error", f"{facts['device']} {message}", fix, facts["sources"])


def _fabric(lock: Lock, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """EFA, if the instance type has it or may have it."""
    if facts["efa"] == 0:
        return
    if "efa" not in lock.components:
        fix = "use an image with the role efa"
        yield _finding("warning", f"the image has no EFA for {facts['name']}", fix, facts["sources"])
    for part, why in lock.left_out.items():
        if part.startswith("efa."):
            message = f"{part} is left out, so traffic between machines uses TCP: {why}"
            yield _finding("warning", message, "use an operating system whose lock includes it", facts["sources"])


def _unknown(facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The answers that rest on facts that no source has."""
    for answer, names in RESTS_ON.items():
        if missing := [name for name in names if name in facts["unknown"]]:
            message = f"{facts['name']}: {answer} is not judged: no source has its {', '.join(missing)}"
            yield _finding("info", message, "look it up on the machine, and add it to the catalog", facts["sources"])
