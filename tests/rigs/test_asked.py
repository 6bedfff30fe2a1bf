"""What a base image's package manager says goes into the lock before roles run, and roles install exactly that, also
when the system's archive has moved on and its distribution keeps it by date.

The archives are simulated, with packages that install; apt, its signatures and its choice between archives are real.
"""

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ingot import paths
from ingot.errors import IngotError
from ingot.lock import asked
from ingot.lock import file as locks
from ingot.model.image import Image
from ingot.model.lock import Lock, RecordedImage
from ingot.model.system import Snapshot
from ingot.model.target import ImageSelection, Target
from tests.rigs.locks import locked, with_entry
from tests.rigs.packages import Package, Wanted, control, deb_name, script, tools
from tests.rigs.places import ask
from tests.rigs.systems import container, docker, gateway, image, run_playbook, tools_image
from tests.serving import Folder, answering
from tests.signing import Key

pytestmark = [pytest.mark.docker, pytest.mark.network]

PLAYS = paths.ROOT / "playbooks"
KEYRING = "/usr/share/keyrings/rig.asc"
# A name of this machine by which a system knows its dated archive.
DATED_HOST = "dated.rig"
NAME = "rig-tool"
BASE = RecordedImage(name="simulated-base-20261101", owner="123456789012", created=date(2026, 11, 1))


@dataclass
class Archives:
    """An Ubuntu whose live archive has one version of a package, and whose dated archives have what it had once."""

    folder: Path
    url: str
    key: Key
    host: str
    lock: Lock
    made: dict[str, Path] = field(default_factory=dict)

    def publish(self, place: str, version: str) -> None:
        """Let the archive at `place` have a version of the package and no other."""
        wanted, package = Wanted(NAME, version, "apt", self.lock), Package(files={f"usr/share/{NAME}": version})
        work = self.folder / "work" / version
        if version not in self.made:
            work.mkdir(parents=True)
            tools(tools_image(), self.folder, "x86_64")(script(wanted, package, work), work)
            self.made[version] = work / deb_name(wanted)
        content = self.made[version].read_bytes()
        root = self.folder / "served" / place
        pool, index = root / "pool", root / "dists" / "noble" / "main" / "binary-amd64"
        pool.mkdir(parents=True, exist_ok=True)
        index.mkdir(parents=True, exist_ok=True)
        (pool / self.made[version].name).write_bytes(content)
        file = f"Filename: pool/{self.made[version].name}\nSize: {len(content)}\n"
        listed = (control(wanted, package) + file + f"SHA256: {hashlib.sha256(content).hexdigest()}\n").encode()
        rows = []
        for name, text in (("Packages", listed), ("Packages.gz", gzip.compress(listed, mtime=0))):
            (index / name).write_bytes(text)
            rows.append(f" {hashlib.sha256(text).hexdigest()} {len(text)} main/binary-amd64/{name}")
        head = "Origin: Ubuntu\nLabel: Ubuntu\nSuite: noble\nVersion: 24.04\nComponents: main\nArchitectures: amd64\n"
        # Of a dated archive's index nobody renews the signature.
        if place.startswith("@"):
            head += "Date: Tue, 01 Dec 2020 00:00:00 UTC\nValid-Until: Wed, 02 Dec 2020 00:00:00 UTC\n"
        (root / "dists" / "noble" / "InRelease").write_bytes(
            self.key.signed((head + "SHA256:\n" + "\n".join(rows) + "\n").encode())
        )

    @property
    def selection(self) -> ImageSelection:
        """An image whose base image brings the system, which lacks the package."""
        row = Image(platform="ec2", accelerator="cpu", summary="Ours.", roles=["base"])
        target = Target(self.lock.stack, self.lock.os, self.lock.arch)
        return ImageSelection("ours", row, target, self.lock.of(row.parts), self.folder / "lock.yml", "ec2")

    def play(self, name: str, *, frozen: bool = False) -> CompletedProcess[str]:
        """Run one of the two playbooks as Packer does."""
        given = {
            "ingot_roles": ["base"], "ingot_without": ["base", "kernel"], "ingot_brought": {"base": {}, "kernel": {}},
            "ingot_base": "ec2", "asked_frozen": frozen, "asked_file": str(self.folder / "asked.json"),
        }  # fmt: skip
        done = run_playbook(self.host, PLAYS / f"{name}.yml", self.folder / "lock.yml", given)
        assert done.returncode == 0, done.stdout[-5000:]
        return done

    def ask(self, *, frozen: bool = False) -> asked.Answer:
        """What the package manager says; the lock then has it."""
        self.play("asked", frozen=frozen)
        answer = asked.read(self.folder / "asked.json")
        if frozen:
            asked.require_same(self.selection, self.lock, answer)
        else:
            self.lock = asked.merged(self.lock, "ec2", answer)
            self.write()
        return answer

    def write(self) -> None:
        (self.folder / "lock.yml").write_text(locks.dump(self.lock))

    def installed(self) -> str:
        return ask(self.host, f"dpkg-query --show --showformat='${{Version}}' {NAME}")


@pytest.fixture
def archives(tmp_path: Path) -> Iterator[Archives]:
    served = tmp_path / "served"
    served.mkdir()
    lock = with_entry(locked("ubuntu2404"), "base", packages=[NAME])
    with (
        Key(tmp_path / "gnupg") as key,
        answering(partial(Folder, directory=str(served)), gateway()) as url,
        container(image("ubuntu2404"), f"--add-host={DATED_HOST}:{gateway()}") as host,
    ):
        place = f"http://{DATED_HOST}:{url.rpartition(':')[2]}/@{{date}}/"
        snapshot = Snapshot(url=place, suites=["noble"], components=["main"], keyring=KEYRING)
        lock = lock.model_copy(update={"images": {"ec2": BASE}, "snapshot": snapshot})
        docker("exec", "-i", host, "sh", "-c", f"cat >{KEYRING}", stdin=key.public.decode())
        ask(host, f"echo 'deb [signed-by={KEYRING}] {url}/live noble main' >/etc/apt/sources.list")
        # Of openssh-server and pam, which the archive lacks.
        ask(host, "mkdir -p /etc/ssh/sshd_config.d /etc/security/limits.d")
        archives = Archives(tmp_path, url, key, host, lock)
        archives.write()
        yield archives


def test_a_base_image_is_asked_and_roles_install_what_the_lock_then_has(archives: Archives) -> None:
    archives.publish("live", "1.0-1")
    answer = archives.ask()
    assert (answer.dated, answer.missing) == (False, [])
    there = archives.lock.asked["ec2"].packages
    assert {name: (row.version, row.origin) for name, row in there.items()} == {NAME: ("1.0-1", "Ubuntu:24.04/noble")}
    assert there[NAME].sha256 == hashlib.sha256(archives.made["1.0-1"].read_bytes()).hexdigest()
    # Nothing is installed before roles run.
    assert ask(archives.host, f"dpkg-query --list {NAME} >/dev/null 2>&1 || echo absent") == "absent"
    archives.play("image")
    assert archives.installed() == "1.0-1"


def test_an_archive_that_has_moved_on_is_read_as_of_the_locks_date(archives: Archives) -> None:
    archives.publish("live", "1.0-1")
    archives.ask()
    then = archives.lock.asked["ec2"].date
    archives.publish("live", "1.1-1")
    archives.publish(f"@{then}", "1.0-1")
    before = archives.lock
    assert archives.ask().dated
    assert archives.lock == before
    archives.play("image")
    assert archives.installed() == "1.0-1"
    # The image's users have the live archive.
    assert ask(archives.host, "grep -rl dated /etc/apt || echo none") == "none"


def test_a_frozen_build_reads_the_dated_archive_and_refuses_another_version(archives: Archives) -> None:
    archives.publish("live", "1.0-1")
    archives.ask()
    archives.publish(f"@{archives.lock.asked['ec2'].date}", "1.0-1")
    assert archives.ask(frozen=True).dated
    # A distribution without dated archives.
    archives.lock = archives.lock.model_copy(update={"snapshot": None})
    archives.write()
    ask(archives.host, "rm /etc/apt/sources.list.d/ingot-dated.sources /etc/apt/preferences.d/ingot-dated")
    archives.publish("live", "1.1-1")
    with pytest.raises(IngotError, match=r"the lock has rig-tool 1\.0-1, the archive offers 1\.1-1"):
        archives.ask(frozen=True)
    assert json.loads((archives.folder / "asked.json").read_text())["dated"] is False
    assert archives.ask().packages[NAME].version == archives.lock.asked["ec2"].packages[NAME].version == "1.1-1"
