#!/usr/bin/python
"""Module: what apt or dnf would install on the host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: package_candidates
author: Ingot (!UNKNOWN)
short_description: Ask apt or dnf which packages it would install
description:
  - Returns the packages that the host's package manager would install for the named ones, dependencies included, with
    exact versions and SHA-256.
  - Does not change anything. The lists of apt have to be fresh.
options:
  names:
    description: Names of packages. Those that no repository has are returned in RV(missing).
    type: list
    elements: str
    required: true
  locked:
    description: The packages of a lock by name, with C(version) and C(sha256), to compare with.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Can run in check mode, and returns the same.
    support: full
"""

EXAMPLES = r"""
- name: Ask for the compiler
  ingot.ml.package_candidates:
    names: [gcc, make]
  register: candidates
"""

RETURN = r"""
packages:
  description: >-
    By name, what is not installed or would be upgraded, with C(version), C(origin) (the archive and suite of apt, the
    repository of dnf) and C(sha256) of the package's file, unless the repository has another kind of digest.
  returned: always
  type: dict
  sample: {chrony: {version: 4.6.1-3, origin: 'Debian:13.2/stable', sha256: 0f0e...}}
differing:
  description: The names of RV(packages) that O(locked) lacks, or has in another version or with another digest.
  returned: always
  type: list
  elements: str
missing:
  description: The names that no repository has.
  returned: always
  type: list
  elements: str
time:
  description: When the package manager was asked, in UTC, as C(20261201T120000Z).
  returned: always
  type: str
release:
  description: The release of dnf's repositories; empty with apt.
  returned: always
  type: str
  sample: 2023.12.20260706
"""

import shutil
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.ingot.ml.plugins.module_utils import candidates


def main() -> None:
    """Ask, compare and return."""
    names = {"type": "list", "elements": "str", "required": True}
    arguments = {"names": names, "locked": {"type": "dict", "default": {}}}
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    asked, locked = sorted(set(module.params["names"])), module.params["locked"]
    began, release = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), ""
    try:
        if shutil.which("apt-get"):
            packages, missing = candidates.apt(asked)
        else:
            packages, missing, release = candidates.dnf(asked)
    except (candidates.Refused, ImportError) as error:
        module.fail_json(msg=f"the package manager would not install {', '.join(asked)}: {error}")
    differing = sorted(name for name, package in packages.items() if not candidates.same(package, locked.get(name)))
    found = {"packages": packages, "differing": differing, "missing": missing}
    module.exit_json(changed=False, **found, time=began, release=release)


if __name__ == "__main__":
    main()
