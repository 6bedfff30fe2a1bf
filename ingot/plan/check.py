"""Checks a job's environment, and the versions in a finished image, against the catalog's rules."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from packaging.version import Version

from ingot.catalog.catalog import Catalog
from ingot.catalog.instance_types import FAMILIES, describe, is_unknown_cpu, plain_name, read_types
from ingot.catalog.rules import SEVERITIES, Context, Need, Part, broken, release_facts
from ingot.catalog.settings import SettingRule, engine, features, plain, read_settings
from ingot.errors import UsageError
from ingot.model.lock import LockedComponent
from ingot.model.target import ImageSelection
from ingot.model.types import Facts
from ingot.plan import devices
from ingot.plan.fit import driver_needs
from ingot.plan.jobfiles import JobFile, Setting, job_file, requests
from ingot.plan.manifest import Manifest
from ingot.plan.solve import context_of
from ingot.textfile import read_json

TYPE = re.compile(r"[a-z]+\d[a-z0-9-]*\.[a-z0-9-]+")
# The part of a version that can be compared: observed versions may end in a packager's suffix.
NUMBER = re.compile(r"\d+(?:\.\d+)*")


@dataclass(frozen=True)
class Image:
    """The image that the job runs on, as far as it is known: where it was read, versions, and the accelerator.

    `parts` and `context` are for the rules about versions; a lock obeys them, so only a finished image has them.
    """

    read_from: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    accelerator: str | None = None
    parts: list[Part] = field(default_factory=list)
    context: Context = field(default_factory=Context)


def efa_parts(versions: dict[str, str], efa_source: str | None, facts: Facts | None = None) -> dict[str, str]:
    """`versions` with the part that `efa` stands for: libfabric on Debian, elsewhere the EFA installer.

    `facts` are those of the locked installer, which say what libfabric it brings.
    """
    brought = {"libfabric": str(facts["libfabric"])} if facts and facts.get("libfabric") else {}
    part = "libfabric" if efa_source == "debian" else "efa_installer"
    return {part: versions["efa"], **brought, **versions} if "efa" in versions and efa_source else versions


def of_lock(components: Mapping[str, LockedComponent]) -> dict[str, str]:
    """The versions of locked components, with those of EFA's parts."""
    versions = {name: entry.version for name, entry in components.items() if entry.version}
    efa = components.get("efa")
    return efa_parts(versions, efa.source, efa.facts) if efa else versions


def of_manifest(path: Path, catalog: Catalog) -> Image:
    """The image whose manifest is at `path`: its observed versions, including details."""
    manifest = Manifest.of(read_json(path), str(path))
    versions = {**manifest.observed, **manifest.details}
    image = catalog.images.get(manifest.image)
    facts: dict[str, Facts] = {"efa": {"installer": manifest.efa_source not in (None, "debian")}}
    parts = [
        Part(
            name,
            Version(number[0]),
            version,
            {**release_facts(catalog.components[name], version), **facts.get(name, {})},
        )
        for name, version in versions.items()
        if name in catalog.components and (number := NUMBER.match(version))
    ]
    context = context_of(
        manifest.os,
        manifest.arch,
        image.platform if image else "",
        image.accelerator if image else "",
    )
    versions = efa_parts(versions, manifest.efa_source)
    return Image(str(path), versions, image.accelerator if image else None, parts, context)


def of_selection(selection: ImageSelection) -> Image:
    """An image as its lock declares it, with what its base image brings."""
    versions = of_lock(selection.in_image.components)
    return Image(f"lock {selection.target}", versions, selection.image.accelerator)


def assignments(texts: Iterable[str]) -> list[Setting]:
    """The variables that `--env NAME=VALUE` options name."""
    variables = []
    for text in texts:
        match = re.fullmatch(r"([A-Za-z_]\w*)=(.*)", text, re.DOTALL)
        if match is None:
            raise UsageError(f"not an assignment: {text!r}", place="--env", hint="write NAME=VALUE")
        variables.append(Setting(match[1], match[2], "--env"))
    return variables


@dataclass(frozen=True)
class Machine:
    """The instance type that the job runs on, as far as it is known; `facts` are empty for a type that nobody knows."""

    name: str | None = None
    accelerator: str | None = None
    features: dict[str, bool] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def _machine(instance_type: str | None) -> Machine:
    """The machine of an instance type; UsageError for a name that is none, or a size that a known family lacks."""
    if not instance_type:
        return Machine()
    name = plain_name(instance_type)
    # EC2 has new types without accelerators every month.
    if TYPE.fullmatch(name) and is_unknown_cpu(name):
        note = f"instance type {instance_type} is not in the catalog; rules take it for one with EFA"
        return Machine(name, notes=[note])
    facts = describe(name)
    return Machine(name, facts["accelerator"], features(facts), facts)


def judged(rules: list[SettingRule]) -> re.Pattern[str]:
    """Finds the names of variables that rules judge, in any text."""
    globs = dict.fromkeys(glob for rule in rules for glob in rule.variables)
    names = [re.escape(glob).replace(r"\[!F\]", "[^F]").replace(r"\*", r"\w*") for glob in globs]
    # APPTAINERENV_NCCL_DEBUG sets NCCL_DEBUG; srun's list of variables is judged by what it lacks.
    return re.compile(
        rf"(?<![A-Za-z0-9])(?<![A-Za-z0-9]_)(?:{'|'.join(names)})(?!\w)|(?<=ENV_)(?:{'|'.join(names)})(?!\w)|--export(?![\w-])"
    )


def _of_devices(files: list[JobFile], machine: Machine) -> list[dict[str, Any]]:
    """What jobs of several nodes lack of the devices that their instance type has."""
    findings = []
    types = read_types().types
    efa = {name: entry.efa for name, entry in types.items() if entry.efa is not None}
    for file in files:
        wants = any(re.match(r"FI_|OFI_NCCL_", one.name) and one.value != "tcp" for one in file.settings)
        for request in requests(file):
            named = request if request.types or not machine.name else replace(request, types=(machine.name,))
            found = devices.finding(named, str(file.path), efa, wants)
            findings += [found] if found else []
    return findings


def _of_versions(image: Image, catalog: Catalog, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """The version rules that an image breaks, and the instance type's requirements that its driver does not meet."""
    context = image.context
    needs: list[Need] = []
    if facts:
        context = context_of(context.os, context.arch, context.platform, context.accelerator, facts["name"])
        needs = driver_needs(facts)
    parts = {part.component: part for part in image.parts}
    problems = [
        (problem.rule, problem.severity, problem.message, problem.source)
        for problem in broken(parts.values(), catalog.components, context)
    ]
    problems += [
        ("instance-type", "error", f"{need}; it is {parts[need.component].text}", str(catalog.path / FAMILIES))
        for need in needs
        if need.spec != "*" and need.component in parts and not need.allows(parts[need.component])
    ]
    return [
        {
            "rule": rule, "severity": severity, "variable": None, "value": None, "place": image.read_from,
            "message": message, "fix": "build the image from a lock that obeys the rule", "source": source,
        }
        for rule, severity, message, source in problems
    ]  # fmt: skip


def check(
    files: list[Path], env: list[str], image: Image, catalog: Catalog, instance_type: str | None = None
) -> dict[str, Any]:
    """The findings, worst first, and what was checked."""
    machine = _machine(instance_type)
    if not files and not env and not image.parts:
        raise UsageError("nothing to check", hint="give --file, --env NAME=VALUE or --manifest")
    rules = read_settings()
    read = [job_file(file, judged(rules)) for file in files]
    environment = [*assignments(env), *(setting for file in read for setting in file.settings)]
    findings = engine().evaluate(
        plain(rules),
        [asdict(setting) for setting in environment],
        image.versions,
        machine.name,
        image.accelerator or machine.accelerator,
        machine.features | ({image.accelerator: True} if image.accelerator else {}),
    )
    findings += _of_devices(read, machine)
    findings += _of_versions(image, catalog, machine.facts) if image.parts else []
    findings.sort(key=lambda finding: SEVERITIES.index(finding["severity"]))
    checked = {
        "files": [str(file) for file in files],
        "variables": len(environment),
        "image": image.read_from,
        "versions": image.versions,
        "accelerator": image.accelerator or machine.accelerator,
        "instance_type": instance_type,
    }
    unclear = [{"variable": name, "place": place} for name, place in (file.unclear for file in read if file.unclear)]
    return {"findings": findings, "not_understood": unclear, "notes": machine.notes, "checked": checked}


def render(report: dict[str, Any]) -> str:
    """The report for people: each finding with its place, reason, fix and source, then the count."""
    lines = []
    for finding in report["findings"]:
        value = "" if finding["value"] is None else f"={finding['value']}"
        place = f"{finding['place']}: " if finding["place"] else ""
        setting = f"{finding['variable']}{value} " if finding["variable"] else ""
        lines += [f"{finding['severity']}: {place}{setting}[{finding['rule']}]", f"  {finding['message']}"]
        lines += [f"  fix: {finding['fix']}", f"  source: {finding['source']}", ""]
    lines += [f"note: {note}" for note in report["notes"]]
    lines += [
        f"not understood: {one['place']}: it names {one['variable']}, and nothing was found that sets it"
        for one in report["not_understood"]
    ]
    if report["not_understood"]:
        lines += ["  fix: give the variables by --env NAME=VALUE, or the script that sets them", ""]
    count = Counter(finding["severity"] for finding in report["findings"])
    counts = ", ".join(f"{count[severity]} {severity}" for severity in engine().SEVERITIES)
    checked = report["checked"]
    about = [f"{checked['variables']} variables", checked["image"] or "no image, so versions are unknown"]
    return "\n".join([*lines, f"{counts} ({', '.join(about)})"])


def status(report: dict[str, Any]) -> int:
    """The exit status: 1 with an error, 3 if a file names variables and nothing was understood in it, else 0."""
    if any(finding["severity"] == "error" for finding in report["findings"]):
        return 1
    return 3 if report["not_understood"] else 0
