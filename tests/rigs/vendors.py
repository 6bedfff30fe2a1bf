"""A rig of simulated vendors: from a lock it makes the signed apt repositories that the lock names, with real packages.

Names and versions are the lock's. Files of a package are those that a source says it has, each cited; every package
says that it is simulated. The key is thrown away. What the rig serves, the product's own path records and installs:

    make mirror-rig OS=ubuntu2404     # serve it until Ctrl-C; it prints the address and the recorded lock
"""

import gzip
import hashlib
import signal
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from ingot import paths
from ingot.lock import file as locks
from ingot.lock.record import record
from ingot.model.lock import Lock, LockedComponent, Repository
from ingot.model.types import DISTRIBUTION, Arch
from ingot.sources.apt import DEB_ARCH
from tests.rigs.faults import Faults, Handler
from tests.rigs.manners import DRIVER, MANNERS, Manner, modules
from tests.rigs.packages import Package, Wanted, clean, control, deb_name, script, tools
from tests.rigs.redhats import LENDS
from tests.rigs.simulated import ARTIFACTS, PACKAGES
from tests.rigs.simulated.driver import EPOCH
from tests.rigs.systems import tools_image
from tests.serving import answering
from tests.signing import Key

# A repository's packages, by name and version.
Made = dict[tuple[str, str], tuple[Wanted, Package]]
SIGN = """export GNUPGHOME={home}
rpmsign --define '_gpg_name {fingerprint}' --addsign ./*.rpm >&2
gpgconf --kill all
"""
# It takes modules.yaml along where there is one.
INDEX = "createrepo_c --quiet --general-compress-type zstd .\nrm -f modules.yaml\n"


@dataclass
class Vendors:
    """The rig while it serves: the lock as recorded from it, and the faults that it answers with."""

    folder: Path
    url: str
    lock: Lock
    faults: Faults = field(default_factory=dict)
    publish: Callable[[Lock], Lock] = lambda lock: lock
    """Add what another lock names to the repositories; that lock as recorded."""

    @property
    def lock_file(self) -> Path:
        """The lock's file."""
        return self.folder / "lock.yml"


def _built(version: str) -> str:
    """A version with a build, which a lock leaves to the repository's index where nobody has published it."""
    return version if "-" in version else f"{version}-1"


def _packages(lock: Lock, source: str, kind: Literal["apt", "rpm"]) -> dict[str, tuple[Wanted, Package]]:
    """Every package of a repository that the lock names, and those that come with them.

    One with the release of the lock's kernel in its name is known with `{kernel}` in its place.
    """
    kernel = str(lock.components["kernel"].facts.get("release", "")) if "kernel" in lock.components else ""
    found: dict[str, tuple[Wanted, Package]] = {}
    waiting = {
        # Where nobody has published a version, any will do.
        name: _built(entry.exact.get(name, entry.version or "1.0"))
        for entry in lock.components.values()
        # The system has its own.
        if entry.source == source and (entry.version or source != DISTRIBUTION)
        for name in entry.packages
    }
    others = [entry.system_packages for entry in lock.components.values()]
    waiting |= {name: "3.2.1-1" for each in others for name, place in each.items() if place == source}
    while waiting:
        name, version = waiting.popitem()
        if kind == "rpm" and name in LENDS and source != DISTRIBUTION:
            # The system's, whatever a lock says of the vendor.
            continue
        # A vendor's epoch is the vendor's, whatever a lock says.
        if kind == "rpm" and name.startswith(DRIVER):
            version = f"{EPOCH}:{version.rpartition(':')[2]}"
        wanted = Wanted(name, version, kind, lock)
        known = name.replace(kernel, "{kernel}") if kernel else name
        package = PACKAGES[known](wanted) if known in PACKAGES else Package()
        found[name] = (wanted, package)
        waiting |= {name: version for name, version in package.brings.items() if name not in found}
    return found


def _apt(folder: Path, made: Made, row: Repository, arch: Arch, key: Key) -> None:
    """Index packages as apt reads them; flat where there is no suite."""
    stanzas = []
    for wanted, package in made.values():
        content = (folder / deb_name(wanted)).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        place = f"Filename: ./{deb_name(wanted)}\nSize: {len(content)}\nSHA256: {digest}\n"
        stanzas.append(control(wanted, package) + place)
    listed = "\n".join(stanzas).encode()
    root = folder / "dists" / row.suites[0] if row.suites else folder
    path = f"{row.components[0]}/binary-{DEB_ARCH[arch]}/Packages" if row.components else "Packages"
    entries = []
    for suffix, content in (("", listed), (".gz", gzip.compress(listed, mtime=0))):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{path}{suffix}").write_bytes(content)
        entries.append(f" {hashlib.sha256(content).hexdigest()} {len(content)} {path}{suffix}")
    release = f"Suite: {row.suites[0]}\nComponents: {row.components[0]}\n" if row.suites else ""
    date = f"Date: {datetime.now(UTC):%a, %d %b %Y %H:%M:%S} UTC\n"
    text = f"{release}Architectures: {DEB_ARCH[arch]}\n{date}SHA256:\n" + "\n".join(entries) + "\n"
    (root / "InRelease").write_bytes(key.signed(text.encode()))


def _repository(folder: Path, name: str, lock: Lock, key: Key, run: Callable[[str, Path], None], made: Made) -> None:
    """A signed repository of all that the lock names of it, beside what has been `made` of it before."""
    row = lock.repositories[name]
    folder.mkdir(exist_ok=True)
    named = {(each, what[0].version): what for each, what in _packages(lock, name, row.kind).items()}
    new = {each: what for each, what in named.items() if each not in made}
    if new:
        run("".join(script(wanted, package, folder) for wanted, package in new.values()), folder)
        clean(folder)
    made |= new
    if row.kind == "apt":
        _apt(folder, made, row, lock.arch, key)
    else:
        manner = MANNERS.get(name, Manner())
        sign = SIGN.format(home=key.home, fingerprint=key.fingerprint) if manner.packages else ""
        streams = modules(what[0] for what in made.values()) if manner.streams else ""
        if streams:
            (folder / "modules.yaml").write_text(streams)
        run(f"{sign}{INDEX}", folder)
        repomd = folder / "repodata" / "repomd.xml"
        if manner.index:
            repomd.with_name("repomd.xml.asc").write_bytes(key.detached(repomd.read_bytes()))
    (folder / "key.asc").write_bytes(key.keys)


def _artifacts(
    folder: Path, url: str, lock: Lock, key: Key, run: Callable[[str, Path], None], there: dict[Path, str]
) -> dict[str, LockedComponent]:
    """The files of vendors that the rig knows how to make, as the lock then has them; `there` are those made before,
    with their versions."""
    found = {}
    for name, entry in lock.components.items():
        if entry.artifact is None or name not in ARTIFACTS:
            continue
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        file = place / entry.artifact.url.rpartition("/")[2]
        # A release stays what it was when it was first published.
        if there.get(file) != entry.version:
            ARTIFACTS[name](entry, lock, file, run)
            there[file] = entry.version
        update = {"url": f"{url}/files/{name}/{file.name}", "sha256": None}
        if entry.artifact.signature:
            file.with_name(f"{file.name}.sig").write_bytes(key.detached(file.read_bytes()))
            # Where the lock names a page of documentation, the key stands on one.
            on_page = entry.artifact.key_url.endswith(".html")
            public = place / ("key.html" if on_page else "key.asc")
            public.write_bytes(b"<pre><code>" + key.keys + b"</code></pre>\n" if on_page else key.keys)
            update |= {"signature": f"{update['url']}.sig", "key_url": f"{url}/files/{name}/{public.name}"}
            update |= {"key_fingerprint": key.fingerprint}
        found[name] = entry.model_copy(update={"artifact": entry.artifact.model_copy(update=update)})
    return found


@contextmanager
def serving(
    lock: Lock,
    components: Collection[str],
    folder: Path,
    host: str = "127.0.0.1",
    given: Mapping[str, LockedComponent] | None = None,
) -> Iterator[Vendors]:
    """Serve the repositories and files of `components` on `host` while the block runs; `folder` does not exist yet.

    `given` are components that the lock then has as they are given, such as a kernel whose headers are there already.
    """
    served = folder / "served"
    served.mkdir(parents=True)
    faults: Faults = {}
    handler = partial(Handler, faults=faults, directory=str(served))
    with Key(folder / "gnupg") as key, Key(folder / "epel") as other_key, answering(handler, host) as url:
        run = tools(tools_image(lock.arch), folder, lock.arch)
        for each in (key, other_key):
            each.rotate()
        there: dict[str, Made] = {}
        releases: dict[Path, str] = {}

        def publish(other: Lock) -> Lock:
            named = {name: other.components[name] for name in components}
            mine = other.model_copy(update={"components": {**named, **(given or {})}})
            repositories = {}
            names = {entry.source for entry in mine.components.values()}
            names |= {name for entry in mine.components.values() for name in entry.system_packages.values()}
            for name in sorted(names & set(other.repositories)):
                row = other.repositories[name]
                if not row.url:
                    continue
                # EPEL is not the vendors'.
                by = other_key if name == "epel" else key
                _repository(served / name, name, mine, by, run, there.setdefault(name, {}))
                update = {"url": f"{url}/{name}", "key_url": f"{url}/{name}/key.asc"}
                repositories[name] = row.model_copy(update={**update, "key_fingerprint": by.fingerprint})
            files = _artifacts(served / "files", url, mine, key, run, releases)
            parts = {**mine.components, **files, **(given or {})}
            rows = {**other.repositories, **repositories}
            simulated = other.model_copy(update={"components": parts, "repositories": rows, "unresolved": {}})
            recorded, failed = record(simulated)
            assert not failed, failed
            return recorded

        made = Vendors(folder, url, publish(lock), faults, publish)
        made.lock_file.write_text(locks.dump(made.lock))
        yield made


def main(os_name: str) -> None:
    """Serve every apt repository of the newest stack's lock of a system until Ctrl-C."""
    stack = max(path.name for path in paths.LOCKS.iterdir())
    lock = locks.load(paths.LOCKS / stack / f"{os_name}-x86_64.yml")
    there = {name for name, row in lock.repositories.items() if row.url}
    known = {name for name, entry in lock.components.items() if entry.artifact} & set(ARTIFACTS)
    mine = [name for name, part in lock.components.items() if name in known or (part.version and part.source in there)]
    if not mine:
        sys.exit(f"error: the lock of {os_name} names no vendor's repository; try ubuntu2404")
    with tempfile.TemporaryDirectory() as folder, serving(lock, mine, Path(folder) / "vendors") as vendors:
        print(f"{vendors.url} serves simulated packages of {', '.join(mine)}; the lock is {vendors.lock_file}")
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main(*sys.argv[1:])
