"""Renders job files that start a container's training: one template per scheduler."""

import json
import re
import shlex
from dataclasses import asdict, dataclass, field
from typing import Any

import yaml
from jinja2 import Environment

from ingot import paths
from ingot.catalog.catalog import Catalog
from ingot.catalog.instance_types import check_name, describe
from ingot.catalog.settings import engine, features, plain, read_settings
from ingot.errors import IngotError, UsageError
from ingot.export.program import Program, of_catalog, of_user
from ingot.export.scheduling import KUBERNETES, Scheduling, mounts_of
from ingot.lock.file import load, path_of
from ingot.model.target import Target, container_tag
from ingot.plan.check import assignments, of_lock
from ingot.templates import environment
from ingot.yamlfile import nearest

TEMPLATES = {
    "slurm": "slurm.sbatch.j2",
    "kubernetes": "kubernetes.yaml.j2",
    "jobset": "jobset.yaml.j2",
    "pytorchjob": "pytorchjob.yaml.j2",
    "batch": "batch.yaml.j2",
}
# torchrun's default port of the first node.
PORT = 29500
# Resource names of the device plugins of NVIDIA and AWS, and huge pages as AWS' EFA guide requires:
# https://docs.aws.amazon.com/eks/latest/userguide/node-efa.html, read on 2026-11-24.
DEVICE = {"nvidia": "nvidia.com/gpu", "neuron": "aws.amazon.com/neuron"}
EFA = "vpc.amazonaws.com/efa"
HUGEPAGES = {"hugepages-2Mi": "5120Mi"}
# AWS Batch takes the file of each device; for GPUs, their number.
# https://docs.aws.amazon.com/batch/latest/userguide/efa.html
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-inference-task-def.html
DEVICE_FILES = {"efa": "/dev/infiniband/uverbs", "neuron": "/dev/neuron"}
# What a job file says of its nodes.
JOB_FACTS = ("vcpus", "memory_mib", "devices", "efa")

# Without its gang scheduling, which is off by default: https://kubernetes.io/docs/concepts/scheduling-eviction/gang-scheduling/
GREEDY = (
    "note: Kubernetes places one pod at a time, and the first one decides the zone: the job waits for ever if that one "
    "has too few free nodes; give --zone, or a --queue of Kueue, which starts all pods or none"
)


@dataclass(frozen=True)
class Job:
    """Options of every job file: the nodes, the lock that sets the environment, the header, the container.

    An empty `stack` is the newest one; `environment` has the user's variables, NAME=VALUE; an empty `name` is that of
    what is started; `mounts` are SOURCE:TARGET.
    """

    instance_type: str
    nodes: int
    os_name: str
    stack: str
    command_line: str
    container: str
    environment: list[str]
    name: str = ""
    mounts: list[str] = field(default_factory=list)
    scheduling: Scheduling = field(default_factory=Scheduling)


def enroot(reference: str) -> str:
    """A container's reference in Pyxis' form, with `#` after the registry; a file's path is unchanged.

    https://github.com/NVIDIA/pyxis/wiki/Usage
    """
    first, slash, rest = reference.partition("/")
    is_registry = slash and first and (set(first) & set(".:") or first == "localhost")
    return f"{first}#{rest}" if is_registry else reference


def settings_of(
    environment: list[str], versions: dict[str, str], instance_type: str, accelerator: str
) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """The variables that the job sets, with reasons, and the findings of the rules on the user's variables.

    Sets the values that rules require, except those of severity `info`, unless the user sets the variable.
    """
    wanted = assignments(environment)
    rules = plain(read_settings())
    context = (versions, instance_type, accelerator, features(describe(instance_type)))
    findings = engine().evaluate(rules, [asdict(variable) for variable in wanted], *context)
    required = {rule["id"]: rule["must"] for rule in rules if rule["must"]}
    missing = [
        finding
        for finding in findings
        if finding["value"] is None and finding["rule"] in required and finding["severity"] != "info"
    ]
    set_here = [
        {
            "name": finding["variable"],
            "value": required[finding["rule"]],
            "reason": finding["message"],
            "source": finding["source"],
        }
        for finding in missing
    ]
    given = [
        {"name": variable.name, "value": variable.value or "", "reason": "Given by --env.", "source": ""}
        for variable in wanted
    ]
    return set_here + given, [finding for finding in findings if finding not in missing]


def node_facts(instance_type: str, nodes: int) -> dict[str, Any]:
    """The facts about an instance type; UsageError for an unknown type, one without the facts of a job, or no nodes."""
    check_name(instance_type)
    if nodes < 1:
        raise UsageError(f"{nodes} is not a number of nodes", place="--nodes", hint="give 1 or more")
    facts = describe(instance_type)
    if missing := [name for name in JOB_FACTS if facts[name] is None]:
        message = f"no source has {', '.join(missing)} of {instance_type}, which the job needs"
        raise UsageError(message, place="--instance-type", hint="add them to catalog/accelerators.yml, with the source")
    return facts


def environment_of(
    target: Target, facts: dict[str, Any], environment: list[str]
) -> tuple[list[dict[str, str]], list[str]]:
    """The variables that a job on such nodes sets, and remarks on the user's variables.

    Raises IngotError if one of the user's variables breaks a rule of severity `error`.
    """
    versions = of_lock(load(path_of(target)).components)
    settings, findings = settings_of(environment, versions, facts["name"], facts["accelerator"])
    errors = [finding for finding in findings if finding["severity"] == "error"]
    if errors:
        message = "; ".join(f"{finding['variable']}: {finding['message']}" for finding in errors)
        raise IngotError(message, place=f"--env [{errors[0]['rule']}]", hint=errors[0]["fix"])
    return settings, [
        f"{finding['severity']}: {finding['variable']}: {finding['message']} {finding['fix']}" for finding in findings
    ]


def _judged(job: Job, program: Program, scheduler: str, *, bare: bool, checkpoints: str, processes: int) -> None:
    """UsageError for options that do not go together, or that the program or the instance type does not have."""
    if bare and scheduler != "slurm":
        raise UsageError(f"{scheduler} always runs a container", place="--bare", hint="leave --bare out")
    if bare and job.container:
        raise UsageError("--bare and --container exclude each other", hint="give one of them")
    if bare and job.mounts:
        raise UsageError("without a container nothing is mounted", place="--mount", hint="leave it out")
    if not (bare or job.container or program.accelerators):
        hint = "give the container that has your program by --container, or --bare"
        raise UsageError("your own program needs a container or a machine image", hint=hint)
    if checkpoints and not program.checkpoints:
        hint = "leave it out; a folder for your own program is a --mount"
        raise UsageError(f"{program.name} does not write checkpoints", place="--checkpoints", hint=hint)
    if checkpoints and not re.fullmatch(r"/[^\s:,]*", checkpoints):
        raise UsageError(f"not an absolute path: {checkpoints!r}", place="--checkpoints", hint="write /fsx/run-1")
    job.scheduling.check(scheduler)


def _variant(
    catalog: Catalog, job: Job, program: Program, facts: dict[str, Any], container: str, *, bare: bool
) -> tuple[Target, str]:
    """The target whose lock sets the environment, and the container's reference; UsageError if there is none."""
    accelerator = facts["accelerator"]
    if not job.container and not bare and accelerator not in program.accelerators:
        variants = ", ".join(program.accelerators)
        message = f"{container} has no variant for {accelerator} of {job.instance_type}; variants: {variants}"
        raise UsageError(message, hint=f"use your own container with {program.words[0]}: --container REFERENCE")
    systems: dict[str, str] = {variant: row.os for variant, row in catalog.container_systems.items()}
    os_name = job.os_name or systems.get(accelerator, systems["cpu"])
    target = catalog.target(job.stack or catalog.newest_stack, os_name, facts["arch"])
    return target, job.container or ("" if bare else container_tag(container, accelerator, target))


def launch(
    catalog: Catalog,
    scheduler: str,
    container: str,
    job: Job,
    *,
    script: str = "",
    module: str = "",
    bare: bool = False,
    checkpoints: str = "",
    claim: str = "checkpoints",
    processes: int = 0,
    arguments: list[str] | None = None,
) -> tuple[str, list[str]]:
    """The file for the scheduler, and remarks for the user.

    The program is that of a container of the catalog, or with `script` or `module` the user's own. Raises UsageError on
    options that exclude each other, and IngotError if one of the user's variables breaks a rule of severity `error`.
    """
    if scheduler not in TEMPLATES:
        raise UsageError(f"unknown scheduler {scheduler!r}", hint=nearest(scheduler, TEMPLATES))
    words = arguments or []
    if script or module:
        if container in catalog.containers:
            raise UsageError(f"{container} and your own program exclude each other", hint="give one of them")
        # Without a container's name, the first word after -- stands in its place.
        program = of_user(script, module, job.name, [container, *words] if container else words)
    elif container:
        program = of_catalog(catalog, container, job.name, words)
    else:
        raise UsageError("nothing to start", hint="name a container of `ingot list`, or your own --script")
    facts = node_facts(job.instance_type, job.nodes)
    _judged(job, program, scheduler, bare=bare, checkpoints=checkpoints, processes=processes)
    target, reference = _variant(catalog, job, program, facts, container, bare=bare)
    accelerator = facts["accelerator"]
    if accelerator == "nvidia" and processes > facts["devices"]:
        message = f"{processes} processes per node need {processes} GPUs; {job.instance_type} has {facts['devices']}"
        raise UsageError(message, place="--processes", hint="leave it out for one process per GPU")
    settings, remarks = environment_of(target, facts, job.environment)
    if program.checkpoints and not checkpoints:
        remarks.append("note: without --checkpoints DIR, a shared folder, a failed job starts over")
    if reference and not job.container:
        remarks.append(f"note: nodes pull {reference}; push it to a registry and give its reference by --container")
    efa = facts["efa"] if job.nodes > 1 else 0
    if efa and scheduler in KUBERNETES and not (job.scheduling.zone or job.scheduling.queue):
        remarks.append(GREEDY)
    # A process of Neuron has one logical core.
    per_node = facts["logical_cores"] if accelerator == "neuron" else facts["devices"]
    limits = {DEVICE[accelerator]: facts["devices"]} if accelerator in DEVICE else {}
    limits |= {EFA: efa, **HUGEPAGES} if efa else {}
    files = {"efa": efa, "neuron": facts["devices"] if accelerator == "neuron" else 0}
    if scheduler == "batch":
        remarks += [
            f"note: sets {setting['name']}={setting['value']}: {setting['reason']} {setting['source']}"
            for setting in settings
        ]
        name, queue = program.name, job.scheduling.queue or "QUEUE"
        remarks.append(
            f"note: start it by aws batch submit-job --job-definition {name} --job-name {name} --job-queue {queue}"
        )
    built_from = f"stack {target.stack}, {target.key}"
    template = templates().get_template(TEMPLATES[scheduler])
    text = template.render(
        header=f"Written by `{job.command_line}`: {built_from}.",
        built_from=built_from.replace(",", ""),
        name=program.name,
        nodes=job.nodes,
        instance_type=job.instance_type,
        container=reference,
        restarts=bool(checkpoints),
        mounts=mounts_of(job.mounts, scheduler, checkpoints, claim),
        scheduling=job.scheduling,
        settings=settings,
        devices=facts["devices"] if accelerator == "nvidia" else 0,
        processes=processes or per_node or 1,
        port=PORT,
        limits=limits,
        efa=efa,
        device_files=[f"{DEVICE_FILES[kind]}{number}" for kind, amount in files.items() for number in range(amount)],
        plugins=[resource for resource in limits if "/" in resource],
        cpu=facts["vcpus"] * 3 // 4,
        memory_mib=facts["memory_mib"] * 3 // 4,
        command=program.command(checkpoints),
    )  # fmt: skip
    if scheduler == "batch":
        # The template writes YAML; every version of the AWS command line reads JSON.
        text = json.dumps(yaml.safe_load(text), indent=2) + "\n"
    return text, remarks


def templates() -> Environment:
    """Templates that quote values by filters: `sh` for the shell, `tojson` for YAML."""
    loaded = environment(paths.ROOT / "containers" / "launch")
    loaded.filters |= {"sh": shlex.quote, "enroot": enroot}
    return loaded
