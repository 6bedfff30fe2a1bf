"""Filter: which of a component's packages are not installed at exactly the pinned version."""

from __future__ import annotations

DOCUMENTATION = r"""
name: not_installed
author: Ingot (!UNKNOWN)
short_description: Packages that are not installed at exactly the pinned version
description:
  - Compares a pin's packages with what M(ingot.ml.component_facts) found installed.
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
    C(name-epoch:version-release) for dnf.
  type: list
  elements: str
"""


from collections.abc import Callable

# Between a package's name and its version.
SIGNS = {"apt": "=", "dnf": "-"}


def not_installed(pins: list[dict[str, str]], installed: dict[str, str], manager: str = "apt") -> list[str]:
    """Name and version, in the syntax of `manager`, of each pin that `installed` does not have at that version."""
    missing = [pin for pin in pins if installed.get(pin["name"]) != pin["version"]]
    return [f"{pin['name']}{SIGNS[manager]}{pin['version']}" for pin in missing]


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """By name."""
        return {"not_installed": not_installed}
