"""Where Molecule's scenario `real` plays: a stock system from its maker's registry, and vendors' own hosts.

    python -m tests.real.stage start FOLDER --os al2023 --image ec2    # the roles that are not applied, then the image
    python -m tests.real.stage verify FOLDER docker://CONTAINER        # the suite of images, of the applied roles
    python -m tests.real.stage stop FOLDER

FOLDER holds the committed lock and the roles that the scenario applies: those whose vendors answer.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.lock import file as locks
from tests.real.hosts import Unreachable, answers, stock_image, vendors_of
from tests.rigs.stage import LOCK, NEVER, STATE, UNVERIFIED, verify
from tests.rigs.systems import STACK


def start(folder: Path, os_name: str, roles: list[str]) -> None:
    """Write what `verify` reads; print a line per role that is not applied, and the image's name."""
    folder.mkdir(parents=True)
    shutil.copy(paths.LOCKS / STACK / f"{os_name}-x86_64.yml", folder / LOCK)
    lock = locks.load(folder / LOCK)
    left = {role: why for role, why in NEVER.items() if role in roles}
    for role in roles:
        hosts = vendors_of(lock, role) if role in lock.components else []
        if silent := [host for host in hosts if not answers(host)]:
            left[role] = f"no answer from {', '.join(silent)}"
    mine = [role for role in roles if role not in left]
    files = [role for role in mine if role not in UNVERIFIED]
    (folder / STATE).write_text(json.dumps({"roles": mine, "left_out": left, "files": files}, indent=1))
    for role, why in left.items():
        print(f"{role} is not applied: {why}")
    print(stock_image(lock))


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["start", "verify", "stop"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("host", nargs="?", default="")
    parser.add_argument("--os", default="ubuntu2404")
    parser.add_argument("--image", default="ec2")
    given = parser.parse_args()
    folder = given.folder.absolute()
    if given.what == "start":
        try:
            start(folder, given.os, read_catalog().images[given.image].roles)
        except Unreachable as error:
            sys.exit(str(error))
    elif given.what == "verify":
        verify(folder, given.host)
    else:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
