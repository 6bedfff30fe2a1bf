"""Renders what a scheduler is given to start a container's training: one description, one template a scheduler."""

import json
import re
import shlex
from dataclasses import asdict
from typing import Any

import yaml
from jinja2 import Environment

from ingot import paths
from ingot.catalog.catalog import Catalog
from ingot.catalog.instance_types import check_name, describe
from ingot.catalog.settings import engine, plain, read_settings
from ingot.errors import IngotError, UsageError
from ingot.lock.file import load, path_of
from ingot.model.container import Container
from ingot.model.target import Target, container_tag
from ingot.plan.check import assignments, efa_parts
from ingot.templates import environment
from ingot.yamlfile import nearest

TEMPLATES = {
    "slurm": "slurm.sbatch.j2",
    "kubernetes": "kubernetes.yaml.j2",
    "jobset": "jobset.yaml.j2",
    "pytorchjob": "pytorchjob.yaml.j2",
    "batch": "batch.yaml.j2",
}
# torchrun's own default for the port of the first node.
PORT = 29500
# The name that the device plugins of NVIDIA and AWS give their devices, and huge pages as AWS' EFA guide asks for:
# https://docs.aws.amazon.com/eks/latest/userguide/node-efa.html, read on 2026-11-24.
DEVICE = {"nvidia": "nvidia.com/gpu", "neuron": "aws.amazon.com/neuron"}
EFA = "vpc.amazonaws.com/efa"
HUGEPAGES = {"hugepages-2Mi": "5120Mi"}
# AWS Batch is given each device's file, of GPUs their number instead.
# https://docs.aws.amazon.com/batch/latest/userguide/efa.html
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-inference-task-def.html
DEVICE_FILES = {"efa": "/dev/infiniband/uverbs", "neuron": "/dev/neuron"}


def enroot(reference: str) -> str:
    """A container's reference as Pyxis writes it: `#` after the registry; a file's path stays as it is.

    https://github.com/NVIDIA/pyxis/wiki/Usage
    """
    first, slash, rest = reference.partition("/")
    is_registry = slash and first and (set(first) & set(".:") or first == "localhost")
    return f"{first}#{rest}" if is_registry else reference


def settings_of(
    environment: list[str], versions: dict[str, str], instance_type: str, accelerator: str
) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """The variables that the job sets, each with the reason, and what the rules find in those that the user wants.

    A value that a rule demands, by more than information, is set where the user has set none.
    """
    mine = assignments(environment)
    rules = plain(read_settings())
    judged = (versions, instance_type, accelerator)
    findings = engine().evaluate(rules, [asdict(each) for each in mine], *judged)
    must = {rule["id"]: rule["must"] for rule in rules if rule["must"]}
    missing = [
        found for found in findings if found["value"] is None and found["rule"] in must and found["severity"] != "info"
    ]
    set_here = [
        {"name": each["variable"], "value": must[each["rule"]], "reason": each["message"], "source": each["source"]}
        for each in missing
    ]
    wanted = [
        {"name": each.name, "value": each.value or "", "reason": "Given by --env.", "source": ""} for each in mine
    ]
    return set_here + wanted, [found for found in findings if found not in missing]


def node_facts(instance_type: str, nodes: int) -> dict[str, Any]:
    """What is known of an instance type; UsageError when there is none of that name, or no node to start on."""
    check_name(instance_type)
    if nodes < 1:
        raise UsageError(f"{nodes} nodes cannot train", place="--nodes", hint="give 1 or more")
    return describe(instance_type)


def environment_of(target: Target, facts: dict[str, Any], wanted: list[str]) -> tuple[list[dict[str, str]], list[str]]:
    """The variables that a job on such nodes sets, and remarks on those that are wanted.

    Raises IngotError when one of those breaks a rule of severity `error`.
    """
    lock = load(path_of(target))
    known = {part: entry.version for part, entry in lock.components.items() if entry.version}
    versions = efa_parts(known, lock.components["efa"].source if "efa" in known else None)
    settings, findings = settings_of(wanted, versions, facts["name"], facts["accelerator"])
    wrong = [found for found in findings if found["severity"] == "error"]
    if wrong:
        said = "; ".join(f"{each['variable']}: {each['message']}" for each in wrong)
        raise IngotError(said, place=f"--env [{wrong[0]['rule']}]", hint=wrong[0]["fix"])
    return settings, [f"{each['severity']}: {each['variable']}: {each['message']} {each['fix']}" for each in findings]


def _container(catalog: Catalog, name: str) -> Container:
    """The container `name`, which must have something to start."""
    found = catalog.container(name)
    if not found.script:
        known = ", ".join(sorted(each for each, row in catalog.containers.items() if row.script))
        raise UsageError(f"{name} has nothing to start", hint=f"name one of {known}")
    return found


def launch(
    catalog: Catalog,
    scheduler: str,
    name: str,
    *,
    instance_type: str,
    nodes: int,
    os_name: str,
    stack: str,
    command_line: str,
    container: str = "",
    bare: bool = False,
    checkpoints: str = "",
    claim: str = "checkpoints",
    processes: int = 0,
    environment: list[str] | None = None,
    arguments: list[str] | None = None,
) -> tuple[str, list[str]]:
    """The file for the scheduler, and remarks for who launches it.

    Raises UsageError on what does not go together, and IngotError when a variable that the user wants breaks a rule of
    severity `error`.
    """
    if scheduler not in TEMPLATES:
        raise UsageError(f"unknown scheduler {scheduler!r}", hint=nearest(scheduler, TEMPLATES))
    row = _container(catalog, name)
    facts = node_facts(instance_type, nodes)
    if bare and scheduler != "slurm":
        raise UsageError(f"{scheduler} always runs a container", place="--bare", hint="leave --bare out")
    if bare and container:
        raise UsageError("--bare and --container exclude each other", hint="give one of them")
    if checkpoints and not row.checkpoints:
        raise UsageError(f"{name} writes no checkpoints to resume from", place="--checkpoints", hint="leave it out")
    if checkpoints and not re.fullmatch(r"/[^\s:,]*", checkpoints):
        raise UsageError(f"{checkpoints!r} is no absolute path", place="--checkpoints", hint="write /fsx/run-1")
    accelerator = facts["accelerator"]
    systems: dict[str, str] = {each: row.os for each, row in catalog.container_systems.items()}
    os_name = os_name or systems.get(accelerator, systems["cpu"])
    target = catalog.target(stack, os_name, facts["arch"])
    if not container and not bare and accelerator not in row.accelerators:
        has = ", ".join(row.accelerators)
        hint = f"name a container of your own that has {row.script}: --container REFERENCE"
        raise UsageError(f"{name} has no variant for {accelerator}, which {instance_type} is; it has {has}", hint=hint)
    if accelerator == "nvidia" and processes > facts["devices"]:
        said = f"{processes} processes a node want a GPU each; {instance_type} has {facts['devices']}"
        raise UsageError(said, place="--processes", hint="leave it out for one a GPU")
    settings, remarks = environment_of(target, facts, environment or [])
    if row.checkpoints and not checkpoints:
        remarks.append("note: without --checkpoints DIR, a folder that all nodes share, a job that fails begins anew")
    if not container and not bare:
        container = container_tag(name, accelerator, target)
        remarks.append(f"note: nodes pull {container}; push it where they can, and name that by --container")
    efa = facts["efa"] if nodes > 1 else 0
    limits = {DEVICE[accelerator]: facts["devices"]} if accelerator in DEVICE else {}
    limits |= {EFA: efa, **HUGEPAGES} if efa else {}
    files = {"efa": efa, "neuron": facts["devices"] if accelerator == "neuron" else 0}
    if scheduler == "batch":
        remarks += [
            f"note: sets {each['name']}={each['value']}: {each['reason']} {each['source']}" for each in settings
        ]
        remarks.append(
            f"note: aws batch submit-job --job-definition {name} --job-name {name} --job-queue QUEUE starts it"
        )
    built_from = f"stack {target.stack}, {target.key}"
    template = templates().get_template(TEMPLATES[scheduler])
    text = template.render(
        header=f"Written by `{' '.join(command_line.split())}`: {built_from}.",
        built_from=built_from.replace(",", ""),
        name=name,
        nodes=nodes,
        instance_type=instance_type,
        container=container,
        checkpoints=checkpoints,
        claim=claim,
        settings=settings,
        devices=facts["devices"] if accelerator == "nvidia" else 0,
        processes=processes or facts["devices"] or 1,
        port=PORT,
        limits=limits,
        efa=efa,
        device_files=[f"{DEVICE_FILES[kind]}{number}" for kind, amount in files.items() for number in range(amount)],
        plugins=[resource for resource in limits if "/" in resource],
        cpu=facts["vcpus"] * 3 // 4,
        memory_mib=facts["memory_mib"] * 3 // 4,
        command=[
            row.script,
            *row.arguments,
            *([row.checkpoints, checkpoints] if checkpoints else []),
            *(arguments or []),
        ],
    )  # fmt: skip
    if scheduler == "batch":
        # YAML is what a template writes best, JSON what every version of AWS' command line reads.
        text = json.dumps(yaml.safe_load(text), indent=2) + "\n"
    return text, remarks


def templates() -> Environment:
    """Templates whose values are quoted by filters: `sh` for the shell, `tojson` for YAML."""
    made = environment(paths.ROOT / "containers" / "launch")
    made.filters |= {"sh": shlex.quote, "enroot": enroot}
    return made
