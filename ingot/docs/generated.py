"""Writes the generated parts of the documentation: support matrix, containers, roles' options, rules on variables.

What is generated stands between two marks; everything around it is written by people. The rules go to the role doctor
as well, whose program judges by them.
"""

import json
from pathlib import Path

from ingot import paths
from ingot.catalog.catalog import Catalog
from ingot.catalog.read import read_catalog
from ingot.catalog.settings import SettingRule, plain, read_settings
from ingot.errors import IngotError
from ingot.lock.file import load, path_of, targets
from ingot.model.lock import Lock
from ingot.yamlfile import read

DOCTOR = paths.ROOT / "roles" / "doctor" / "files" / "settings.json"
BEGIN = "<!-- {}: written by `make docs` -->"
END = "<!-- /{} -->"


def matrix(catalog: Catalog, stack: str) -> str:
    """A Markdown table of the stack: what each operating system gets of each component, on x86_64."""
    locks = [load(path_of(target)) for target in targets(catalog, [stack], arch="x86_64")]
    lines = [f"| stack {stack} | {' | '.join(lock.os for lock in locks)} |", "|---" * (len(locks) + 1) + "|"]
    names = dict.fromkeys([*catalog.stacks[stack].pins, *(name for lock in locks for name in lock.left_out)])
    for name in names:
        lines.append(f"| `{name}` | {' | '.join(_cell(lock, name) for lock in locks)} |")
    return "\n".join(lines)


def _cell(lock: Lock, name: str) -> str:
    """What a lock has of a component, or of a part of one."""
    if name in lock.left_out:
        return "left out"
    return (lock.components[name].version or "unresolved") if name in lock.components else "there"


def options(specs: Path) -> str:
    """A Markdown table of the options that a role's argument specs describe."""
    data, _ = read(specs)
    lines = ["| option | type | what it is |", "|---|---|---|"]
    for entry in data["argument_specs"].values():
        for name, option in entry["options"].items():
            described = option["description"]
            text = " ".join(described) if isinstance(described, list) else described
            lines.append(f"| `{name}` | {option['type']} | {' '.join(text.split())} |")
    return "\n".join(dict.fromkeys(lines))


def containers(catalog: Catalog) -> str:
    """A Markdown table of the framework containers."""
    lines = ["| container | FROM | variants | what it is |", "|---|---|---|---|"]
    for name, row in catalog.containers.items():
        parent = f"`{row.parent}`" if row.parent else "the bare system"
        lines.append(f"| `{name}` | {parent} | {', '.join(row.accelerators)} | {row.summary} |")
    return "\n".join(lines)


def rules(rows: list[SettingRule]) -> str:
    """A Markdown table of the rules about environment variables."""
    lines = ["| variable | the rule | where | severity | why, and what to do | source |", "|---|---|---|---|---|---|"]
    for rule in rows:
        names = ", ".join(f"`{name}`" for name in rule.variables)
        cells = [names, _demand(rule), _where(rule), rule.severity, f"{rule.reason} {rule.fix}"]
        source = f"[{rule.checked}]({rule.source})"
        lines.append(f"| {' | '.join(cell.strip().replace('|', chr(92) + '|') for cell in cells)} | {source} |")
    return "\n".join(lines)


def _demand(rule: SettingRule) -> str:
    if rule.never:
        return "never set"
    if rule.must:
        return f"must be `{rule.must}`"
    kind, patterns = ("not", rule.never_values) if rule.never_values else ("only", rule.only_values)
    return f"{kind} {', '.join(f'`{pattern}`' for pattern in patterns)}"


def _where(rule: SettingRule) -> str:
    when = rule.when
    parts = [f"{name} {text}" for name, text in when.versions.items()]
    parts += [" or ".join(f"{name} {text}" for name, text in when.any_version.items())] if when.any_version else []
    parts += [" ".join(f"`{glob}`" for glob in when.instance_types)] if when.instance_types else []
    return "; ".join(parts + ([when.accelerator] if when.accelerator else [])) or "everywhere"


def replaced(text: str, name: str, content: str) -> str:
    """`text` with what stands between the marks of `name` replaced by `content`."""
    begin, end = BEGIN.format(name), END.format(name)
    before, found, rest = text.partition(begin)
    if not found or end not in rest:
        raise IngotError(f"the marks {begin} and {end} are missing", hint="put them where the table belongs")
    return f"{before}{begin}\n{content}\n{end}{rest.partition(end)[2]}"


def pages(catalog: Catalog) -> dict[Path, str]:
    """Every page with a generated part, as it should be."""
    readme = paths.ROOT / "README.md"
    found = {readme: replaced(readme.read_text(), "matrix", matrix(catalog, catalog.newest_stack))}
    settings = paths.ROOT / "docs" / "settings.md"
    found[settings] = replaced(settings.read_text(), "rules", rules(read_settings()))
    page = paths.ROOT / "docs" / "containers.md"
    found[page] = replaced(page.read_text(), "containers", containers(catalog))
    found[DOCTOR] = json.dumps(plain(read_settings()), indent=1) + "\n"
    for specs in sorted((paths.ROOT / "roles").glob("*/meta/argument_specs.yml")):
        page = specs.parents[1] / "README.md"
        found[page] = replaced(page.read_text(), "options", options(specs))
    return found


if __name__ == "__main__":
    for path, text in pages(read_catalog()).items():
        paths.write_text(path, text)
