"""Filter: the list of dnf's plugin versionlock with a component's packages held at the pinned versions."""

from __future__ import annotations

DOCUMENTATION = r"""
name: held
author: Ingot (!UNKNOWN)
short_description: The list of dnf's plugin versionlock with packages held at the pinned versions
description:
  - Removes entries of the same packages in other versions; leaves other entries and comments alone.
options:
  _input:
    description: The text of the list.
    type: str
    required: true
  pins:
    description: A list of dictionaries with C(name) and C(version), as P(ingot.ml.pin#lookup) returns it.
    type: list
    elements: dict
    required: true
  installed:
    description:
      - The version of each installed package, by name. A package whose pin leaves the build or the version open is held
        at this one.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show what would be held
  ansible.builtin.debug:
    msg: "{{ '' | ingot.ml.held(lookup('ingot.ml.pin', 'fabricmanager').closure) }}"
"""

RETURN = r"""
_value:
  description: The text of the list.
  type: str
"""

import re
from collections.abc import Callable

# name-epoch:version-release.arch, with a ! in front to exclude that version.
ENTRY = re.compile(r"!?(?P<name>.+)-\d+:[^-]+-[^-]+")


def held(text: str, pins: list[dict[str, str]], installed: dict[str, str] | None = None) -> str:
    """`text` with one entry for each of `pins`, and no others of the same names; correct entries keep their place."""
    names = {pin["name"] for pin in pins}
    versions = {pin["name"]: pin["version"] for pin in pins}
    for name in [name for name, version in versions.items() if not version or version.endswith("*")]:
        # Check mode has not installed it.
        versions[name] = (installed or {}).get(name) or versions[name] or "*"
    wanted = [f"{name}-{version if ':' in version else f'0:{version}'}.*" for name, version in sorted(versions.items())]
    entries = ((line, ENTRY.fullmatch(line.strip())) for line in text.splitlines())
    kept = [line for line, entry in entries if line in wanted or not entry or entry["name"] not in names]
    return "".join(f"{line}\n" for line in [*kept, *(line for line in wanted if line not in kept)])


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """By name."""
        return {"held": held}
