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
from ansible_collections.ingot.ml.plugins.module_utils.component_facts import everything


def main() -> None:
    """Observe and return."""
    arguments = {"root": {"type": "path", "default": "/"}}
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    observed, details, packages = everything(module.params["root"])
    facts = {"ingot_components": observed}
    module.exit_json(changed=False, ansible_facts=facts, observed=observed, details=details, packages=packages)


if __name__ == "__main__":
    main()
