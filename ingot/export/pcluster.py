"""Renders a configuration of AWS ParallelCluster whose nodes start from a built AMI."""

import re
from dataclasses import dataclass
from typing import Any

from ingot import paths
from ingot.catalog.catalog import Catalog
from ingot.catalog.instance_types import check_name, describe
from ingot.catalog.settings import engine
from ingot.errors import IngotError, UsageError
from ingot.export.launch import node_facts
from ingot.lock import select
from ingot.model.target import ImageSelection
from ingot.model.types import Arch
from ingot.plan.fit import images_for
from ingot.plan.plan import of_selection
from ingot.templates import environment

PLATFORM = "parallelcluster"
# The head node starts from the same AMI and so has the same architecture; a GPU would be idle there.
HEAD_NODES: dict[Arch, str] = {"x86_64": "m7i.xlarge", "aarch64": "m7g.xlarge"}
# Ids have 8 digits, or 17 since 2016: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html
ID = "{}-[0-9a-f]{{8}}(?:[0-9a-f]{{9}})?"
REGION = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-\d+")
INSTANCE_TYPE = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")


@dataclass(frozen=True)
class Cluster:
    """Options of the cluster; empty ones are left to ParallelCluster, or are as for the nodes."""

    selection: ImageSelection
    ami: str
    instance_type: str
    subnet: str
    nodes: int = 2
    capacity_block: str = ""
    head_instance_type: str = ""
    head_subnet: str = ""
    key_name: str = ""
    region: str = ""


def export(cluster: Cluster, catalog: Catalog, command_line: str) -> tuple[str, list[str]]:
    """The configuration, and remarks for the user; UsageError on options that do not fit together."""
    selection, target = cluster.selection, cluster.selection.target
    image, lock = selection.image, selection.lock
    if image.platform != PLATFORM:
        names = ", ".join(name for name, row in catalog.images.items() if row.platform == PLATFORM)
        message = f"{selection.name} is an image for {image.platform}, not for {PLATFORM}"
        raise UsageError(message, hint=f"use one of {names}")
    _check_ids(cluster)
    select.require_driver(selection)
    if not selection.base:
        systems = [name for name, row in catalog.operating_systems.items() if PLATFORM in row.base_images]
        message = f"no base image of {PLATFORM} for {target.os}"
        raise UsageError(message, hint=f"--os {' or '.join(systems)}")
    facts = node_facts(cluster.instance_type, cluster.nodes)
    _check_type(cluster, facts, catalog)
    remarks = _remarks(catalog, cluster, facts)
    head = cluster.head_instance_type or HEAD_NODES[target.arch]
    _check_head(head, target.arch)
    text = (
        environment(paths.ROOT / "exports")
        .get_template("pcluster.yml.j2")
        .render(
            command_line=command_line,
            image=selection.name,
            os=target.os,
            arch=target.arch,
            stack=target.stack,
            release=lock.components[PLATFORM].version,
            region=cluster.region,
            pcluster_os=lock.system.pcluster,
            ami=cluster.ami,
            head_instance_type=head,
            head_subnet=cluster.head_subnet or cluster.subnet,
            key_name=cluster.key_name,
            capacity_block=cluster.capacity_block,
            subnet=cluster.subnet,
            resource=cluster.instance_type.replace(".", "-"),
            instance_type=cluster.instance_type,
            nodes=cluster.nodes,
            efa=facts["efa"],
            gdr=_gdr(facts),
        )
    )
    return text, remarks


def _check_ids(cluster: Cluster) -> None:
    """UsageError on a malformed id or region, or no nodes."""
    ids = [
        ("--ami", "ami", cluster.ami, "`ingot ami list` lists AMIs"),
        ("--subnet", "subnet", cluster.subnet, "for example subnet-0123456789abcdef0"),
        ("--head-subnet", "subnet", cluster.head_subnet or cluster.subnet, "for example subnet-0123456789abcdef0"),
        ("--capacity-block", "cr", cluster.capacity_block or "cr-00000000", "for example cr-0123456789abcdef0"),
    ]
    for option, kind, value, hint in ids:
        if not re.fullmatch(ID.format(kind), value):
            raise UsageError(f"not an id of the form {kind}-…: {value!r}", place=option, hint=hint)
    if cluster.region and not REGION.fullmatch(cluster.region):
        raise UsageError(f"not a region: {cluster.region!r}", place="--region", hint="for example us-east-1")
    if cluster.nodes < 1:
        raise UsageError(f"{cluster.nodes} is not a number of nodes", place="--nodes", hint="give 1 or more")


def _check_type(cluster: Cluster, facts: dict[str, Any], catalog: Catalog) -> None:
    """UsageError if the instance type differs from the AMI in architecture or accelerator."""
    name, image, arch = cluster.instance_type, cluster.selection.image, cluster.selection.target.arch
    if facts["arch"] != arch:
        raise UsageError(
            f"{name} is {facts['arch']}, the AMI is {arch}",
            place="--instance-type",
            hint=f"use an AMI for {facts['arch']}, or an instance type of {arch}",
        )
    if facts["accelerator"] != image.accelerator:
        images = [name for name in images_for(catalog.images, facts["accelerator"]) if _is_ours(catalog, name)]
        device = "no accelerator" if facts["accelerator"] == "cpu" else f"{facts['device']} ({facts['accelerator']})"
        raise UsageError(
            f"{name} has {device}, {cluster.selection.name} is for {image.accelerator}",
            place="--instance-type",
            hint=f"use {'an AMI of ' + ' or '.join(images) + ', or ' if images else ''}another instance type",
        )


def _is_ours(catalog: Catalog, image: str) -> bool:
    return catalog.images[image].platform == PLATFORM


def _check_head(name: str, arch: Arch) -> None:
    """UsageError if the head node has another architecture; a type that the catalog does not know passes."""
    if not INSTANCE_TYPE.fullmatch(name):
        raise UsageError(
            f"not an instance type: {name!r}", place="--head-instance-type", hint=f"for example {HEAD_NODES[arch]}"
        )
    try:
        check_name(name)
    except UsageError:
        return
    if (other := describe(name)["arch"]) != arch:
        hint = f"use an instance type of {arch}, for example {HEAD_NODES[arch]}"
        raise UsageError(f"{name} is {other}, the AMI is {arch}", place="--head-instance-type", hint=hint)


def _remarks(catalog: Catalog, cluster: Cluster, facts: dict[str, Any]) -> list[str]:
    """Warnings and notes on these nodes; IngotError on findings of severity `error`."""
    findings = of_selection(cluster.selection, catalog, cluster.instance_type)["findings"]
    if errors := [finding for finding in findings if finding["severity"] == "error"]:
        raise IngotError("; ".join(error["message"] for error in errors), hint=errors[0]["fix"])
    warnings = [finding for finding in findings if finding["severity"] == "warning"]
    remarks = [f"warning: {warning['message']}; {warning['fix']}" for warning in warnings]
    if (facts["network_cards"] or 1) > 1:
        remarks.append(
            "note: instances with several network cards get no public address; the subnet needs a NAT gateway"
        )
    elif facts["efa"] and engine().within(cluster.selection.lock.components[PLATFORM].version, ">=3.15"):
        # https://github.com/aws/aws-parallelcluster/pull/7262, https://github.com/aws/aws-parallelcluster/pull/7457
        remarks.append(
            "note: from ParallelCluster 3.15 on, nodes with one network card and EFA get two interfaces, and so no "
            "public address; the subnet needs a NAT gateway"
        )
    return remarks


def _gdr(facts: dict[str, Any]) -> str:
    """The part of a comment on GPUDirect RDMA. It is on if the type supports it; GdrSupport has no effect:
    https://github.com/aws/aws-parallelcluster/releases/tag/v3.0.2"""
    device = facts["efa_device"] or {}
    return ", with GPUDirect RDMA" if facts["accelerator"] == "nvidia" and device.get("read") else ""
