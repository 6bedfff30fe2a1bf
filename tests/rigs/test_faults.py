"""Every role that takes something from a vendor, and every fault that applies to it: refused in words that name the
component and its file, nothing left half-done, and the next run succeeds. A fault that passes by itself is got over.

All faults of a role happen in one container, one after another, and the good run that ends them is a role's proof.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from difflib import ndiff
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from ingot.lock import file as locks
from ingot.model.lock import Lock
from tests.rigs import systems
from tests.rigs.faults import ANSWERS, PASSING, Fault
from tests.rigs.kernels import with_kernel
from tests.rigs.locks import locked, with_client
from tests.rigs.seen import SEEN
from tests.rigs.simulated.open_mpi import OPEN_MPI
from tests.rigs.systems import SYSTEMS, container, docker, gateway, image
from tests.rigs.vendors import Vendors, serving
from tests.signing import Key

pytestmark = [pytest.mark.docker, pytest.mark.network]

# Answered to whoever asks again.
ALWAYS = 99
# Ansible fetches apt's lists five times, and waits for half a minute in all; here once, and apt itself is as it is.
PATIENCE = "{ansible.builtin.apt: {update_cache_retries: 1}}"
# Folders that a test fills: where a vendor's files lie for a moment, and where every package has a file.
SMALL = ("/dev/shm", "/usr/share/doc")
CACHE = ("/var/cache",)
FILL = 'for place do dd if=/dev/zero "of=$place/fill" bs=64k 2>/dev/null || true; done'
# What has been fetched meanwhile would not be asked for again.
FREE = "for place do rm -f \"$place/fill\"; done; find /var/cache '(' -name '*.deb' -o -name '*.rpm' ')' -delete"
# Holds what apt and dpkg lock, or says to dnf that another holds it, and lets go of it after a while: both ask again
# and again, so that nobody is seen to wait for it.
HOLDS = {
    "apt": """import fcntl, time
files = [open(f'/var/lib/{each}', 'w') for each in ('dpkg/lock-frontend', 'dpkg/lock', 'apt/lists/lock')]
[fcntl.lockf(file, fcntl.LOCK_EX) for file in files]
open('/run/held', 'w').close()
time.sleep(8)
""",
    "rpm": """import os, pathlib, time
file = pathlib.Path('/var/cache/dnf/metadata_lock.pid')
file.parent.mkdir(exist_ok=True)
file.write_text(str(os.getpid()))
open('/run/held', 'w').close()
time.sleep(8)
file.unlink()
""",
}
HOLD = 'rm -f /run/held; python3 -c "$1" & while [ ! -e /run/held ]; do :; done'
# What a role has in places of its own, which packages that it is built with stay out of; its packages; and packages
# that are half there. DKMS' settings come before what it builds.
STATE = """
find /opt /usr/local /usr/src /var/lib/dkms /var/tmp /dev/shm/ingot-files /etc/apt/preferences.d /etc/dkms \\
  /etc/grafana /etc/prometheus \\
  -mindepth 1 ! -name '*.pyc' ! -name __pycache__ ! -path '/usr/local/lib/python*' ! -path '/etc/dkms/framework*' \\
  2>/dev/null | sort || true
if [ -e /var/lib/dpkg/status ]; then
  dpkg-query -W -f '${Package} ${db:Status-Status}\\n' | grep -E "^($1) | (unpacked|half|trigger)" || true
else rpm -qa --qf '%{NAME} installed\\n' | grep -E "^($1) " || true; fi
"""
EFA = "mkdir -p /opt/amazon/efa/include/rdma /usr/local/cuda/include; "
EFA += "touch /opt/amazon/efa/include/rdma/fabric.h /usr/local/cuda/include/cuda.h"


@dataclass(frozen=True)
class Row:
    """A role on a system: with which variables it is applied, what is there before (roles, and what a script
    makes), and which folders become full.
    """

    role: str
    system: str = "ubuntu2404"
    given: dict[str, Any] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    script: str = "true"
    small: tuple[str, ...] = SMALL

    def __str__(self) -> str:
        return self.role if self.system == "ubuntu2404" else f"{self.role}-{self.system}"


ROWS = [
    Row("imex"),
    Row("node_exporter"),
]
MORE = [
    Row("aws_cli"),
    Row("aws_ofi_nccl", script=EFA, small=CACHE),
    Row("cloudwatch_agent"),
    Row("cuda"),
    Row("dcgm"),
    Row("dcgm", "rocky9"),
    Row("dcgm_exporter"),
    Row("docker"),
    Row("efa", small=CACHE),
    Row("enroot"),
    Row("fabricmanager"),
    Row("fabricmanager", "rhel9"),
    Row("gdrcopy", given={"gdrcopy_kmod": False}),
    Row("grafana"),
    Row("imex", "al2023"),
    Row("lustre"),
    Row("nccl"),
    Row("nccl_tests", before=("cuda", "nccl"), script=OPEN_MPI),
    Row("neuron", given={"neuron_kmod": False}),
    Row("nvidia_container_toolkit"),
    Row("nvidia_driver"),
    Row("nvlsm"),
    Row("prometheus"),
    Row("pyxis", before=("slurm",)),
    Row("slurm"),
    Row("ssm_agent"),
]
every = pytest.mark.parametrize("row", [*ROWS, *(pytest.param(row, marks=pytest.mark.slow) for row in MORE)], ids=str)


class Rig:
    """A role's vendors and a container, with what happens to them."""

    def __init__(self, row: Row, vendors: Vendors, host: str, folder: Path) -> None:
        self.row, self.vendors, self.host, self.folder = row, vendors, host, folder
        self.entry = vendors.lock.components[row.role]
        self.repository = vendors.lock.repositories.get(self.entry.source)
        # apt asks for a package by its name and version, dnf by a file of that name.
        self.files = [self.entry.artifact.url.rpartition("/")[2]] if self.entry.artifact else [self.suffix]
        self.words = [*self.files, *self.entry.packages] if self.entry.artifact is None else self.files
        self.words = [each for each in self.words if each != self.suffix] or self.entry.packages
        # How the last fault has changed what there is.
        self.left = ""

    @property
    def suffix(self) -> str:
        """The end of a package's file."""
        return ".deb" if SYSTEMS[self.row.system].kind == "apt" else ".rpm"

    @property
    def index(self) -> str:
        """What the vendor's key signs."""
        return "InRelease" if self.suffix == ".deb" else "repomd.xml.asc"

    def signed(self, key: Key) -> bytes:
        """The index of the repository, or the signature of the file, as another key signs it."""
        if self.entry.artifact:
            return key.detached((self.vendors.folder / "served" / "files" / self.row.role / self.files[0]).read_bytes())
        folder = self.vendors.folder / "served" / self.entry.source
        if self.suffix == ".rpm":
            return key.detached((folder / "repodata" / "repomd.xml").read_bytes())
        text = next(folder.rglob("InRelease")).read_text()
        return key.signed(text.split("\n\n", 1)[1].split("-----BEGIN PGP SIGNATURE", 1)[0].encode())

    @property
    def signs(self) -> bool:
        """Whether the vendor signs what the role takes."""
        return bool(self.repository or (self.entry.artifact and self.entry.artifact.key_fingerprint))

    @property
    def signature(self) -> str:
        """The path of what is signed."""
        return f"{self.files[0]}.sig" if self.entry.artifact else self.index

    @property
    def key(self) -> str:
        """The path of the vendor's key."""
        return self.entry.artifact.key_url.rpartition("/")[2] if self.entry.artifact else "/key.asc"

    def lock(self, name: str, change: Callable[[Lock], Lock]) -> Path:
        """Another lock than the vendors'."""
        file = self.folder / f"{name}.yml"
        file.write_text(locks.dump(change(self.vendors.lock)))
        return file

    def pinned(self, fingerprint: str) -> Path:
        """The lock with another key."""

        def change(lock: Lock) -> Lock:
            if self.repository:
                row = self.repository.model_copy(update={"key_fingerprint": fingerprint})
                return lock.model_copy(update={"repositories": {**lock.repositories, self.entry.source: row}})
            assert self.entry.artifact
            artifact = self.entry.artifact.model_copy(update={"key_fingerprint": fingerprint})
            parts = {**lock.components, self.row.role: self.entry.model_copy(update={"artifact": artifact})}
            return lock.model_copy(update={"components": parts})

        return self.lock("pinned", change)

    def gone(self) -> Path:
        """The lock with versions that the repository does not have any more."""

        def change(lock: Lock) -> Lock:
            files = {
                name: file.model_copy(update={"version": f"{file.version.rpartition(':')[0] or 0}:0.0.1-1"})
                for name, file in self.entry.files.items()
            }
            entry = self.entry.model_copy(update={"files": files})
            return lock.model_copy(update={"components": {**lock.components, self.row.role: entry}})

        return self.lock("gone", change)

    def command(self, lock: Path | None = None, *roles: str, patience: str = PATIENCE) -> dict[str, Any]:
        """How the role is applied; that the container is the same is known, what it is need not be asked again."""
        play = self.folder / "play.yml"
        listed = ", ".join(f"ingot.ml.{each}" for each in roles or [self.row.role])
        play.write_text(f"- hosts: all\n  module_defaults: {patience}\n  roles: [{listed}]\n")
        process = systems.playbook_command(self.host, play, lock or self.vendors.lock_file, self.row.given)
        remembers = {"ANSIBLE_CACHE_PLUGIN": "jsonfile", "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(self.folder / "facts")}
        process["env"] |= {**remembers, "ANSIBLE_GATHERING": "smart"}
        return process

    def apply(
        self, lock: Path | None = None, *roles: str, patience: str = PATIENCE
    ) -> subprocess.CompletedProcess[str]:
        """Apply the role; what Ansible says."""
        process = self.command(lock, *roles, patience=patience)
        return subprocess.run(**process, capture_output=True, text=True, check=False)

    def state(self) -> str:
        """What there is of the role, and of half of anything."""
        names = "|".join([*self.entry.files, self.row.role])
        return docker("exec", self.host, "sh", "-euc", STATE, "sh", names)

    def judged(self, done: subprocess.CompletedProcess[str], before: str) -> str:
        """What the role has made of a fault that nothing can be done about."""
        if done.returncode == 0:
            return "SILENT"
        said = " ".join(done.stdout.split())
        named = self.row.role in said and any(word in said for word in [*self.words, self.entry.source])
        after = self.state()
        self.left = "\n".join(line for line in ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-")
        if not named or "Traceback" in said:
            return "UNCLEAR"
        return "R" if after == before else "LEFT"


@pytest.fixture
def rig(row: Row, tmp_path: Path) -> Iterator[Rig]:
    """The vendors of a role, and a container with what it needs."""
    lock = with_kernel(locked(row.system))
    if row.role == "lustre":
        lock = with_client(lock)
    given = {"kernel": lock.components["kernel"]}
    with (
        serving(lock, [row.role, *row.before], tmp_path / "vendors", gateway(), given) as vendors,
        container(image(row.system), *(f"--tmpfs={each}:size=256m,exec" for each in row.small)) as host,
    ):
        docker("exec", host, "sh", "-euc", row.script)
        made = Rig(row, vendors, host, tmp_path)
        if row.before:
            done = made.apply(None, *row.before)
            assert done.returncode == 0, done.stdout
        yield made


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Key]:
    """Another key than the vendor's."""
    with Key(tmp_path / "other") as key:
        yield key


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Key]:
    """A key that has expired."""
    with Key(tmp_path / "old", expired=True) as key:
        yield key


@every
def test_no_fault_of_a_vendor_passes_in_silence(rig: Rig, other: Key, old: Key) -> None:
    packaged = rig.entry.artifact is None
    mine = rig.vendors.lock_file
    # What is answered, and the lock: first what is refused of a key, which is not asked for again once it is trusted.
    many: dict[str, tuple[dict[str, Fault], Path]] = {}
    if rig.signs:
        many["key"] = ({rig.key: other.public}, mine)
        many["signer"] = ({rig.signature: rig.signed(other)}, mine)
        # apt of Debian 13, which stands for Ubuntu's, takes what a key has signed while it was valid.
        if rig.entry.artifact or rig.suffix == ".rpm":
            many["expired"] = ({rig.key: old.public, rig.signature: rig.signed(old)}, rig.pinned(old.fingerprint))
    for fault, answer in ANSWERS.items():
        many[fault] = (dict.fromkeys(rig.files, answer), mine)
    if packaged:
        many["vanished"] = ({}, rig.gone())
    results, said = {}, {}

    def is_(fault: str, result: str) -> None:
        results[fault] = result
        SEEN.fault(str(rig.row), fault, result)

    def refused(fault: str, lock: Path | None = None) -> None:
        before = rig.state()
        done = rig.apply(lock)
        said[fault] = done.stdout + done.stderr
        answers = rig.vendors.faults.values()
        met = not answers or any(len(each) < ALWAYS for each in answers)
        is_(fault, rig.judged(done, before) if met else "UNMET")
        said[fault] += rig.left
        rig.vendors.faults.clear()

    for fault, (answers, lock) in many.items():
        rig.vendors.faults |= {path: [answer] * ALWAYS for path, answer in answers.items()}
        refused(fault, lock)
    docker("exec", rig.host, "sh", "-euc", FILL, "sh", *rig.row.small)
    refused("full")
    docker("exec", rig.host, "sh", "-euc", FREE, "sh", *rig.row.small)
    is_("killed", killed(rig))

    # Whoever is busy, slow or breaks off is asked again, and a package manager that is busy is waited for.
    for path in rig.files:
        rig.vendors.faults[path] = list(PASSING.values())
    if rig.entry.artifact and rig.signs:
        rig.vendors.faults |= {rig.key: ["reset"], rig.signature: ["reset"]}
    passing = list(PASSING)
    if packaged or rig.files[0].endswith((".deb", ".rpm")):
        docker("exec", "-d", rig.host, "sh", "-euc", HOLD, "sh", HOLDS[SYSTEMS[rig.row.system].kind])
        passing.append("lock")
    done = rig.apply(patience="{}")
    said["500"] = f"{done.stdout}{done.stderr}{rig.vendors.faults}"
    mended = done.returncode == 0 and not any(rig.vendors.faults.values())
    for fault in passing:
        is_(fault, "M" if mended else "FAILED")
    bad = {fault: result for fault, result in results.items() if result not in ("R", "M")}
    assert bad == {}, "\n".join(f"== {fault}: {bad[fault]}\n{said.get(fault, '')[-2500:]}" for fault in bad)


def killed(rig: Rig) -> str:
    """Kill Ansible while it fetches, as a machine that stops does; what is there then is for the next run."""
    running: list[subprocess.Popen[bytes]] = []
    restarted = Event()

    def kill() -> None:
        os.killpg(running[0].pid, signal.SIGKILL)
        # Mitogen has put some of its processes into groups of their own.
        subprocess.run(["pkill", "-KILL", "-f", f"ansible-playbook -i {rig.host},"], check=False)
        # What Ansible has started in the container goes with it.
        docker("restart", "--time=0", rig.host)
        restarted.set()

    rig.vendors.faults[rig.files[0]] = [kill]
    command = rig.command()
    with (rig.folder / "killed").open("wb") as said:
        running.append(subprocess.Popen(**command, stdout=said, stderr=said, start_new_session=True))
        code = running[0].wait()
    if code == -signal.SIGKILL:
        restarted.wait()
    rig.vendors.faults.clear()
    return "M" if code == -signal.SIGKILL else "SILENT"


# As another role, or a vendor's installer, does in the same play.
MEANWHILE = """- hosts: all
  tasks:
    - ansible.builtin.include_role: {{name: ingot.ml.component, tasks_from: check_packages}}
    - ansible.builtin.apt: {{name: bc, update_cache: true}}
    - ansible.builtin.command: {{argv: [sh, -euc, '{fill}', sh, {small}]}}
    - ansible.builtin.include_role: {{name: ingot.ml.docker}}
"""


@pytest.mark.slow
@pytest.mark.parametrize("row", [Row("docker")], ids=str)
def test_what_another_has_installed_meanwhile_is_not_undone(rig: Rig) -> None:
    play = rig.folder / "meanwhile.yml"
    play.write_text(MEANWHILE.format(fill=FILL.replace("'", "''"), small=", ".join(rig.row.small)))
    before = rig.state()
    done = systems.run_playbook(rig.host, play, rig.vendors.lock_file)
    assert "docker: " in done.stdout
    assert done.returncode != 0
    assert rig.state() == before
    assert docker("exec", rig.host, "dpkg-query", "-W", "-f", "${db:Status-Status}", "bc") == "installed"
