"""Filter: which of a component's packages are not installed at exactly the pinned version."""

from __future__ import annotations

DOCUMENTATION = r"""
name: not_installed
author: Ingot
short_description: Packages that are not installed at exactly the pinned version
description:
  - Compares a pin's packages with the fact C(packages) of M(ansible.builtin.package_facts).
options:
  _input:
    description: A list of dictionaries with C(name) and C(version), as P(ingot.ml.pin#lookup) returns it.
    type: list
    elements: dict
    required: true
  installed:
    description: The fact C(packages).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what is missing
  ansible.builtin.debug:
    msg: "{{ lookup('ingot.ml.pin', 'efa').packages | ingot.ml.not_installed(ansible_facts.packages) }}"
"""

RETURN = r"""
_value:
  description: C(name=version) of each package that is missing or has another version, as apt takes it.
  type: list
  elements: str
"""


def not_installed(pins, installed):
    """`name=version` of each pin that `installed` does not have at that version."""
    return [
        f"{pin['name']}={pin['version']}"
        for pin in pins
        if pin["version"] not in [found["version"] for found in installed.get(pin["name"], [])]
    ]


class FilterModule:
    """The filters of this file."""

    def filters(self):
        """By name."""
        return {"not_installed": not_installed}
