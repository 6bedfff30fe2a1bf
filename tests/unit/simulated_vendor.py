"""A simulated vendor: a host that serves what it has signed, in the layouts that NVIDIA, Docker and AWS use."""

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Self

from backports import zstd

from tests.serving import Folder, answering
from tests.signing import Key

PRIMARY = """<metadata xmlns="http://linux.duke.edu/metadata/common"
  xmlns:rpm="http://linux.duke.edu/metadata/rpm">{}</metadata>"""
PACKAGE = """<package type="rpm"><name>{name}</name><version epoch="{epoch}" ver="{ver}" rel="{rel}"/>
<arch>{arch}</arch><checksum type="sha256" pkgid="YES">{sha}</checksum><size package="{size}"/>
<location href="{name}-{ver}.rpm"/><format>{says}</format></package>"""
REPOMD = """<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="primary">
<checksum type="sha256">{sha}</checksum><location href="repodata/primary.xml.zst"/></data></repomd>"""


# What packages say beside name and version, by name or by name and version ("libnccl2 2.31.2-1").
Says = Mapping[str, str]


def _said(says: Says | None, name: str, version: str) -> str:
    return (says or {}).get(f"{name} {version}", (says or {}).get(name, ""))


class Vendor:
    """A simulated vendor: a host that serves a folder, and a key that signs what is in it."""

    def __init__(self, folder: Path, home: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self._home = home
        self._key: Key | None = None
        self._agent = ExitStack()

    def make_key(self) -> str:
        """Make and publish the key; its fingerprint."""
        self._key = self._agent.enter_context(Key(self._home, "ed25519"))
        (self.folder / "key").write_bytes(self._key.public)
        return self._key.fingerprint

    def rotate(self) -> None:
        """Let the next key sign as well, and publish this one with its predecessor."""
        assert self._key
        self._key.rotate()
        (self.folder / "key").write_bytes(self._key.keys)

    def sign(self, file: str, to: str, *, inline: bool = False) -> None:
        """Sign a file of the host: with the signature by itself, or in the text."""
        assert self._key
        content = (self.folder / file).read_bytes()
        signed = self._key.signed(content) if inline else self._key.detached(content, armored=False)
        (self.folder / to).write_bytes(signed)

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
        self.sign(f"{root}Release", f"{root}InRelease", inline=True)

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
        primary = zstd.compress(PRIMARY.format("".join(entries)).encode())
        digest = self.write("repodata/primary.xml.zst", primary)
        self.write("repodata/repomd.xml", REPOMD.format(sha=digest).encode())
        self.sign("repodata/repomd.xml", "repodata/repomd.xml.asc")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._agent.close()


@contextmanager
def serving(folder: Path) -> Iterator[Vendor]:
    """A vendor whose host answers while the block runs; `folder` holds what it serves and its key."""
    (folder / "vendor").mkdir()
    with (
        answering(partial(Folder, directory=str(folder / "vendor"))) as url,
        Vendor(folder / "vendor", folder / "gnupg", url) as vendor,
    ):
        yield vendor
