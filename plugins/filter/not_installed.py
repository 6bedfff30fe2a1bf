"""Filter: which of a component's packages are not installed at the pinned version."""

from __future__ import annotations

DOCUMENTATION = r"""
name: not_installed
author: Ingot (!UNKNOWN)
short_description: Packages that are not installed at the pinned version
description:
  - Compares a pin's packages with what M(ingot.ml.component_facts) found installed.
  - A version that ends in C(*) is any build of it, and an empty one is any version.
options:
  _input:
    description: A list of dictionaries with C(name) and C(version), as P(ingot.ml.pin#lookup) returns it.
    type: list
    elements: dict
    required: true
  installed:
    description: The version of each installed package, by name.
    type: dict
    required: true
  manager:
    description: The package manager that installs them.
    type: str
    choices: [apt, dnf]
    default: apt
"""

EXAMPLES = r"""
- name: Show what is missing
  ansible.builtin.debug:
    msg: "{{ lookup('ingot.ml.pin', 'efa').packages | ingot.ml.not_installed(observed.packages) }}"
"""

RETURN = r"""
_value:
  description: >-
    Each package that is missing or has another version, in the package manager's syntax: C(name=version), or
    C(name-epoch:version-release) for dnf. C(name) alone if any version will do, C(name=version*) or C(name-version) if
    any build will.
  type: list
  elements: str
"""


from collections.abc import Callable

from ansible_collections.ingot.ml.plugins.module_utils.grades import fits

# Between a package's name and its version.
SIGNS = {"apt": "=", "dnf": "-"}


def not_installed(pins: list[dict[str, str]], installed: dict[str, str], manager: str = "apt") -> list[str]:
    """Name and version, in the syntax of `manager`, of each pin that `installed` does not have at that version."""
    missing = [pin for pin in pins if not fits(installed.get(pin["name"]), pin["version"])]
    return [_asked(pin["name"], pin["version"], manager) for pin in missing]


def _asked(name: str, version: str, manager: str) -> str:
    # To dnf, a name and a version are all builds in all epochs.
    version = version.rstrip("*") if manager == "dnf" else version
    return f"{name}{SIGNS[manager]}{version}" if version else name


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """By name."""
        return {"not_installed": not_installed}
