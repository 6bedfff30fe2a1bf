"""Checks a job's environment, and the versions in a finished image, against the catalog's rules."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from packaging.version import Version

from ingot.catalog.catalog import Catalog
from ingot.catalog.instance_types import FAMILIES, check_name, describe, is_unknown_cpu, plain_name
from ingot.catalog.rules import SEVERITIES, Context, Need, Part, broken, release_facts
from ingot.catalog.settings import engine, plain, read_settings
from ingot.errors import IngotError, UsageError
from ingot.model.target import ImageSelection
from ingot.model.types import Facts
from ingot.plan.fit import driver_needs
from ingot.plan.jobfiles import Setting, settings
from ingot.plan.solve import context_of

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


def efa_parts(versions: dict[str, str], efa_source: str | None) -> dict[str, str]:
    """`versions` with the part that `efa` stands for: libfabric on Debian, elsewhere the EFA installer."""
    part = "libfabric" if efa_source == "debian" else "efa_installer"
    return {part: versions["efa"], **versions} if "efa" in versions and efa_source else versions


def of_manifest(path: Path, catalog: Catalog) -> Image:
    """The image whose manifest is at `path`: its observed versions, including details."""
    try:
        data = json.loads(path.read_text())
        seen = {**data["observed"], **(data.get("details") or {})}
        declared = data["declared"]
        # Every base image has EFA by its installer.
        brought = "base_image" if "efa" in data.get("brought", {}) else None
        source = declared["components"].get("efa", {}).get("source", brought)
    except (OSError, ValueError) as error:
        raise IngotError(f"not a manifest: {error}", place=str(path)) from None
    except (AttributeError, KeyError, TypeError):
        hint = "give the manifest.json that a build writes next to its disk"
        raise IngotError("not a manifest of an image", place=str(path), hint=hint) from None
    versions = {name: version for name, version in seen.items() if isinstance(version, str)}
    image = catalog.images.get(data.get("image", ""))
    facts: dict[str, Facts] = {"efa": {"installer": source not in (None, "debian")}}
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
        declared.get("os", ""),
        declared.get("arch", ""),
        image.platform if image else "",
        image.accelerator if image else "",
    )
    return Image(str(path), efa_parts(versions, source), image.accelerator if image else None, parts, context)


def of_selection(selection: ImageSelection) -> Image:
    """An image as its lock declares it, with what its base image brings."""
    components = selection.in_image.components
    versions = {name: entry.version for name, entry in components.items() if entry.version}
    source = components["efa"].source if "efa" in components else None
    return Image(f"lock {selection.target}", efa_parts(versions, source), selection.image.accelerator)


def assignments(texts: Iterable[str]) -> list[Setting]:
    """The variables that `--env NAME=VALUE` options name."""
    variables = []
    for text in texts:
        match = re.fullmatch(r"([A-Za-z_]\w*)=(.*)", text, re.DOTALL)
        if match is None:
            raise UsageError(f"not an assignment: {text!r}", place="--env", hint="write NAME=VALUE")
        variables.append(Setting(match[1], match[2], "--env"))
    return variables


def _of_versions(image: Image, catalog: Catalog, instance_type: str | None) -> list[dict[str, Any]]:
    """The version rules that an image breaks, and the instance type's requirements that its driver does not meet."""
    context = image.context
    needs: list[Need] = []
    if instance_type:
        context = context_of(context.os, context.arch, context.platform, context.accelerator, instance_type)
        needs = driver_needs(describe(instance_type))
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
    instance_type = plain_name(instance_type or "") or None
    # EC2 has new types without accelerators every month, and of those no rule asks more than that.
    known = None if instance_type and is_unknown_cpu(instance_type) else instance_type
    if known:
        check_name(known)
    if not files and not env and not image.parts:
        raise UsageError("nothing to check", hint="give --file, --env NAME=VALUE or --manifest")
    environment = [*assignments(env), *(setting for file in files for setting in settings(file))]
    findings = engine().evaluate(
        plain(read_settings()),
        [asdict(setting) for setting in environment],
        image.versions,
        instance_type,
        image.accelerator,
    )
    findings += _of_versions(image, catalog, known) if image.parts else []
    findings.sort(key=lambda finding: SEVERITIES.index(finding["severity"]))
    checked = {
        "files": [str(file) for file in files],
        "variables": len(environment),
        "image": image.read_from,
        "versions": image.versions,
        "accelerator": image.accelerator,
        "instance_type": instance_type,
    }
    return {"findings": findings, "checked": checked}


def render(report: dict[str, Any]) -> str:
    """The report for people: each finding with its place, reason, fix and source, then the count."""
    lines = []
    for finding in report["findings"]:
        value = "" if finding["value"] is None else f"={finding['value']}"
        place = f"{finding['place']}: " if finding["place"] else ""
        setting = f"{finding['variable']}{value} " if finding["variable"] else ""
        lines += [f"{finding['severity']}: {place}{setting}[{finding['rule']}]", f"  {finding['message']}"]
        lines += [f"  fix: {finding['fix']}", f"  source: {finding['source']}", ""]
    count = Counter(finding["severity"] for finding in report["findings"])
    counts = ", ".join(f"{count[severity]} {severity}" for severity in engine().SEVERITIES)
    checked = report["checked"]
    about = [f"{checked['variables']} variables", checked["image"] or "no image, so versions are unknown"]
    return "\n".join([*lines, f"{counts} ({', '.join(about)})"])


def failed(report: dict[str, Any]) -> bool:
    """Whether any finding is an error."""
    return any(finding["severity"] == "error" for finding in report["findings"])
