"""A rig of simulated vendors: from a lock it makes the signed apt repositories that the lock names, with real packages.

Names and versions are the lock's. Files of a package are those that a source says it has, each cited; every package
says that it is simulated. The key is thrown away. What the rig serves, the product's own path records and installs:

    make mirror-rig OS=ubuntu2404     # serve it until Ctrl-C; it prints the address and the recorded lock
"""

import gzip
import hashlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from ingot import lock as locks
from ingot import paths
from ingot.archive import DEB_ARCH
from ingot.locked import Lock
from ingot.record import record

# path -> what is answered instead, once for each entry: a status, or how the file is spoilt.
Faults = dict[str, list[int | str]]
CONTROL = """Package: {name}
Version: {version}
Architecture: {arch}
Maintainer: Ingot <nobody@example.org>
Section: misc
Priority: optional
Description: simulated by Ingot's rig of vendors
"""
# It refuses a driver of another version: https://docs.nvidia.com/datacenter/tesla/fabric-manager-user-guide/ and
# https://docs.nvidia.com/multi-node-nvlink-systems/imex-guide/gettingstarted.html
DAEMON = """#!/bin/sh
# Simulated.
set -eu
if ! grep -qs ' {upstream} ' /proc/driver/nvidia/version; then
  echo "{name}: the loaded driver is not {upstream}" >&2
  exit 1
fi
exec sleep infinity
"""
UNIT = """[Unit]
Description=Simulated {name}

[Service]
ExecStart={program}

[Install]
WantedBy=multi-user.target
"""
# package -> (program, unit, configuration). File lists: https://packages.ubuntu.com, nvidia-fabricmanager-550; the IMEX
# guide as above; https://docs.nvidia.com/datacenter/dcgm/latest/reference/command-line-reference/nv-hostengine.html
SERVICES = {
    "nvidia-fabricmanager": (
        "usr/bin/nv-fabricmanager",
        "nvidia-fabricmanager.service",
        "usr/share/nvidia/nvswitch/fabricmanager.cfg",
    ),
    "nvidia-imex": ("usr/bin/nvidia-imex", "nvidia-imex.service", "etc/nvidia-imex/nodes_config.cfg"),
    "datacenter-gpu-manager-4-core": ("usr/bin/nv-hostengine", "nvidia-dcgm.service", ""),
}


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, with the faults that a test has asked for."""

    def __init__(self, *args: object, faults: Faults, directory: str) -> None:
        self._faults = faults
        super().__init__(*args, directory=directory)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer as the next fault of the path says, or as it should be."""
        waiting = next((each for path, each in self._faults.items() if each and self.path.endswith(path)), None)
        if waiting is None:
            super().do_GET()
            return
        fault = waiting.pop(0)
        if isinstance(fault, int):
            self.send_error(fault)
            return
        content = Path(self.translate_path(self.path)).read_bytes()
        middle = len(content) // 2
        other = b"B" if content[middle : middle + 1] == b"A" else b"A"
        spoilt = content[:middle] + (b"" if fault == "truncated" else other + content[middle + 1 :])
        self.send_response(200)
        self.send_header("Content-Length", str(len(spoilt)))
        self.end_headers()
        self.wfile.write(spoilt)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Vendors:
    """The rig while it serves: the lock as recorded from it, and the faults that it answers with."""

    folder: Path
    url: str
    lock: Lock
    faults: Faults = field(default_factory=dict)

    @property
    def lock_file(self) -> Path:
        """The lock's file."""
        return self.folder / "lock.yml"


class Key:
    """A key that is thrown away with its folder."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700)
        self._home = home
        gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--yes"]
        self._gpg = [*gpg, "--pinentry-mode", "loopback", "--passphrase", ""]
        self._run("--quick-generate-key", "simulated vendor <nobody@example.org>", "rsa2048", "sign")
        listed = self._run("--list-keys", "--with-colons").decode()
        self.fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
        self.public = self._run("--export", "--armor")

    def _run(self, *words: str, stdin: bytes = b"") -> bytes:
        return subprocess.run([*self._gpg, *words], input=stdin, check=True, capture_output=True).stdout

    def signed(self, text: bytes) -> bytes:
        """The text with its signature in it."""
        return self._run("--clear-sign", stdin=text)

    def forget(self) -> None:
        """Stop the agent that gpg has started."""
        subprocess.run(["gpgconf", "--homedir", str(self._home), "--kill", "all"], check=True)


def _package(name: str, version: str, arch: str, folder: Path) -> Path:
    """A package of `name`, built by dpkg-deb into `folder`."""
    root = folder / f"root-{name}"
    files = {f"usr/share/doc/{name}/simulated": "Simulated by Ingot's rig of vendors.\n"}
    if name in SERVICES:
        program, unit, configuration = SERVICES[name]
        upstream = version.rpartition(":")[2].rpartition("-")[0]
        files[program] = DAEMON.format(name=name, upstream=upstream)
        files[f"lib/systemd/system/{unit}"] = UNIT.format(name=name, program=f"/{program}")
        files |= {configuration: "# Simulated.\n"} if configuration else {}
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755 if text.startswith("#!") else 0o644)
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN" / "control").write_text(CONTROL.format(name=name, version=version, arch=arch))
    built = folder / f"{name}_{version.replace(':', '%3a')}_{arch}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", root, built], check=True, capture_output=True)
    shutil.rmtree(root)
    return built


def _repository(
    folder: Path, packages: dict[str, str], arch: str, suites: list[str], parts: list[str], key: Key
) -> None:
    """A signed repository of packages in one version each; flat where there is no suite."""
    folder.mkdir()
    stanzas = []
    for name, version in packages.items():
        deb = _package(name, version, arch, folder)
        content = deb.read_bytes()
        control = CONTROL.format(name=name, version=version, arch=arch)
        digest = hashlib.sha256(content).hexdigest()
        stanzas.append(f"{control}Filename: ./{deb.name}\nSize: {len(content)}\nSHA256: {digest}\n")
    listed = "\n".join(stanzas).encode()
    root = folder / "dists" / suites[0] if suites else folder
    path = f"{parts[0]}/binary-{arch}/Packages" if parts else "Packages"
    entries = []
    for suffix, content in (("", listed), (".gz", gzip.compress(listed, mtime=0))):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{path}{suffix}").write_bytes(content)
        entries.append(f" {hashlib.sha256(content).hexdigest()} {len(content)} {path}{suffix}")
    release = f"Suite: {suites[0]}\nComponents: {parts[0]}\n" if suites else ""
    text = f"{release}Architectures: {arch}\nDate: Tue, 24 Nov 2026 00:00:00 UTC\nSHA256:\n" + "\n".join(entries) + "\n"
    (root / "InRelease").write_bytes(key.signed(text.encode()))
    (folder / "key.asc").write_bytes(key.public)


@contextmanager
def serving(lock: Lock, components: Collection[str], folder: Path, host: str = "127.0.0.1") -> Iterator[Vendors]:
    """Serve the repositories of `components` on `host` while the block runs; `folder` does not exist yet."""
    served = folder / "served"
    served.mkdir(parents=True)
    faults: Faults = {}
    server = ThreadingHTTPServer((host, 0), partial(Handler, faults=faults, directory=str(served)))
    url = f"http://{host}:{server.server_port}"
    key = Key(folder / "gnupg")
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        mine = {name: lock.components[name] for name in components}
        repositories = {}
        for name in sorted({entry.source for entry in mine.values()}):
            row = lock.repositories[name]
            packages = {
                package: entry.exact.get(package, f"{entry.version}-1")
                for entry in mine.values()
                if entry.source == name
                for package in entry.packages
            }
            _repository(served / name, packages, DEB_ARCH[lock.arch], row.suites, row.components, key)
            update = {"url": f"{url}/{name}", "key_url": f"{url}/{name}/key.asc", "key_fingerprint": key.fingerprint}
            repositories[name] = row.model_copy(update=update)
        simulated = lock.model_copy(update={"components": mine, "repositories": repositories, "unresolved": {}})
        recorded, failed = record(simulated)
        assert not failed, failed
        made = Vendors(folder, url, recorded, faults)
        made.lock_file.write_text(locks.dump(recorded))
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        key.forget()


def main(os_name: str) -> None:
    """Serve every apt repository of the newest stack's lock of a system until Ctrl-C."""
    stack = max(path.name for path in paths.LOCKS.iterdir())
    lock = locks.load(paths.LOCKS / stack / f"{os_name}-x86_64.yml")
    apt = {name for name, row in lock.repositories.items() if row.kind == "apt" and row.url}
    mine = [name for name, entry in lock.components.items() if entry.version and entry.source in apt]
    if not mine:
        sys.exit(f"error: the lock of {os_name} names no vendor's apt repository; try ubuntu2404")
    with tempfile.TemporaryDirectory() as folder, serving(lock, mine, Path(folder) / "vendors") as vendors:
        print(f"{vendors.url} serves simulated packages of {', '.join(mine)}; the lock is {vendors.lock_file}")
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main(*sys.argv[1:])
