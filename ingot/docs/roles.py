"""A role's `meta/main.yml` for Galaxy and `README.md`, from its argument specs, its defaults and the catalog.

The collection's author, licence and oldest Ansible are in `galaxy.yml` and `meta/runtime.yml`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ingot import paths
from ingot.catalog.catalog import Catalog
from ingot.docs.markdown import code, escape, render, table, wrapped
from ingot.errors import IngotError
from ingot.model.component import Component
from ingot.model.system import OperatingSystem
from ingot.yamlfile import flow, read

# The summary of a role without a main entry point.
SHARED = "Steps that the other roles share; not for use on its own"
NOTICE = "Written by `make docs` from meta/argument_specs.yml, defaults/main.yml and the catalog."


@dataclass(frozen=True)
class Role:
    """A role: its entry points from `meta/argument_specs.yml`, its defaults, and its systems.

    `component` is the catalog's entry of the same name, if any; `names` has the display names of the catalog's systems.
    """

    path: Path
    entries: dict[str, dict[str, Any]]
    defaults: dict[str, Any]
    systems: dict[str, OperatingSystem]
    dependencies: list[Any] = field(default_factory=list)
    component: Component | None = None
    names: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def summary(self) -> str:
        """The purpose in one line, without markup or period."""
        return str(self.entries["main"]["short_description"]) if "main" in self.entries else SHARED


def read_roles(catalog: Catalog) -> list[Role]:
    """Every role of the collection, by name."""
    return [read_role(path.parents[1], catalog) for path in sorted(paths.ROOT.glob("roles/*/meta/argument_specs.yml"))]


def read_role(path: Path, catalog: Catalog) -> Role:
    """The role at `path`."""
    defaults, current = path / "defaults" / "main.yml", path / "meta" / "main.yml"
    component = catalog.components.get(path.name)
    return Role(
        path=path,
        entries=read(path / "meta" / "argument_specs.yml")[0]["argument_specs"],
        defaults=read(defaults)[0] or {} if defaults.exists() else {},
        systems=offered(catalog, component),
        dependencies=(read(current)[0] or {}).get("dependencies", []) if current.exists() else [],
        component=component,
        names={name: system.name for name, system in catalog.operating_systems.items()},
    )


def offered(catalog: Catalog, component: Component | None) -> dict[str, OperatingSystem]:
    """The systems of a component; all systems of the catalog for a role without a component."""
    names = {name for offer in component.offers for name in offer.os} if component else set(catalog.operating_systems)
    return {name: system for name, system in catalog.operating_systems.items() if name in names}


def platforms(systems: Iterable[OperatingSystem]) -> dict[str, list[str]]:
    """Galaxy's names of operating systems, with their releases.

    Galaxy has one platform for RHEL and its rebuilds, and names releases of Debian and Ubuntu by code name.
    """
    releases_by_platform: dict[str, list[str]] = {}
    for system in systems:
        if system.family == "Debian":
            platform, release = system.distribution, system.codename or system.version
        else:
            platform, release = "Amazon Linux" if system.distribution == "Amazon" else "EL", system.version
        releases = releases_by_platform.setdefault(platform, [])
        if release not in releases:
            releases.append(release)
    return releases_by_platform


def oldest_ansible() -> str:
    """The oldest supported ansible-core, such as 2.17, from `meta/runtime.yml`."""
    runtime = paths.ROOT / "meta" / "runtime.yml"
    required = str(read(runtime)[0]["requires_ansible"])
    if match := re.match(r">=(\d+\.\d+)", required):
        return match[1]
    raise IngotError(f"requires_ansible has no oldest version: {required!r}", place=str(runtime), hint="write >=2.17")


def meta(role: Role) -> str:
    """The text of `meta/main.yml`."""
    galaxy = read(paths.ROOT / "galaxy.yml")[0]
    lines = ["---", f"# {NOTICE}", "galaxy_info:", f"  author: {galaxy['authors'][0]}"]
    lines += [f"  {yaml.safe_dump({'description': role.summary}, width=1000).strip()}"]
    lines += [f"  license: {galaxy['license'][0]}", f'  min_ansible_version: "{oldest_ansible()}"', "  platforms:"]
    for name, releases in platforms(role.systems.values()).items():
        texts = ", ".join(f'"{release}"' if release[0].isdigit() else release for release in releases)
        lines += [f"    - name: {name}", f"      versions: [{texts}]"]
    return "\n".join([*lines, yaml.safe_dump({"dependencies": role.dependencies}, sort_keys=False).strip()]) + "\n"


def readme(role: Role) -> str:
    """The text of `README.md`."""
    parts = [f"<!-- {NOTICE} -->", f"# {role.name}", f"{escape(role.summary)}."]
    main = role.entries.get("main", {})
    parts += _described(role, "main", main)
    parts += _systems(role)
    if main.get("options"):
        parts += ["## Options", options(role, "main")]
    for entry, spec in role.entries.items():
        if entry == "main":
            continue
        parts += [f"## Entry point `{entry}`", *map(wrapped, render(f"{spec['short_description']}.", role.name, entry))]
        parts += _described(role, entry, spec)
        parts += [options(role, entry)] if spec.get("options") else []
    return "\n\n".join(parts) + "\n"


def _described(role: Role, entry: str, spec: Mapping[str, Any]) -> list[str]:
    paragraphs = [wrapped(paragraph) for paragraph in render(spec.get("description", []), role.name, entry)]
    example = spec.get("examples", "").strip()
    return [*paragraphs, *([f"```yaml\n{example}\n```"] if example else [])]


def _systems(role: Role) -> list[str]:
    """The section on operating systems: supported ones, and reasons for left out ones or parts."""
    lines = [f"- {escape(system.name)}{_only(role, name)}" for name, system in role.systems.items()]
    parts = ["## Systems", "\n".join(lines)]
    reasons: dict[tuple[str, str], list[str]] = {}
    if role.component:
        for name, reason in role.component.left_out.items():
            reasons.setdefault(("", reason), []).append(role.names[name])
        for part, names in role.component.parts_left_out.items():
            for name, reason in names.items():
                reasons.setdefault((part, reason), []).append(role.names[name])
    lines = [
        wrapped(f"- {f'`{part}` on ' if part else ''}{escape(', '.join(names))}: {escape(reason)}.", "  ")
        for (part, reason), names in reasons.items()
    ]
    return [*parts, "Left out:", "\n".join(lines)] if lines else parts


def _only(role: Role, system: str) -> str:
    """A note on the architectures of a component on a system, unless it has all."""
    architectures = role.systems[system].architectures
    offers = role.component.offers if role.component else []
    offered_for = {arch for offer in offers if system in offer.os for arch in offer.arch} or {*architectures}
    return "" if offered_for.issuperset(architectures) else f", {' and '.join(sorted(offered_for))} only"


def options(role: Role, entry: str) -> str:
    """A Markdown table of the options of an entry point."""
    rows = []
    for name, option in role.entries[entry]["options"].items():
        text = " ".join(render(option["description"], role.name, entry))
        if option.get("choices"):
            text += f" Choices: {', '.join(code(_value(choice)) for choice in option['choices'])}."
        kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
        rows.append([code(name), kind, _default(role, name, option), text])
    return table(["option", "type", "default", "description"], rows)


def _default(role: Role, name: str, option: Mapping[str, Any]) -> str:
    if name in role.defaults:
        return code(_value(role.defaults[name]))
    return "required" if option.get("required") else "none"


def _value(value: Any) -> str:
    """A value as written in YAML."""
    if value == "":
        return '""'
    return value if isinstance(value, str) else flow(value)
