"""Where Molecule's scenarios play: vendors that serve until they are stopped, and the image of a container's system.

    python -m tests.rigs.stage start FOLDER --os al2023 --image ec2    # the roles without a simulation, then the image
    python -m tests.rigs.stage verify FOLDER docker://CONTAINER        # the suite of images, of the applied roles
    python -m tests.rigs.stage stop FOLDER

FOLDER holds the lock as recorded from the vendors, and the roles that the scenario applies.
"""

import argparse
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.lock import file as locks
from ingot.model.lock import Lock
from tests.rigs.later import first, newer
from tests.rigs.simulated import ARTIFACTS
from tests.rigs.simulated.lustre import CLIENT
from tests.rigs.suite import suite
from tests.rigs.systems import SYSTEMS, gateway, image, made
from tests.rigs.vendors import serving

READY = "ready\n"
STATE, LOCK, NEWER, LOG = "stage.json", "lock.yml", "newer.yml", "vendors.log"
# Roles that no scenario applies, and files of the suite that none runs, with the reason.
NEVER = {"base": "a bare machine's packages are the distribution's, and the container is no bare machine"}
UNVERIFIED = {"kernel": "the simulated one has no drivers of disks, by which a machine finds its own"}
# The rig's own kernel would be a second one; and Debian's loader looks where systems of rpm have libraries.
BARE = "rm -rf /lib/modules/* /boot/*\necho /usr/lib64 >/etc/ld.so.conf.d/simulated.conf\n"
# What a lock cannot know, as only the vendor's index tells: a version for the rig.
VERSIONS = {"lustre": CLIENT}


def simulated(name: str) -> Lock:
    """A system's newest lock, with a kernel that the archive has, and versions where the lock knows none."""
    stack = max(path.name for path in paths.LOCKS.iterdir())
    lock = locks.load(paths.LOCKS / stack / f"{name}-x86_64.yml")
    known = {
        part: entry.model_copy(update={"version": entry.version or VERSIONS.get(part, "")})
        for part, entry in lock.components.items()
    }
    return first(lock.model_copy(update={"components": known}))


def missing(lock: Lock, role: str) -> str:
    """Why the rig cannot have a role's component on the lock's system; empty where it can."""
    if role in NEVER:
        return NEVER[role]
    entry = lock.components.get(role)
    if entry is None:
        return ""
    if entry.artifact:
        return "" if role in ARTIFACTS else "the rig does not know what is in its vendor's file"
    row = lock.repositories.get(entry.source)
    if not row or not row.url or (entry.source == "distribution" and role != "kernel"):
        return f"its packages are of the archive of {lock.os}, which the rig has not"
    return "" if entry.version else "the lock does not know its version"


def serve(folder: Path, os_name: str, roles: list[str], tell: int, *, later: bool) -> None:
    """Serve what the roles need until SIGTERM; say so on the descriptor `tell` when all of it is there."""
    lock = simulated(os_name)
    left = {role: why for role in roles if (why := missing(lock, role))}
    mine = [role for role in roles if role not in left]
    parts = [role for role in mine if role in lock.components]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with serving(lock, parts, folder / "vendors", gateway()) as vendors:
        (folder / LOCK).write_text(locks.dump(vendors.lock))
        if later:
            held = [part for part in parts if lock.components[part].hold or lock.components[part].artifact]
            (folder / NEWER).write_text(locks.dump(vendors.publish(newer(lock, *parts))))
            (folder / "older.yml").write_text(locks.dump(vendors.lock))
            # An upgrade moves the others, by which it is seen to be one.
            files = [*held, "held"]
        else:
            files = mine
        files = [name for name in files if name not in UNVERIFIED]
        state = {"pid": os.getpid(), "roles": mine, "left_out": left, "files": files}
        state["image"] = made(image(os_name), BARE, f"{os_name}-bare")
        (folder / STATE).write_text(json.dumps(state, indent=1))
        with os.fdopen(tell, "w") as told:
            told.write(READY)
        signal.pause()


def start(folder: Path, words: list[str]) -> None:
    """Start the vendors beside this process, and wait until they serve or have failed."""
    folder.mkdir(parents=True)
    readable, writable = os.pipe()
    command = [sys.executable, "-m", "tests.rigs.stage", "serve", str(folder), f"--tell={writable}", *words]
    with (folder / LOG).open("w") as log:
        subprocess.Popen(
            command,
            cwd=paths.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[writable],
            start_new_session=True,
        )
    os.close(writable)
    with os.fdopen(readable) as told:
        if told.read(len(READY)) != READY:
            sys.exit((folder / LOG).read_text())
    state = json.loads((folder / STATE).read_text())
    for role, why in (state["left_out"] | UNVERIFIED).items():
        print(f"{role} is not {'applied' if role in state['left_out'] else 'verified'}: {why}")
    print(state["image"])


def stop(folder: Path) -> None:
    """Stop the vendors, if there are any, and remove the folder."""
    if (folder / STATE).exists():
        pid = json.loads((folder / STATE).read_text())["pid"]
        # A number that belongs to another process by now is left alone.
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            if str(folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                process = os.pidfd_open(pid)
                os.kill(pid, signal.SIGTERM)
                select.select([process], [], [])
                os.close(process)
    shutil.rmtree(folder, ignore_errors=True)


def verify(folder: Path, host: str) -> None:
    """Run the suite; its exit code."""
    state = json.loads((folder / STATE).read_text())
    done = suite(host.removeprefix("docker://"), folder / LOCK, state["roles"], state["files"])
    print(done.stdout, done.stderr)
    sys.exit(done.returncode)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["start", "serve", "verify", "stop"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("host", nargs="?", default="")
    parser.add_argument("--os", default="ubuntu2404", choices=list(SYSTEMS))
    parser.add_argument("--image", default="ec2")
    parser.add_argument("--roles", default="", help="instead of the image's: a,b,c")
    parser.add_argument("--later", action="store_true", help="publish the next versions too, as newer.yml has them")
    parser.add_argument("--tell", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    folder = given.folder.absolute()
    if given.what == "serve":
        roles = given.roles.split(",") if given.roles else read_catalog().images[given.image].roles
        serve(folder, given.os, roles, given.tell, later=given.later)
    elif given.what == "start":
        more = ["--later"] if given.later else []
        start(folder, [f"--os={given.os}", f"--image={given.image}", f"--roles={given.roles}", *more])
    elif given.what == "verify":
        verify(folder, given.host)
    else:
        stop(folder)


if __name__ == "__main__":
    main()
