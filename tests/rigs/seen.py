"""What tests of roles note as they see it: how far a role has come on a system, and what it makes of a fault.

It goes into pytest's own properties of the test that runs, so that it also comes from workers; `report` prints it.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

# Internal to other roles, and to the playbook of images.
SHARED = {"component", "packages"}


class Seen:
    """What the tests of this process note, in the properties of the test that runs."""

    def __init__(self) -> None:
        self._properties: list[tuple[str, object]] = []
        self._converged: dict[str, set[str]] = defaultdict(set)

    def begin(self, item: pytest.Item) -> None:
        """Note what follows for this test."""
        self._properties = item.user_properties

    def verified(self, lock: Path, roles: Iterable[str]) -> None:
        """The suite of finished images has found nothing wrong with roles."""
        self._step(lock, roles, "verified")

    def converged(self, host: str, play: Path, lock: Path, said: str) -> None:
        """A play of roles has ended well."""
        roles = set(re.findall(r"ingot\.ml\.(\w+)", play.read_text())) - SHARED
        if "changed=0 " in said:
            self._step(lock, roles & self._converged[host], "unchanged")
        self._step(lock, roles, "converged")
        self._converged[host] |= roles

    def fault(self, role: str, fault: str, result: str) -> None:
        """What a role has made of a fault."""
        self._properties.append(("fault", [role, fault, result]))

    def _step(self, lock: Path, roles: Iterable[str], step: str) -> None:
        found = dict(re.findall(r"^(os|arch): (\w+)$", lock.read_text(), re.MULTILINE))
        system = found["os"] if found["arch"] == "x86_64" else f"{found['os']}-{found['arch']}"
        self._properties += [("role", [system, role, step]) for role in roles]


SEEN = Seen()
