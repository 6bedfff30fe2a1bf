"""Filter: a file of apt's sources in which one repository is disabled."""

from __future__ import annotations

DOCUMENTATION = r"""
name: apt_disabled
author: Ingot (!UNKNOWN)
short_description: A file of apt's sources in which one repository is disabled
description:
  - apt refuses to read a repository that two entries name with different keys. Where a role writes the entry, with the
    pinned key, this disables the other ones.
  - Comments entries of one line out, and sets C(Enabled) of entries of several lines; everything else stays as it is.
options:
  _input:
    description: The text of a file of C(/etc/apt/sources.list.d).
    type: str
    required: true
  repository:
    description: A repository as P(ingot.ml.pin#lookup) returns it.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what would remain
  ansible.builtin.debug:
    msg: "{{ entries | ingot.ml.apt_disabled(lookup('ingot.ml.pin', 'cuda').repositories | first) }}"
"""

RETURN = r"""
_value:
  description: The text, unchanged if it does not name the repository.
  type: str
"""

import re
from collections.abc import Callable
from typing import Any

# `deb [options] address suite components`; apt replaces $(ARCH) by the architecture's name.
LINE = re.compile(r"^\s*deb(?:-src)?\s+(?:\[[^\]]*\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)")
NOTE = "# Disabled by ingot.ml: ingot-{}.sources has this repository, with the pinned key."


def _names(uris: str, suites: str, repository: dict[str, Any]) -> bool:
    wanted = repository["url"].rstrip("/")
    patterns = [re.escape(uri.rstrip("/")).replace(re.escape("$(ARCH)"), r"\w+") for uri in uris.split()]
    mine = {suite.rstrip("/") for suite in repository["suites"] or ["/"]}
    return any(re.fullmatch(each, wanted) for each in patterns) and bool(
        mine & {suite.rstrip("/") for suite in suites.split()}
    )


def _without_line(line: str, repository: dict[str, Any]) -> str:
    entry = LINE.match(line)
    if entry and _names(entry["uri"], entry["suite"], repository):
        return f"{NOTE.format(repository['name'])}\n# {line}"
    return line


def _without_stanza(stanza: str, repository: dict[str, Any]) -> str:
    unfolded = re.sub(r"\n[ \t]+", " ", stanza)
    fields = {name.lower(): value for name, value in re.findall(r"^([\w-]+):[ \t]*(.*)$", unfolded, re.MULTILINE)}
    if fields.get("enabled", "yes").strip().lower() in ("no", "false", "0", "off", "without", "disable"):
        return stanza
    if not _names(fields.get("uris", ""), fields.get("suites", ""), repository):
        return stanza
    kept = re.sub(r"(?im)^enabled:.*\n?", "", stanza).rstrip("\n")
    return f"{NOTE.format(repository['name'])}\n{kept}\nEnabled: no"


def apt_disabled(text: str, repository: dict[str, Any]) -> str:
    """`text` without active entries of `repository`."""
    if re.search(r"(?im)^types:", text):
        return "".join(_without_stanza(stanza, repository) for stanza in re.split(r"(\n[ \t]*\n+|\n\Z)", text))
    return "".join(_without_line(line, repository) for line in text.splitlines(keepends=True))


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """By name."""
        return {"apt_disabled": apt_disabled}
