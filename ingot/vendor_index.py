"""Reads which packages a vendor's repository has, from its signed index: apt's, flat or with suites, and rpm's."""

import gzip
import lzma
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from ingot.archive import DEB_ARCH
from ingot.errors import IngotError
from ingot.models import Arch, Repository, VendorPackage
from ingot.signed import Keyring, Tell, download

RPM = {
    "common": "{http://linux.duke.edu/metadata/common}",
    "repo": "{http://linux.duke.edu/metadata/repo}",
}
UNPACK: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.decompress, ".xz": lzma.decompress, "": bytes}
# By name, every version of a package.
Index = dict[str, list[VendorPackage]]


def read_index(name: str, repository: Repository, arch: Arch, tell: Tell = lambda _: None) -> Index:
    """What repository `name` has for `arch`. IngotError when its key has not signed it, or it cannot be had whole."""
    keyring = Keyring(repository.key_url, repository.key_fingerprint, f"the repository {name}")
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        tell(f"reading {repository.url}")
        reader = _Apt if repository.kind == "apt" else _Rpm
        return reader(repository, keyring, Path(folder)).read(arch)


class _Apt:
    """InRelease names the digests of Packages files, which name those of packages."""

    def __init__(self, repository: Repository, keyring: Keyring, folder: Path) -> None:
        self._url, self._keyring, self._folder = repository.url.rstrip("/"), keyring, folder
        self._suites, self._components = repository.suites, repository.components

    def read(self, arch: Arch) -> Index:
        suites = [f"dists/{suite}/" for suite in self._suites] or [""]
        folders = [f"{component}/binary-{DEB_ARCH[arch]}/" for component in self._components] or [""]
        found: Index = {}
        for suite in suites:
            download(f"{self._url}/{suite}InRelease", self._folder / "InRelease")
            release = self._keyring.text(self._folder / "InRelease")
            named = re.findall(r"^ ([0-9a-f]{64}) +\d+ (\S+)$", release, re.MULTILINE)
            digests = {path: digest for digest, path in named}
            for folder in folders:
                for stanza in self._packages(suite, folder, digests).split("\n\n"):
                    fields = dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", stanza, re.MULTILINE))
                    if {"Package", "Version", "Filename", "SHA256"} <= set(fields):
                        found.setdefault(fields["Package"], []).append(
                            VendorPackage(
                                version=fields["Version"],
                                path=fields["Filename"].removeprefix("./"),
                                size=int(fields["Size"]),
                                sha256=fields["SHA256"],
                            )
                        )
        return found

    def _packages(self, suite: str, folder: str, digests: dict[str, str]) -> str:
        for kind in (".xz", ".gz", ""):
            name = f"{folder}Packages{kind}"
            if digest := digests.get(name) or digests.get(f"./{name}"):
                return _fetched(f"{self._url}/{suite}{name}", digest, self._folder, kind)
        raise IngotError(f"the index of {self._url}/{suite} names no {folder}Packages")


class _Rpm:
    """repomd.xml names the digest of primary.xml, which names those of packages; its signature lies beside it."""

    def __init__(self, repository: Repository, keyring: Keyring, folder: Path) -> None:
        self._url, self._keyring, self._folder = repository.url.rstrip("/"), keyring, folder

    def read(self, arch: Arch) -> Index:
        del arch  # An address is of one architecture.
        repomd = self._folder / "repomd.xml"
        download(f"{self._url}/repodata/repomd.xml", repomd)
        download(f"{self._url}/repodata/repomd.xml.asc", self._folder / "repomd.xml.asc")
        self._keyring.check(repomd, self._folder / "repomd.xml.asc")
        named = ElementTree.fromstring(repomd.read_bytes()).find(f"{RPM['repo']}data[@type='primary']")
        if named is None:
            raise IngotError(f"the index of {self._url} names no primary.xml")
        href = named.find(f"{RPM['repo']}location")
        digest = named.find(f"{RPM['repo']}checksum[@type='sha256']")
        if href is None or digest is None or not digest.text:
            raise IngotError(f"the index of {self._url} has no SHA-256 of primary.xml")
        path = href.attrib["href"]
        text = _fetched(f"{self._url}/{path}", digest.text, self._folder, Path(path).suffix)
        found: Index = {}
        for package in ElementTree.fromstring(text).iter(f"{RPM['common']}package"):
            name, one = self._package(package)
            found.setdefault(name, []).append(one)
        return found

    def _package(self, package: ElementTree.Element) -> tuple[str, VendorPackage]:
        def part(name: str) -> ElementTree.Element:
            there = package.find(f"{RPM['common']}{name}")
            if there is None:
                raise IngotError(f"a package of {self._url} has no {name}")
            return there

        number = part("version").attrib
        epoch = "" if number.get("epoch", "0") == "0" else f"{number['epoch']}:"
        return part("name").text or "", VendorPackage(
            version=f"{epoch}{number['ver']}-{number['rel']}",
            path=part("location").attrib["href"],
            size=int(part("size").attrib["package"]),
            sha256=part("checksum").text or "",
        )


def _fetched(url: str, digest: str, folder: Path, kind: str) -> str:
    """The text of an index, which must have `digest` as it is served."""
    if kind not in UNPACK:
        raise IngotError(f"{url} is packed as {kind}, which is not known", hint=f"known: {', '.join(UNPACK)}")
    got = download(url, folder / "index")
    if got != digest:
        raise IngotError(f"{url} does not match its digest: expected {digest}, got {got}", hint="nothing was recorded")
    return UNPACK[kind]((folder / "index").read_bytes()).decode()
