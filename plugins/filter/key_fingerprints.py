"""Filter: the fingerprints of the primary keys in an OpenPGP key file."""

from __future__ import annotations

DOCUMENTATION = r"""
name: key_fingerprints
author: Ingot (!UNKNOWN)
short_description: Fingerprints of the primary keys in an OpenPGP key file
description:
  - Reads an ASCII-armoured key file, or a page with keys in it, without a keyring or a program, so that a key can be
    checked before it is trusted.
  - Supports version 4 keys, which package vendors use.
options:
  _input:
    description: The file's text.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse a key file without the pinned key
  ansible.builtin.assert:
    that: pinned in key.content | ingot.ml.key_fingerprints
"""

RETURN = r"""
_value:
  description: The fingerprints in the file's order, 40 capital hexadecimal digits each; empty if it is not a key file.
  type: list
  elements: str
"""

from collections.abc import Callable

from ansible_collections.ingot.ml.plugins.module_utils.openpgp import keys


def key_fingerprints(text: str) -> list[str]:
    """The fingerprints of the primary keys in `text`."""
    return list(keys(text))


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """By name."""
        return {"key_fingerprints": key_fingerprints}
