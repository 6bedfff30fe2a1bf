"""Each role of the collection from its archive, by its full name, alone on a system: it installs, or says what this
system cannot have.

Systems and vendors are simulated; what a role has is the key that signs and the lock's exact version, without digests.
"""

import re
import subprocess
from pathlib import Path

import pytest

from ingot.lock import file as locks
from tests import galaxy
from tests.galaxy import NEEDS, ROLES
from tests.rigs.later import first
from tests.rigs.locks import locked, unrecorded
from tests.rigs.places import Serve, ask
from tests.rigs.systems import SYSTEMS, container, image, playbook_command

pytestmark = [pytest.mark.docker, pytest.mark.network, pytest.mark.slow]

# What these say: of the plugin's own sources AWS has published no SHA-256, and `component` has the steps of the others.
REFUSED = {
    "aws_ofi_nccl": "aws_ofi_nccl of .* is unresolved: the lock lacks the file's SHA-256",
    "component": "ingot.ml.component holds shared steps; name one of the other roles",
}
# Vendors' systems; Debian's roles have its real archive, in other tests.
NAMES = [name for name, system in SYSTEMS.items() if not system.real]


@pytest.fixture(scope="module")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the collection from its archive, and nothing else."""
    home = tmp_path_factory.mktemp("collections")
    galaxy.installed(galaxy.archive(tmp_path_factory.mktemp("archive")), home)
    return home


def play(host: str, roles: list[str], lock: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Apply roles of the collection below `home`, from a folder that has nothing of this checkout."""
    file = home / f"{host}.yml"
    file.write_text("- hosts: all\n  roles:\n" + "".join(f"    - ingot.ml.{role}\n" for role in roles))
    process = playbook_command(host, file, lock)
    process["env"]["ANSIBLE_COLLECTIONS_PATH"] = str(home)
    return subprocess.run(**process, cwd=home, capture_output=True, text=True, check=False)


def sentence(printed: str) -> str:
    """The message of the task that failed."""
    found = re.search(r'"msg": "(.+?)"}?$', printed, re.MULTILINE)
    return found[1] if found else printed[-4000:]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", NAMES)
def test_a_role_installs_or_says_what_the_system_cannot_have(
    name: str, role: str, serve: Serve, collections: Path
) -> None:
    vendors = serve(first(locked(name)))
    lock = unrecorded(vendors.lock, *(set(vendors.lock.components) & set(ROLES)))
    file = vendors.folder / "signed.yml"
    file.write_text(locks.dump(lock))
    with container(image(name)) as host:
        ask(host, "rm -r /lib/modules/*")
        done = play(host, [*NEEDS.get(role, []), role], file, collections)
        if role in REFUSED:
            assert done.returncode != 0
            assert re.search(REFUSED[role], sentence(done.stdout)), done.stdout[-4000:]
            return
        assert done.returncode == 0, sentence(done.stdout)
        again = play(host, [*NEEDS.get(role, []), role], file, collections)
        assert "changed=0 " in again.stdout, again.stdout[-6000:]
