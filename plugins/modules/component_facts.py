#!/usr/bin/python
"""Module: the installed versions of Ingot's components on the host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: component_facts
author: Ingot (!UNKNOWN)
short_description: Observe which components are installed, and in which version
description:
  - Reads package databases, kernel modules, libraries and headers, in the paths of old and new installations.
  - Does not run any program or change anything.
options:
  root:
    description: The root of the file system to inspect.
    type: path
    default: /
  declared:
    description: The components of a lock, to compare with.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Can run in check mode, and returns the same.
    support: full
"""

EXAMPLES = r"""
- name: Observe the components
  ingot.ml.component_facts:

- name: Show the version of NCCL
  ansible.builtin.debug:
    var: ansible_facts.ingot_components.nccl
"""

RETURN = r"""
ansible_facts:
  description: The same as RV(observed), as the fact C(ingot_components).
  returned: always
  type: dict
  contains:
    ingot_components:
      description: Component to version, V(null) if it is absent.
      type: dict
differing:
  description: One sentence for each of O(declared) that is not there in its version.
  returned: always
  type: list
  elements: str
observed:
  description: Component to version as a lock writes it, V(null) if it is absent.
  returned: always
  type: dict
  sample: {kernel: 6.12.117, nvidia_driver: 535.274.02, neuron: null}
details:
  description: >-
    The EFA installer's version, libfabric, Open MPI, kernel releases, modules with their vermagic, and the drivers of
    which an EKS image chooses one at its first boot.
  returned: always
  type: dict
packages:
  description:
    - Package to version, for every package that dpkg or rpm has installed.
    - Unlike M(ansible.builtin.package_facts) it does not leave an apt cache behind.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ingot.ml.plugins.module_utils.component_facts import as_declared, everything


def main() -> None:
    """Observe and return."""
    arguments = {"root": {"type": "path", "default": "/"}, "declared": {"type": "dict", "default": {}}}
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    observed, details, packages = everything(module.params["root"])
    facts = {"ingot_components": observed}
    differing = [
        f"{name} is {observed.get(name) or 'absent'}, declared is {entry['version'] or 'any version'}"
        for name, entry in module.params["declared"].items()
        if not as_declared(entry, observed.get(name))
    ]
    found = {"observed": observed, "details": details, "packages": packages}
    module.exit_json(changed=False, ansible_facts=facts, differing=differing, **found)


if __name__ == "__main__":
    main()
