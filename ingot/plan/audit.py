"""Judges by the advisories what Ingot makes or finds: locks, manifests, images, containers, lists of requirements."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingot.catalog.advisories import Plain, accepts, engine, plain, today
from ingot.catalog.catalog import Catalog
from ingot.catalog.rules import release_facts
from ingot.errors import IngotError, UsageError
from ingot.lock.file import load
from ingot.model.lock import Lock
from ingot.model.system import LockedSystem, OperatingSystem
from ingot.model.target import ImageSelection
from ingot.model.types import Facts

KINDS = "a lock, manifest.json, SBOM or requirements.txt, an image or container of the catalog, CHANNEL:IMAGE/OS/ARCH"
# `name==1.2 ; marker \`, as pip and uv write it.
PINNED = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*===?\s*([^\s;,\\#]+)")
LARGEST = 64 * 2**20


@dataclass(frozen=True)
class Subject:
    """What is judged: a title, its things in the engine's format, and the stack whose acceptances count."""

    title: str
    things: list[Plain] = field(default_factory=list)
    stack: str = ""


def component(name: str, version: str, source: str = "", facts: Mapping[str, Any] | None = None) -> Plain:
    """A component as a thing that advisories judge."""
    return {"kind": "component", "name": name, "version": version, "source": source, "facts": dict(facts or {})}


def _listed(kind: str, versions: Mapping[str, Any], purl: str = "") -> Iterator[Plain]:
    for name, entry in versions.items():
        version = entry.get("version") if isinstance(entry, dict) else entry
        if isinstance(version, str):
            yield {"kind": kind, "name": name, "version": version, "purl": purl.format(name=name)}


def _purl(system: LockedSystem | OperatingSystem) -> str:
    """The package URL of a system's packages, for a `{name}`."""
    kind = "deb" if system.family == "Debian" else "rpm"
    return f"pkg:{kind}/{system.purl.namespace}/{{name}}?distro={system.purl.distro}"


def of_lock(lock: Lock, title: str = "") -> Subject:
    """A lock: its components, packages and wheels."""
    things = [component(name, entry.version, entry.source, entry.facts) for name, entry in lock.components.items()]
    packages = {name: package.version for name, package in lock.packages.items()}
    packages |= {name: file.version for entry in lock.components.values() for name, file in entry.files.items()}
    things += _listed("package", packages, purl=_purl(lock.system))
    things += _listed("python", {name: wheel.version for name, wheel in lock.wheels.items()})
    return Subject(title or f"lock {lock.stack} {lock.key}", things, lock.stack)


def of_selection(selection: ImageSelection) -> Subject:
    """An image as its lock declares it, with what its base image brings."""
    return of_lock(selection.in_image, f"{selection.name} for {selection.target.key}, stack {selection.target.stack}")


def of_versions(title: str, versions: Mapping[str, str], stack: str, catalog: Catalog) -> Subject:
    """Components whose versions alone are known, as the tags of an AMI have them."""
    things = [component(name, version, "", _facts(name, version, catalog)) for name, version in versions.items()]
    return Subject(title, things, stack)


def _facts(name: str, version: str, catalog: Catalog) -> Facts:
    """The facts of the release with a version that a package database may have written."""
    number = ".".join(map(str, engine().numbers(version)))
    return release_facts(catalog.components[name], number) if name in catalog.components else {}


def of_requirements(paths: Iterable[Path], title: str = "") -> Subject:
    """The exact versions in lists of requirements; each thing names its line."""
    things, names = [], []
    for path in paths:
        names.append(str(path))
        for number, line in enumerate(_text(path).splitlines(), start=1):
            if match := PINNED.match(line):
                place = f"{path}:{number}"
                things.append({"kind": "python", "name": match[1], "version": match[2], "place": place})
    if not things:
        hint = "give a resolved list, with lines such as torch==2.15.0"
        raise UsageError("no package with an exact version is in it", place=", ".join(names), hint=hint)
    return Subject(title or ", ".join(names), things)


def of_file(path: Path, catalog: Catalog) -> Subject:
    """The lock, manifest, SBOM, doctor's record or list of requirements in `path`; UsageError if it is none of them."""
    if path.suffix in (".yml", ".yaml"):
        return of_lock(load(path), str(path))
    if path.suffix == ".txt":
        return of_requirements([path])
    if path.suffix != ".json":
        raise UsageError("not a file that can be judged", place=str(path), hint=f"give {KINDS}")
    data = read_json(path)
    if isinstance(data, dict) and data.get("bomFormat") == "CycloneDX":
        return Subject(str(path), [package for package in sbom(data) if package["kind"] != "other"])
    if isinstance(data, dict) and isinstance(data.get("observed"), dict):
        return _of_manifest(path, data, catalog)
    raise UsageError("neither a manifest nor an SBOM", place=str(path), hint=f"give {KINDS}")


def _of_manifest(path: Path, data: dict[str, Any], catalog: Catalog) -> Subject:
    """A manifest, or what `ingot-doctor --json` prints: what was observed, with the facts of releases."""
    declared = _table(data.get("declared"))
    entries = _table(declared.get("components"))
    brought = _table(data.get("brought"))
    things = []
    for name, version in data["observed"].items():
        if not isinstance(version, str) or name not in catalog.components:
            continue
        source = _table(entries.get(name)).get("source") or ("base_image" if name in brought else "")
        things.append(component(name, version, str(source), _facts(name, version, catalog)))
    system = catalog.operating_systems.get(str(declared.get("os") or data.get("os")))
    things += _listed("package", _table(data.get("packages")), _purl(system) if system else "")
    things += _listed("python", _table(data.get("wheels")))
    stack = declared.get("stack") or data.get("stack")
    return Subject(str(path), things, stack if isinstance(stack, str) else "")


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def sbom(data: Mapping[str, Any]) -> Iterator[Plain]:
    """The packages of a CycloneDX document: kind, name, version, and the package URL."""
    rows = data.get("components")
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and isinstance(row.get("name"), str) and isinstance(row.get("version"), str):
            purl = row["purl"] if isinstance(row.get("purl"), str) else ""
            types = {"pkg:pypi/": "python", "pkg:deb/": "package", "pkg:rpm/": "package"}
            kind = next((kind for start, kind in types.items() if purl.startswith(start)), "other")
            yield {"kind": kind, "name": row["name"], "version": row["version"], "purl": purl}


def _text(path: Path) -> str:
    """The text of a file that a user names; UsageError if there is none."""
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(f"larger than {LARGEST // 2**20} MiB", place=str(path), hint="is it the right file?")
        return path.read_text()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not text in UTF-8"
        raise UsageError(f"cannot be read: {reason}", place=str(path), hint=f"give {KINDS}") from None


def read_json(path: Path) -> Any:
    """The JSON document in a file that a user names; UsageError if it is none."""
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not JSON: {error}", place=str(path), hint=f"give {KINDS}") from None


def judge(
    subject: Subject, catalog: Catalog, also: Callable[[list[Plain]], list[Plain]] = list, unread: Iterable[str] = ()
) -> dict[str, Any]:
    """The report on a subject: findings, worst first, after `also` has added those of other sources; their number by
    state; and the components that cannot be judged because nothing says their version. `unread` are files that could
    not be read."""
    rules, files = engine(), plain(catalog.advisories)
    stack = catalog.stacks.get(subject.stack)
    accepted = accepts(stack) if stack else {}
    found = rules.judge(files, subject.things, accepted, today().isoformat())
    findings = sorted(also(found), key=rules.rank)
    unjudged = sorted({thing["name"] for thing in subject.things if not thing["version"] and rules.about(files, thing)})
    return {
        "subject": subject.title,
        "stack": subject.stack or None,
        "day": today().isoformat(),
        "judged": len(subject.things) - sum(not thing["version"] for thing in subject.things),
        "advisories": sum(len(file["advisories"]) for file in files),
        "open": sum(map(rules.is_open, findings)),
        "states": {state: sum(finding["state"] == state for finding in findings) for state in rules.STATES},
        "findings": findings,
        "unjudged": unjudged,
        "unread": [*unread],
    }


def of_plan(selection: ImageSelection, catalog: Catalog) -> list[Plain]:
    """The findings about an image that a plan shows."""
    found: list[Plain] = judge(of_selection(selection), catalog)["findings"]
    return found


def as_usage(error: IngotError) -> UsageError:
    """An error about what is to be judged: exit code 2, since 1 says that something was found."""
    return UsageError(error.message, place=error.place, hint=error.hint)
