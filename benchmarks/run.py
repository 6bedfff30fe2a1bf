"""Measures what Ingot promises, each number as a ratio within its part's run, and writes the table of `RESULTS.md`.

    .venv/bin/python benchmarks/run.py            all of it, about 20 minutes on 2 cores
    .venv/bin/python benchmarks/run.py boot       one part, whose rows alone are renewed: converge, boot, size,
                                                  commands, solving, mirror, tests, amis,
                                                  containers

Wants an image that has been built (`make local-parallelcluster`): packages are cached, and its disk is there.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import amis, framework
from ingot import paths
from ingot.catalog.catalog import Catalog
from ingot.catalog.read import read_catalog
from ingot.catalog.rules import contains
from ingot.image.base import ensure_base
from ingot.image.disk import make_disk
from ingot.image.machine import boot
from ingot.image.qemu import accelerator
from ingot.image.setup import packer_environment
from ingot.lock import file as locks
from ingot.lock import select
from ingot.lock.make import make
from ingot.mirror.mirror import plan
from ingot.model.target import Target
from ingot.run import run
from ingot.sources.apt import Archive
from ingot.sources.download import File, download
from ingot.sources.fetch import Fetched, fetch
from ingot.sources.web import CONNECTIONS

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
BIN = Path(sys.executable).parent
NAME = "ingot-benchmark"
# What a Debian that only boots and lets its owner in consists of; the kernel comes with it from the lock.
BARE = ["cloud-init", "dbus", "e2fsprogs", "iproute2", "kmod", "libpam-systemd", "login", "netbase", "openssh-server"]
BARE += ["procps", "systemd-resolved", "systemd-sysv", "udev"]
# One boot takes 10 % more or less than the next.
BOOTS = 5

CATALOG = read_catalog()
SELECTION = select.image(CATALOG, CATALOG.target(CATALOG.newest_stack, "debian13", "x86_64"), "parallelcluster")
TARGET, LOCK_PATH = SELECTION.target, SELECTION.lock_path
LOCK = locks.load(LOCK_PATH)
LOG = SELECTION.dir / "benchmark.log"
HEAD = ["| number | at most | measured | | on |", "|---|---|---|---|---|"]
DOWNLOADS = 3
# (what, the limit as people read it, the measured value, within the limit)
Row = tuple[str, str, str, bool]


def seconds(words: Sequence[str | Path], *, env: Mapping[str, str] | None = None, stdin: str | None = None) -> float:
    """How long a command takes; it must succeed."""
    began = time.monotonic()
    run(words, env={**os.environ, **(env or {})}, stdin=stdin, log=LOG)
    return time.monotonic() - began


@contextmanager
def container(image: str, fetched: Fetched | None = None) -> Iterator[str]:
    """A container that sleeps, with the caches that a build has; gone afterwards."""
    volumes = ["-v", f"{fetched.archives}:/var/cache/apt/archives"] if fetched else []
    run(["docker", "run", "-d", "--name", NAME, "--label", "ingot=1", *volumes, image, "sleep", "infinity"])
    try:
        yield NAME
    finally:
        run(["docker", "rm", "-f", "-v", NAME])


def exact(names: Sequence[str]) -> str:
    """`name=version` of each package, in the lock's versions."""
    return " ".join(f"{name}={LOCK.packages[name].version}" for name in names)


def prefer_the_lock(name: str) -> None:
    """Let apt in the container choose the lock's versions for dependencies, as the roles do."""
    pins = "".join(f"Package: {n}\nPin: version {p.version}\nPin-Priority: 990\n\n" for n, p in LOCK.packages.items())
    run(["docker", "exec", "-i", name, "tee", "/etc/apt/preferences.d/ingot"], stdin=pins)


def by_bare_commands(name: str) -> float:
    """Seconds that `bare.sh` takes."""
    mine = LOCK.of(SELECTION.image.roles).components
    driver = LOCK.components["nvidia_driver"]
    facts = {
        "PACKAGES": exact([package for part in mine.values() for package in part.packages]),
        "HELD": exact([package for part in mine.values() if part.hold for package in part.packages]),
        "RELEASE": str(LOCK.components["kernel"].facts["release"]),
        "DKMS": str(driver.facts["dkms"]),
        "DRIVER": driver.version,
        "ALTERNATIVE": str(driver.facts["alternative"]),
    }
    prefer_the_lock(name)
    words = [word for key, value in facts.items() for word in ("-e", f"{key}={value}")]
    return seconds(["docker", "exec", "-i", *words, name, "bash", "-s"], stdin=(HERE / "bare.sh").read_text())


def by_roles(name: str) -> tuple[float, int]:
    """Seconds that the play takes, as Packer runs it, and how many tasks it changes."""
    events = SELECTION.dir / "benchmark.jsonl"
    events.unlink(missing_ok=True)
    facts = {
        "ingot_roles": SELECTION.image.roles,
        "ingot_lock": str(LOCK_PATH),
        "manifest_image": SELECTION.name,
        "ansible_connection": "docker",
        "ansible_host": name,
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    env = packer_environment() | {
        "ANSIBLE_COLLECTIONS_PATH": str(paths.ROOT / "build"),
        "ANSIBLE_CALLBACKS_ENABLED": "ingot.ml.progress",
        "ANSIBLE_REMOTE_TMP": "/dev/shm/ingot",
        "INGOT_EVENTS": str(events),
    }
    words: list[str | Path] = [BIN / "ansible-playbook", "-i", "image,", "-e", json.dumps(facts)]
    took = seconds([*words, paths.ROOT / "playbooks/image.yml"], env=env)
    return took, json.loads(events.read_text().splitlines()[-1])["changed"]


def converge() -> list[Row]:
    """The roles against bare commands, and the roles again."""
    archive = Archive(TARGET.os, CATALOG.operating_system(TARGET.os), TARGET.arch)
    archive.update()
    fetched = fetch(LOCK, archive)
    base = ensure_base(LOCK, log=LOG).tag
    with container(base, fetched) as name:
        bare = by_bare_commands(name)
    with container(base, fetched) as name:
        first, _ = by_roles(name)
        second, changed = by_roles(name)
    return [
        ("converge : the same by bare commands", "1.25", f"{first / bare:.2f} ({first:.0f} s : {bare:.0f} s)",
         first <= 1.25 * bare),
        ("second converge : first", "0.10", f"{second / first:.3f} ({second:.1f} s : {first:.0f} s)",
         second <= 0.10 * first),
        ("tasks that a second converge changes", "0", str(changed), changed == 0),
    ]  # fmt: skip


def bare_disk() -> Path:
    """A disk of Debian with the image's kernel, ssh and cloud-init, made like the image's."""
    disk, tag = SELECTION.dir / "bare.raw", "ingot/benchmark:bare"
    packages = [*BARE, *LOCK.components["kernel"].packages]
    script = f"""set -eu
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends {exact(packages)}
        printf '[Match]\\nName=e*\\n\\n[Network]\\nDHCP=yes\\n' > /etc/systemd/network/80-dhcp.network
        printf 'datasource_list: [NoCloud, None]\\nnetwork:\\n  config: disabled\\n' > /etc/cloud/cloud.cfg.d/90.cfg
        SYSTEMD_OFFLINE=1 systemctl enable -q systemd-networkd systemd-resolved ssh
        rm -f /etc/ssh/ssh_host_*; : > /etc/machine-id"""
    with container(ensure_base(LOCK, log=LOG).tag) as name:
        prefer_the_lock(name)
        run(["docker", "exec", name, "sh", "-c", script], log=LOG)
        run(["docker", "commit", name, tag])
    try:
        make_disk(tag, disk, kernel_release=str(LOCK.components["kernel"].facts["release"]), log=LOG)
    finally:
        run(["docker", "image", "rm", tag])
    return disk


def booting() -> list[Row]:
    """The image against a bare Debian, by turns; of each the median."""
    disks = {"image": SELECTION.dir / "disk.raw", "bare": bare_disk()}
    taken: dict[str, list[float]] = {name: [] for name in disks}
    try:
        for _ in range(BOOTS):
            for name, disk in disks.items():
                with boot(disk, log=LOG) as machine:
                    taken[name].append(machine.wall_seconds)
    finally:
        disks["bare"].unlink()
    image, bare = (statistics.median(taken[name]) for name in ("image", "bare"))
    measured = f"{image / bare:.2f} ({image:.1f} s : {bare:.1f} s, {accelerator()})"
    return [("boot to ssh : a bare Debian with the same kernel", "1.10", measured, image <= 1.10 * bare)]


def size() -> list[Row]:
    """The image against what its packages say that they occupy, and its wheels."""
    with container(SELECTION.tag) as name:
        kib = run(["docker", "exec", name, "dpkg-query", "-W", "-f", "${Installed-Size}\\n"]).split()
        wheels = run(["docker", "exec", name, "sh", "-c", "test ! -d /opt/ingot/wheels || du -sb /opt/ingot/wheels"])
    installed = sum(map(int, kib)) * 1024 + int((wheels.split() or ["0"])[0])
    image = int(run(["docker", "image", "inspect", "--format", "{{.Size}}", SELECTION.tag]))
    measured = f"{image / installed:.3f} ({image / 1e9:.2f} GB : {installed / 1e9:.2f} GB)"
    return [("image : its packages, installed", "1.05", measured, image <= 1.05 * installed)]


def commands() -> list[Row]:
    """Commands that must feel immediate; of each the median of five."""
    rows = []
    on = ["plan", "parallelcluster", "--os", "ubuntu2404", "--instance-type", "p5.48xlarge"]
    for words, limit in ((["lock", "--check"], 0.5), (["--help"], 0.5), (on, 0.7)):
        took = statistics.median(seconds([BIN / "ingot", *words]) for _ in range(5))
        rows.append((f"`ingot {' '.join(words)}`", f"{limit} s", f"{took:.2f} s", took < limit))
    return rows


def ten_times(catalog: Catalog) -> Catalog:
    """The catalog after ten times as long a history: of each release nine older ones, and as many rules about them."""
    components = {}
    for name, component in catalog.components.items():
        offers = []
        for offer in component.offers:
            older = {f"0.{n}.{text}": release for text, release in offer.releases.items() for n in range(9)}
            offers.append(offer.model_copy(update={"releases": {**offer.releases, **older}}))
        rules = [
            rule.model_copy(update={"id": f"{rule.id}-{n}", "when": f"==0.{n}.*"})
            for rule in component.rules
            for n in range(9)
        ]
        components[name] = component.model_copy(update={"offers": offers, "rules": [*component.rules, *rules]})
    return replace(catalog, components=components)


def solving() -> list[Row]:
    """Resolving, offline, in this process: one lock, all of them, and one with a larger catalog; medians of five."""
    targets = [each for each in locks.targets(CATALOG, CATALOG.stacks) if not CATALOG.operating_system(each.os).base]

    def took(catalog: Catalog, wanted: Sequence[Target]) -> float:
        times = []
        for _ in range(5):
            contains.cache_clear()
            began = time.monotonic()
            for target in wanted:
                make(catalog, target)
            times.append(time.monotonic() - began)
        return statistics.median(times)

    one, every = took(CATALOG, targets[:1]), took(CATALOG, targets)
    larger = took(ten_times(CATALOG), targets[:1])
    return [
        ("resolve one lock, offline", "1 s", f"{one:.3f} s", one <= 1),
        (f"resolve all {len(targets)} locks of vendors' systems, offline", "10 s", f"{every:.2f} s", every <= 10),
        ("resolve with ten times the releases and rules : as it is", "5", f"{larger / one:.1f}", larger <= 5 * one),
    ]


def by_curl(files: Sequence[File]) -> None:
    """Download `files` with as many connections as Ingot uses; nothing is verified."""
    config = "".join(f'url = "{file.url}"\noutput = "{file.path}"\n' for file in files)
    words = ["curl", "--fail", "--silent", "--show-error", "--location", "--create-dirs", "--parallel"]
    run([*words, "--parallel-max", str(CONNECTIONS), "--config", "-"], stdin=config)


def mirroring() -> list[Row]:
    """All files of a mirror against curl, by turns; of each the median."""
    ways: dict[str, Callable[[Sequence[File]], object]] = {"mirror": download, "curl": by_curl}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(DOWNLOADS):
        for name, way in ways.items():
            with tempfile.TemporaryDirectory(dir=paths.cache_dir(), prefix=".benchmark-") as folder:
                _, files = plan(Path(folder), CATALOG, LOCK)
                began = time.monotonic()
                way(files)
                taken[name].append(time.monotonic() - began)
    mib = sum(file.size for file in files) / (1 << 20)
    mirror, curl = (mib / statistics.median(taken[name]) for name in ("mirror", "curl"))
    measured = f"{mirror / curl:.2f} ({mirror:.0f} MiB/s : {curl:.0f} MiB/s)"
    return [("mirror, verified : the same files by curl, not", "at least 0.9", measured, mirror >= 0.9 * curl)]


def tests() -> list[Row]:
    """The tests that need no image."""
    # Without what `make bench` was told itself.
    took = seconds(["make", "--silent", "test-fast"], env={"MAKEFLAGS": "", "ARGS": ""})
    return [("fast tests", "60 s", f"{took:.0f} s", took <= 60)]


def life() -> list[Row]:
    """AMIs in the emulator: one built, many of them listed and collected, and one copied to one region and to ten."""
    listed, collected = amis.many()
    one, ten = amis.copies()
    whole, (added, emulated) = listed + collected, amis.packer()
    return [
        (
            "Packer beside its provisioners, in the emulator",
            "2 s",
            f"{added:.1f} s, and {emulated:.1f} s for the emulator to answer",
            added <= 2,
        ),
        (f"{amis.MANY:,} AMIs listed and collected, in the emulator", "20 s", f"{whole:.1f} s", whole <= 20),
        (
            "an AMI copied to ten regions : to one",
            "1.2",
            f"{ten / one:.2f} ({ten:.1f} s : {one:.1f} s)",
            ten <= 1.2 * one,
        ),
    ]


def framework_containers() -> list[Row]:
    """Containers for CPUs: built from warm caches and after a change, their size, and the runs that judge them."""
    whole, changed = framework.building()
    ratio, took = framework.size(), framework.runs()
    slowest = max(took, key=lambda name: took[name])
    return [
        ("base, PyTorch and a leaf, from warm caches", "180 s", f"{whole:.0f} s", whole <= 180),
        ("a leaf after a change of its program", "5 s", f"{changed:.1f} s", changed <= 5),
        ("a leaf : what it is FROM, and its Python packages", "1.03", f"{ratio:.4f}", ratio <= 1.03),
        (
            "slowest of the runs that judge containers",
            "60 s",
            f"{took[slowest]:.0f} s ({slowest}, of {len(took)})",
            took[slowest] <= 60,
        ),
    ]


PARTS: dict[str, Callable[[], list[Row]]] = {
    "converge": converge, "boot": booting, "size": size, "commands": commands, "solving": solving,
    "mirror": mirroring, "tests": tests, "amis": life,
    "containers": framework_containers,
}  # fmt: skip


def earlier() -> dict[str, str]:
    """The lines of the table as it is, by what they measure."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return {line.split(" | ")[0]: line for line in lines if line.startswith("| ") and line not in HEAD}


def main(wanted: list[str]) -> int:
    """Measure the parts, renew their lines of the table, and print it. 1 if a limit is missed."""
    lines, missed = earlier(), 0
    for name, part in PARTS.items():
        for what, limit, measured, good in part() if name in (wanted or PARTS) else []:
            row = [what, limit, measured, "ok" if good else "missed", f"{datetime.now(UTC):%Y-%m-%d}"]
            lines[f"| {what}"] = f"| {' | '.join(row)} |"
            missed += not good
    text = [f"{SELECTION.tag} on {os.cpu_count()} cores; `make bench` measures and writes this.", "", *HEAD]
    paths.write_text(RESULTS, "\n".join(["# Numbers", "", *text, *lines.values(), ""]))
    print(RESULTS.read_text())
    return 1 if missed else 0


if __name__ == "__main__":
    if unknown := set(sys.argv[1:]) - set(PARTS):
        sys.exit(f"unknown part {', '.join(unknown)}; known: {', '.join(PARTS)}")
    sys.exit(main(sys.argv[1:]))
