"""A simulated vendor: a host that serves what it has signed, in the layouts that NVIDIA, Docker and AWS use."""

import gzip
import hashlib
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

PRIMARY = """<metadata xmlns="http://linux.duke.edu/metadata/common"
  xmlns:rpm="http://linux.duke.edu/metadata/rpm">{}</metadata>"""
PACKAGE = """<package type="rpm"><name>{name}</name><version epoch="{epoch}" ver="{ver}" rel="{rel}"/>
<arch>{arch}</arch><checksum type="sha256" pkgid="YES">{sha}</checksum><size package="{size}"/>
<location href="{name}-{ver}.rpm"/><format>{says}</format></package>"""
REPOMD = """<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="primary">
<checksum type="sha256">{sha}</checksum><location href="repodata/primary.xml.gz"/></data></repomd>"""


# What packages say beside name and version, by name or by name and version ("libnccl2 2.31.2-1").
Says = Mapping[str, str]


def _said(says: Says | None, name: str, version: str) -> str:
    return (says or {}).get(f"{name} {version}", (says or {}).get(name, ""))


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and keeps the test's output clean."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Vendor:
    """A simulated vendor: a host that serves a folder, and a key that signs what is in it."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        home.mkdir(mode=0o700)
        gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--yes"]
        self._gpg = [*gpg, "--pinentry-mode", "loopback", "--passphrase", ""]
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._home = home

    def make_key(self) -> str:
        """Make and publish the key; its fingerprint."""
        subprocess.run([*self._gpg, "--quick-generate-key", "vendor@example.org", "ed25519", "sign"], check=True)
        exported = subprocess.run([*self._gpg, "--export", "--armor"], check=True, capture_output=True).stdout
        (self.folder / "key").write_bytes(exported)
        words = [*self._gpg, "--list-keys", "--with-colons"]
        listed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))

    def sign(self, file: str, to: str, how: str = "--detach-sign") -> None:
        subprocess.run([*self._gpg, how, "--output", self.folder / to, self.folder / file], check=True)

    def write(self, name: str, content: bytes) -> str:
        """Put a file onto the host; its SHA-256."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    def package(self, name: str, version: str) -> bytes:
        """What stands for a package."""
        return f"{name} {version}".encode()

    def apt(
        self, versions: dict[str, list[str]], suite: str = "", component: str = "", says: Says | None = None
    ) -> None:
        """Make a signed apt repository, flat or with a suite; `says` are more lines of a package's stanza."""
        stanzas = [
            f"Package: {name}\nVersion: {version}\n{_said(says, name, version)}Filename: ./{name}_{version}.deb\n"
            f"Size: {len(self.package(name, version))}\n"
            f"SHA256: {self.write(f'{name}_{version}.deb', self.package(name, version))}\n"
            for name, listed in versions.items()
            for version in listed
        ]
        packages = gzip.compress("\n".join(stanzas).encode(), mtime=0)
        root = f"dists/{suite}/" if suite else ""
        name = f"{component}/binary-amd64/Packages.gz" if component else "Packages.gz"
        digest = self.write(root + name, packages)
        self.write(f"{root}Release", f"Suite: {suite}\nSHA256:\n {digest} {len(packages)} {name}\n".encode())
        self.sign(f"{root}Release", f"{root}InRelease", "--clear-sign")

    def rpm(
        self, versions: dict[str, list[tuple[str, str, str]]], says: Says | None = None, arch: str = "x86_64"
    ) -> None:
        """Make a signed rpm repository of packages in (epoch, version, release); `says` is more of their XML."""
        entries = [
            PACKAGE.format(
                name=name,
                epoch=epoch,
                ver=ver,
                rel=rel,
                arch=arch,
                says=_said(says, name, ver),
                sha=self.write(f"{name}-{ver}.rpm", self.package(name, ver)),
                size=len(self.package(name, ver)),
            )
            for name, listed in versions.items()
            for epoch, ver, rel in listed
        ]
        primary = gzip.compress(PRIMARY.format("".join(entries)).encode(), mtime=0)
        digest = self.write("repodata/primary.xml.gz", primary)
        self.write("repodata/repomd.xml", REPOMD.format(sha=digest).encode())
        self.sign("repodata/repomd.xml", "repodata/repomd.xml.asc")

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self._home), "--kill", "all"], check=True)


@contextmanager
def serving(folder: Path) -> Iterator[Vendor]:
    """A vendor whose host answers while the block runs; `folder` holds what it serves and its key."""
    (folder / "vendor").mkdir()
    made = Vendor(folder / "vendor", folder / "gnupg")
    thread = Thread(target=made.server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        thread.join()
        made.server.server_close()
        made.close()
