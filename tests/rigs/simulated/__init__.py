"""What the simulated vendors have: `PACKAGES` makes a package's content, `ARTIFACTS` the files that vendors publish.

A module of this package a vendor. Each states the source of what it knows; what no source says is not made up.
"""

from importlib import import_module
from pkgutil import iter_modules

from tests.rigs.packages import Artifact, Content, Wanted

PACKAGES: dict[str, Content] = {}
ARTIFACTS: dict[str, Artifact] = {}
for each in iter_modules(__path__):
    module = import_module(f"{__name__}.{each.name}")
    PACKAGES |= getattr(module, "PACKAGES", {})
    ARTIFACTS |= getattr(module, "ARTIFACTS", {})

__all__ = ["ARTIFACTS", "PACKAGES", "Artifact", "Content", "Wanted"]
