"""Lookup: a component's entry in the lock of the host's operating system."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pin
author: Ingot (!UNKNOWN)
short_description: The lock's entry for a component
description:
  - Returns a component's entry in the lock of the host's operating system and architecture.
  - The lock is the file that O(lock) or the variable C(ingot_lock) names; else the collection's own lock for the
    variable C(ingot_stack) (the newest stack by default) and the host's facts.
  - If the variable C(ingot_roles) lists the roles of an image, C(*) is the lock without the components and wheels of
    other roles and of C(ingot_without), which the base image brings. The entry of one of these has names of packages
    without versions, no release of a kernel, and the version that C(ingot_brought) gives, if any.
options:
  _terms:
    description: Names of components, or C(*) for the whole lock.
    type: list
    elements: str
    required: true
  lock:
    description: Path of a lock file on the controller.
    type: str
    vars:
      - name: ingot_lock
"""

EXAMPLES = r"""
- name: Show which packages make EFA
  ansible.builtin.debug:
    msg: "{{ lookup('ingot.ml.pin', 'efa').packages }}"
"""

RETURN = r"""
_raw:
  description: >-
    For each term a dictionary with C(name), C(version), C(grade) (C(digest), C(signature) or C(base)), C(source),
    C(packages) (a list of C(name) and C(version); C(1.2*) is any build of 1.2, and an empty version is any),
    C(closure) (the same with the vendor's packages that they depend on), C(wheels) (a list of C(name), C(version),
    C(filename) and C(sha256)), C(artifact) (C(url) and C(sha256) of a vendor's file), C(unpacked) (C(url) and C(sha256)
    of the package in the fact of that name, which is not in C(packages) and not installed, but unpacked), C(hold),
    C(facts), C(repositories) (the vendor's repository of the packages, if any, with C(name), C(kind), C(url),
    C(suites), C(components), C(key_url), C(key_fingerprint) and C(signs)), followed by the
    repositories of system packages that the system itself lacks, and C(missing) (the left-out parts with the reason);
    or, for a component that the operating system does not have, C(name), C(left_out) with the reason, and empty lists.
  type: list
  elements: dict
"""

import difflib
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.ingot.ml.plugins.module_utils import grades

# The names in locks of distributions that Ansible names differently.
NAMES = {"amazon": "al", "redhat": "rhel"}
LOCKS = Path(__file__).resolve().parents[2] / "locks"
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@lru_cache(maxsize=4)
def _read(path: str, changed: float) -> dict[str, Any]:
    """The lock at `path`; `changed`, its modification time, invalidates the cache."""
    lock: dict[str, Any] = yaml.load(Path(path).read_text(), Loader)
    return lock


def _own_lock(variables: dict[str, Any], stack: str | None) -> Path:
    """The collection's lock for the host that `variables` describe, of `stack` or else of the newest one."""
    facts = variables.get("ansible_facts") or {}
    try:
        name = facts["distribution"].lower()
        # Two releases of Ubuntu a year share a major version.
        version = facts["distribution_version"] if name == "ubuntu" else facts["distribution_major_version"]
        host = f"{NAMES.get(name, name)}{version.replace('.', '')}-{facts['architecture']}"
    except KeyError:
        raise AnsibleLookupError("ingot.ml.pin needs the host's facts: gather facts, or set ingot_lock") from None
    stacks = sorted(path.name for path in LOCKS.iterdir())
    stack = stack or stacks[-1]
    if stack not in stacks:
        raise AnsibleLookupError(f"unknown stack {stack}: use {', '.join(stacks)}, or set ingot_lock to a file")
    path = LOCKS / stack / f"{host}.yml"
    if not path.exists():
        available = ", ".join(sorted(file.stem for file in path.parent.glob("*.yml"))) or "none"
        raise AnsibleLookupError(
            f"stack {stack} has no lock for {host}; it has {available}. Set ingot_lock to another file."
        )
    return path


def _of(lock: dict[str, Any], roles: list[str] | None, without: list[str]) -> dict[str, Any]:
    """The part of `lock` for an image of `roles` except those in `without`; the whole lock if there is no image.

    Each component has its grade. All packages are kept: those that apt chooses in addition to the image's own also have
    the lock's version.
    """
    graded = {
        name: {**entry, "grade": grades.grade(name, entry, lock)[0]} for name, entry in lock["components"].items()
    }
    asked = {
        base: {
            **answer,
            "packages": {n: {**each, "grade": grades.asked(each)} for n, each in answer["packages"].items()},
        }
        for base, answer in lock.get("asked", {}).items()
    }
    lock = {**lock, "components": graded, "asked": asked}
    if roles is None:
        return lock
    parts = {
        key: {n: v for n, v in lock[key].items() if n.split(".")[0] in set(roles) - set(without)}
        for key in ("components", "left_out")
    }
    wheels = {name for entry in parts["components"].values() for name in entry.get("wheels", [])}
    return {**lock, **parts, "wheels": {name: wheel for name, wheel in lock["wheels"].items() if name in wheels}}


def _version(package: str, entry: dict[str, Any], exact: dict[str, Any], grade: str) -> str:
    """The version of a package: recorded, or as far as the lock knows it; a base image's own packages have any."""
    if package in exact:
        return str(exact[package]["version"])
    return str(entry.get("exact", {}).get(package, "")) if grade == grades.BASE else grades.wanted(entry, package)


def _brought(entry: dict[str, Any], version: str) -> dict[str, Any]:
    """The entry of a component that the base image brings in `version`; of packages, the names alone."""
    facts = entry.get("facts", {})
    if entry["source"] != grades.BASE_IMAGE:
        facts = {key: value for key, value in facts.items() if key != "release"}
    packages = [{"name": package, "version": ""} for package in entry.get("packages", [])]
    empty: dict[str, Any] = {"closure": [], "wheels": [], "repositories": [], "hold": False}
    return {**entry, **empty, "version": version, "facts": facts, "packages": packages}


def _entry(lock: dict[str, Any], name: str, brought: dict[str, str]) -> dict[str, Any]:
    """The entry of `lock` for component `name`; `brought` are the versions of those that the base image brings."""
    missing = {part: why for part, why in lock["left_out"].items() if part == name or part.startswith(f"{name}.")}
    if name in missing:
        empty: dict[str, Any] = {"packages": [], "closure": [], "wheels": [], "facts": {}, "repositories": []}
        return {"name": name, "left_out": missing[name], "missing": missing, **empty}
    if name not in lock["components"]:
        choices = sorted([*lock["components"], *lock["left_out"]])
        close = difflib.get_close_matches(name, choices, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise AnsibleLookupError(f"the lock has no component {name!r}; {hint}it has {', '.join(choices)}")
    entry = {"name": name, "missing": missing, "hold": False, "facts": {}, **lock["components"][name]}
    if name in brought:
        return _brought(entry, brought[name])
    grade, lacks = grades.grade(name, entry, lock)
    if grade == grades.UNRESOLVED:
        raise AnsibleLookupError(
            f"{name} of {lock['os']}-{lock['arch']} is unresolved: the lock lacks {lacks}; set the variable ingot_lock "
            "to a lock that has it"
        )
    # A vendor's packages are recorded with their component, a distribution's together.
    exact = {**entry.get("files", {}), **lock["packages"]}
    # One package may be used only for its files, because it cannot be installed next to the others.
    unpacked = entry["facts"].get("unpacked")
    names = [package for package in entry.get("packages", []) if package != unpacked]
    packages = [{"name": package, "version": _version(package, entry, exact, grade)} for package in names]
    needed = {key: file for key, file in entry.get("files", {}).items() if key not in entry.get("packages", [])}
    # The system's own, in whichever version it has.
    others = entry.get("system_packages", {})
    packages += [{"name": package, "version": ""} for package in others]
    closure = packages + [{"name": package, "version": file["version"]} for package, file in needed.items()]
    wheels = [{"name": wheel, **lock["wheels"][wheel]} for wheel in entry.get("wheels", [])]
    # The owner of the host configures the distribution's archive; a vendor's repository has an address and a key.
    vendor = lock["repositories"].get(entry["source"], {})
    sources = {entry["source"]: vendor} | {name: lock["repositories"].get(name, {}) for name in others.values()}
    repositories = [
        {"suites": [], "components": [], "signs": [], **source, "name": name}
        for name, source in sources.items()
        if source.get("url")
    ]
    if unpacked:
        file = exact[unpacked]
        entry["unpacked"] = {"url": f"{vendor['url'].rstrip('/')}/{file['path']}", "sha256": file["sha256"]}
    return {
        **entry,
        "grade": grade,
        "packages": packages,
        "closure": closure,
        "wheels": wheels,
        "repositories": repositories,
    }


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        self.set_options(var_options=variables, direct=kwargs)
        # Ansible passes variables to a plugin's options without rendering their templates.
        chosen = self._templar.template(self.get_option("lock"))
        stack = self._templar.template((variables or {}).get("ingot_stack"))
        path = Path(self._loader.path_dwim(chosen)) if chosen else _own_lock(variables or {}, stack)
        if not path.exists():
            raise AnsibleLookupError(f"lock not found: {path}")
        lock = _read(str(path), path.stat().st_mtime)
        values = variables or {}
        names = ("ingot_roles", "ingot_without", "ingot_brought")
        roles, without, brought = (self._templar.template(values.get(name)) for name in names)
        versions = {name: (brought or {}).get(name, {}).get("version", "") for name in without or []}
        return [_of(lock, roles, without or []) if term == "*" else _entry(lock, term, versions) for term in terms]
