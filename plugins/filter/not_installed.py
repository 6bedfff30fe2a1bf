"""Filter: which of a component's packages are not installed at exactly the pinned version."""

from __future__ import annotations

DOCUMENTATION = r"""
name: not_installed
author: Ingot
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
"""

EXAMPLES = r"""
- name: Show what is missing
  ansible.builtin.debug:
    msg: "{{ lookup('ingot.ml.pin', 'efa').packages | ingot.ml.not_installed(observed.packages) }}"
"""

RETURN = r"""
_value:
  description: C(name=version) of each package that is missing or has another version, as apt takes it.
  type: list
  elements: str
"""


def not_installed(pins, installed):
    """`name=version` of each pin that `installed` does not have at that version."""
    return [f"{pin['name']}={pin['version']}" for pin in pins if installed.get(pin["name"]) != pin["version"]]


class FilterModule:
    """The filters of this file."""

    def filters(self):
        """By name."""
        return {"not_installed": not_installed}
