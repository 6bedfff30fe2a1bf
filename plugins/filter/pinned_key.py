"""Filter: one of the keys in an OpenPGP key file, as a file of its own."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pinned_key
author: Ingot (!UNKNOWN)
short_description: One of the keys in an OpenPGP key file, as a file of its own
description:
  - A vendor's file may have several keys, for example while a new key replaces the old one, and may be a page of
    documentation. Package managers trust every key that a file has; this leaves the pinned one.
options:
  _input:
    description: The file's text.
    type: str
    required: true
  fingerprint:
    description: The fingerprint of the primary key, 40 capital hexadecimal digits.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Write the pinned key
  ansible.builtin.copy:
    content: "{{ page.content | ingot.ml.pinned_key(pinned) }}"
    dest: /etc/apt/keyrings/vendor.asc
    mode: "0644"
"""

RETURN = r"""
_value:
  description: The armoured key with its subkeys and user IDs; empty if the file does not have it.
  type: str
"""

from collections.abc import Callable

from ansible_collections.ingot.ml.plugins.module_utils.openpgp import keys


def pinned_key(text: str, fingerprint: str) -> str:
    """The key of `fingerprint` in `text`."""
    return str(keys(text).get(fingerprint, ""))


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """By name."""
        return {"pinned_key": pinned_key}
