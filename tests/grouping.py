"""Which tests one worker runs after one another, where there are several."""

import re
from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling

from tests.rigs.systems import SYSTEMS

# Modules of tests/e2e that build machine images.
BUILDS = ("test_faults", "test_local_build", "test_mirror")


class Grouped(LoadScopeScheduling):
    """Decides which tests one worker runs after one another, where there are several (`--dist loadgroup`).

    Those of a module do, and in tests/rigs those of a module and a system, for which something is served, but for two
    modules in which each test is alone. Those that build machine images share the images' names and locks, those of
    tests/containers the names of what they build. By the names of tests, because marks of a group do not reach xdist
    3.8 from pytest 9.2. Review 2027-02-01.
    """

    def _split_scope(self, nodeid: str) -> str:
        path, _, name = nodeid.partition("::")
        module = PurePosixPath(path)
        if module.parent.name == "containers" or (module.parent.name == "e2e" and module.stem in BUILDS):
            return module.parent.name
        if module.parent.name != "rigs":
            return path
        if module.stem in ("test_faults", "test_matrix"):
            return nodeid
        system = next((each for each in re.split(r"[\[\]-]", name) if each in SYSTEMS), "")
        return f"{module.stem}-{system}"
