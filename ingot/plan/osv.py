"""Reads OSV and OpenVEX documents that a user brings, and what they say of packages.

https://ossf.github.io/osv-schema/ and https://github.com/openvex/spec/blob/main/OPENVEX-SPEC.md.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from packaging.version import InvalidVersion, Version

from ingot.catalog.advisories import Plain, engine
from ingot.errors import UsageError
from ingot.plan.audit import read_json
from ingot.sources.versions import KEYS

# The ecosystems of OSV whose packages Ingot's documents have, and the type and namespace of their package URLs.
ECOSYSTEMS = {
    "PyPI": ("pypi", ""),
    "Debian": ("deb", "debian"),
    "Ubuntu": ("deb", "ubuntu"),
    "Rocky Linux": ("rpm", "rocky"),
    "Red Hat": ("rpm", "redhat"),
}
SEVERITIES = {"CRITICAL": "critical", "HIGH": "high", "MODERATE": "medium", "MEDIUM": "medium", "LOW": "low"}
STATUS = {"affected": "open", "under_investigation": "unknown", "not_affected": "accepted", "fixed": "accepted"}
PURL = re.compile(r"pkg:(\w+)/(?:([^/@?]+)/)?([^/@?]+)(?:@([^?]+))?(?:\?(.*))?")
Key = tuple[str, str]


@dataclass
class Brought:
    """What a user's documents say: findings, the statements of OpenVEX, and the files that are neither."""

    findings: list[Plain] = field(default_factory=list)
    statements: list[Plain] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def applied(self, findings: Iterable[Plain]) -> list[Plain]:
        """Findings, those of the documents too, with the state that OpenVEX gives them; a fault is told once."""
        told: dict[tuple[str, ...], Plain] = {}
        for finding in [*findings, *self.findings]:
            names = {finding["id"], *finding.get("aliases", ())}
            thing = finding["name"], finding["version"], finding["place"]
            if not any((*thing, name) in told for name in names):
                told[*thing, finding["id"]] = self._stated(finding, names)
        return [*told.values()]

    def _stated(self, finding: Plain, names: set[str]) -> Plain:
        for statement in reversed(self.statements):
            about = (finding["name"], finding["version"]) in statement["about"]
            if about and names & statement["ids"]:
                return {**finding, "state": statement["state"], "why": statement["why"], "until": ""}
        return finding


def read(paths: Sequence[Path], things: Iterable[Plain]) -> Brought:
    """What the OSV and OpenVEX files, and those in folders, say of packages.

    UsageError if a named file is neither; in a folder, such a file is listed and the others count.
    """
    brought = Brought()
    known: dict[Key, list[Plain]] = {}
    for thing in things:
        if thing["kind"] != "component" and thing["version"]:
            known.setdefault(_key(thing), []).append(thing)
    for path in paths:
        files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        if not files:
            raise UsageError("no .json file is in it", place=str(path), hint="give OSV or OpenVEX files")
        for file in files:
            try:
                _document(read_json(file), file, known, brought)
            except UsageError as error:
                if not path.is_dir():
                    raise
                brought.unread.append(f"{error.place}: {error.message}")
    return brought


def _key(thing: Plain) -> Key:
    name = engine().python_name(thing["name"]) if thing["kind"] == "python" else thing["name"]
    return ("pypi" if thing["kind"] == "python" else "package"), name


def _document(data: Any, file: Path, known: Mapping[Key, list[Plain]], brought: Brought) -> None:
    try:
        if isinstance(data, dict) and "openvex" in str(data.get("@context")):
            for statement in data["statements"]:
                _statement(statement, file, known, brought)
        elif isinstance(data, dict) and "affected" in data and "id" in data:
            if not data.get("withdrawn"):
                brought.findings += _osv(data, known)
        else:
            raise UsageError("neither OSV nor OpenVEX", place=str(file), hint="give files in one of these formats")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        message = f"not as its format asks: {type(error).__name__}: {error}"
        raise UsageError(message, place=str(file), hint="check it by the schema of its format") from None


def _osv(data: Mapping[str, Any], known: Mapping[Key, list[Plain]]) -> Iterator[Plain]:
    """The findings of one OSV document."""
    for affected in data["affected"]:
        package = affected.get("package") or {}
        ecosystem, _, release = str(package.get("ecosystem", "")).partition(":")
        if ecosystem not in ECOSYSTEMS:
            continue
        kind, namespace = ECOSYSTEMS[ecosystem]
        names = {str(package["name"])}
        # Debian and Ubuntu name source packages; Ubuntu lists the binary ones.
        for row in (affected.get("ecosystem_specific") or {}).get("binaries") or []:
            names |= {row["binary_name"]} if "binary_name" in row else set(row)
        for name in sorted(names):
            key = ("pypi", engine().python_name(name)) if kind == "pypi" else ("package", name)
            for thing in known.get(key, []):
                if kind != "pypi" and not _of_system(thing, kind, namespace, release):
                    continue
                hit, fixed = _hit(affected, thing["version"], kind)
                if hit:
                    yield _finding(data, affected, thing, fixed)


def _of_system(thing: Plain, kind: str, namespace: str, release: str) -> bool:
    """Whether a package is of the system that an ecosystem names; `purl` says which it is of."""
    match = PURL.match(thing.get("purl") or "")
    if match is None or (match[1], match[2]) != (kind, namespace):
        return False
    numbers = re.findall(r"\d+", release)
    distro = "".join(re.findall(r"\d+", dict(_qualifiers(match[5] or "")).get("distro", "")))
    # Ubuntu writes 24.04, Debian 13, Red Hat enterprise_linux:9::baseos, or nothing for all releases.
    return not numbers or not distro or distro in ("".join(numbers), numbers[0])


def _qualifiers(text: str) -> Iterator[tuple[str, str]]:
    for pair in filter(None, text.split("&")):
        name, _, value = pair.partition("=")
        yield name, unquote(value)


def _sorts(version: str, kind: str) -> Any:
    """A key that sorts versions as the package manager does."""
    if kind != "pypi":
        return KEYS["apt" if kind == "deb" else "rpm"](version)
    try:
        return Version(version)
    except InvalidVersion:
        return Version(".".join(map(str, engine().numbers(version))) or "0")


def _hit(affected: Mapping[str, Any], version: str, kind: str) -> tuple[bool, str]:
    """Whether a version is affected, and the first fixed version after it."""
    own = _sorts(version, kind)
    for ranges in affected.get("ranges") or []:
        if ranges["type"] == "GIT":
            continue
        inside = False
        for event in ranges["events"]:
            (what, bound), *_ = event.items()
            at_least = bound == "0" or own >= _sorts(bound, kind)
            if what == "introduced":
                inside = inside or at_least
            elif what == "fixed":
                if inside and not at_least:
                    return True, bound
                inside = inside and not at_least
            elif what == "last_affected":
                if inside and own <= _sorts(bound, kind):
                    return True, ""
                inside = False
        if inside:
            return True, ""
    return version in (affected.get("versions") or []), ""


def _finding(data: Mapping[str, Any], affected: Mapping[str, Any], thing: Plain, fixed: str) -> Plain:
    specific = {**(data.get("database_specific") or {}), **(affected.get("database_specific") or {})}
    aliases = [str(alias) for alias in data.get("aliases") or []]
    # A CVE is the name that everybody uses.
    name = next((alias for alias in aliases if alias.startswith("CVE-")), str(data["id"]))
    summary = str(data.get("summary") or data.get("details") or "no summary").strip().splitlines()[0][:200]
    links = [str(link["url"]) for link in data.get("references") or [] if "url" in link]
    return {
        "id": name,
        "aliases": sorted({*aliases, str(data["id"])} - {name}),
        "bulletin": "",
        "kind": "vulnerability",
        "summary": summary,
        "note": "",
        "severity": SEVERITIES.get(str(specific.get("severity", "")).upper(), "unresolved"),
        "score": None,
        "source": next(iter(links), f"https://osv.dev/vulnerability/{data['id']}"),
        "published": str(data.get("published") or "")[:10] or None,
        "name": thing["name"],
        "version": thing["version"],
        "place": thing.get("place") or "",
        "state": "open",
        "fixed": fixed,
        "why": "",
        "until": "",
    }


def _statement(statement: Mapping[str, Any], file: Path, known: Mapping[Key, list[Plain]], brought: Brought) -> None:
    """Note what one statement of OpenVEX says, and the finding of one that says `affected`."""
    vulnerability = statement["vulnerability"]
    named = vulnerability if isinstance(vulnerability, dict) else {"name": vulnerability}
    ids = {str(named["name"]), *map(str, named.get("aliases") or [])}
    products = [product for product in statement.get("products") or [] if isinstance(product, dict)]
    parts = [part for product in products for part in product.get("subcomponents") or [product]]
    things = [thing for part in parts for thing in _things(part, known)]
    reasons = (statement.get(key) for key in ("justification", "impact_statement", "action_statement"))
    why = "; ".join(str(reason) for reason in reasons if reason) or "no reason given"
    state = STATUS[statement["status"]]
    row = {
        "ids": ids,
        "about": {(thing["name"], thing["version"]) for thing in things},
        "state": state,
        "why": f"{statement['status']}, by {file.name}: {why}",
    }
    brought.statements.append(row)
    if state in ("open", "unknown"):
        data = {"id": named["name"], "aliases": sorted(ids - {named["name"]}), "summary": named.get("description")}
        brought.findings += [_finding(data, {}, thing, "") for thing in things]


def _things(part: Any, known: Mapping[Key, list[Plain]]) -> list[Plain]:
    """The packages that a product or subcomponent of OpenVEX names by its package URL."""
    urls = part if isinstance(part, dict) else {"@id": part}
    text = str((urls.get("identifiers") or {}).get("purl") or urls.get("@id") or "")
    match = PURL.match(text)
    if match is None:
        return []
    name = unquote(match[3])
    key = ("pypi", engine().python_name(name)) if match[1] == "pypi" else ("package", name)
    wanted = unquote(match[4] or "")
    return [thing for thing in known.get(key, []) if not wanted or thing["version"] == wanted]
