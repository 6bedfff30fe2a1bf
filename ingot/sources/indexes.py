"""Reads the packages of a vendor's repository and their dependencies from its signed index: apt's, flat or with suites,
and rpm's."""

import gzip
import lzma
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from backports import zstd

from ingot.errors import IngotError
from ingot.model.lock import Repository, VendorPackage
from ingot.model.types import Arch
from ingot.sources.apt import DEB_ARCH, stanzas
from ingot.sources.signatures import Keyring, Tell, download
from ingot.sources.versions import Kind, Relation

RPM = {
    "common": "{http://linux.duke.edu/metadata/common}",
    "repo": "{http://linux.duke.edu/metadata/repo}",
    "rpm": "{http://linux.duke.edu/metadata/rpm}",
}
# The meaning of relations in Debian's fields and in rpm's index.
SIGNS = {"<<": "<", ">>": ">", "<": "<=", ">": ">=", "EQ": "=", "LT": "<", "LE": "<=", "GE": ">=", "GT": ">"}
RELATION = re.compile(r"([^\s(]+?)(?::any)?\s*(?:\(\s*([<>=]+)\s*([^\s)]+)\s*\))?")
UNPACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress, ".xz": lzma.decompress, ".zst": zstd.decompress, ".xml": bytes, "": bytes,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Build:
    """One package in one version: its needs (each with alternatives) and what it provides. Without `file` it is the
    distribution's."""

    name: str
    version: str = ""
    file: VendorPackage | None = None
    needs: tuple[tuple[Relation, ...], ...] = ()
    provides: tuple[Relation, ...] = ()


@dataclass(frozen=True)
class Index:
    """The content of a repository: by name, every version of a package; and the index files, as served.

    The paths of `files` are relative to the repository's address.
    """

    kind: Kind
    packages: dict[str, list[Build]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


def read_index(name: str, repository: Repository, arch: Arch, tell: Tell = lambda _: None) -> Index:
    """The index of repository `name` for `arch`. IngotError if its key has not signed it, or it is incomplete.

    Of a repository that signs its packages alone, the index is what the host says; `ingot.sources.rpm` checks packages.
    """
    keyring = Keyring(repository.key_url, repository.key_fingerprint, f"the repository {name}")
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        tell(f"reading {repository.url}")
        reader = (_Apt if repository.kind == "apt" else _Rpm)(repository, keyring, Path(folder))
        return Index(repository.kind, reader.read(arch), reader.files)


class _Reader:
    """The common part of both kinds of repositories: files are fetched, verified and kept as served."""

    def __init__(self, repository: Repository, keyring: Keyring, folder: Path) -> None:
        self._url, self._keyring, self._folder = repository.url.rstrip("/"), keyring, folder
        self._suites, self._components = repository.suites, repository.components
        self._signed = repository.index_signed
        self.files: dict[str, bytes] = {}

    def _fetch(self, path: str) -> Path:
        """The file at `path`, with its signature still unchecked."""
        file = self._folder / Path(path).name
        download(f"{self._url}/{path}", file)
        self.files[path] = file.read_bytes()
        return file

    def _verified(self, path: str, digest: str) -> str:
        """The text of the index at `path`, which must have `digest` as served."""
        kind = Path(path).suffix
        got = download(f"{self._url}/{path}", self._folder / "index")
        if got != digest:
            raise IngotError(
                f"{self._url}/{path} does not match its digest: expected {digest}, got {got}", hint="nothing was kept"
            )
        self.files[path] = (self._folder / "index").read_bytes()
        if kind not in UNPACK:
            raise IngotError(
                f"{self._url}/{path} has an unknown compression: {kind}", hint=f"known: {', '.join(UNPACK)}"
            )
        return UNPACK[kind](self.files[path]).decode()


class _Apt(_Reader):
    """InRelease has the digests of Packages files, which have those of packages."""

    def read(self, arch: Arch) -> dict[str, list[Build]]:
        """Every package of the suites and components for `arch`."""
        suites = [f"dists/{suite}/" for suite in self._suites] or [""]
        folders = [f"{component}/binary-{DEB_ARCH[arch]}/" for component in self._components] or [""]
        packages: dict[str, list[Build]] = {}
        for suite in suites:
            release = self._keyring.text(self._fetch(f"{suite}InRelease"))
            named = re.findall(r"^ ([0-9a-f]{64}) +\d+ (\S+)$", release, re.MULTILINE)
            digests = {path: digest for digest, path in named}
            for folder in folders:
                for fields in stanzas(self._packages(suite, folder, digests)):
                    # A flat repository also has packages of other architectures.
                    if {"Package", "Version", "Filename", "SHA256"} <= set(fields) and fields.get(
                        "Architecture", "all"
                    ) in (DEB_ARCH[arch], "all"):
                        packages.setdefault(fields["Package"], []).append(_deb(fields))
        return packages

    def _packages(self, suite: str, folder: str, digests: dict[str, str]) -> str:
        for kind in (".xz", ".gz", ""):
            name = f"{folder}Packages{kind}"
            if digest := digests.get(name) or digests.get(f"./{name}"):
                return self._verified(suite + name, digest)
        raise IngotError(f"the index of {self._url}/{suite} does not list {folder}Packages")


def _deb(fields: Mapping[str, str]) -> Build:
    """The package of a stanza of Packages."""

    def relations(field: str) -> list[tuple[Relation, ...]]:
        groups = [group for group in fields.get(field, "").split(",") if group.strip()]
        return [tuple(_relation(alternative.strip()) for alternative in group.split("|")) for group in groups]

    file = VendorPackage(
        version=fields["Version"],
        path=fields["Filename"].removeprefix("./"),
        size=int(fields["Size"]),
        sha256=fields["SHA256"],
    )
    return Build(
        fields["Package"],
        file.version,
        file,
        needs=tuple(relations("Pre-Depends") + relations("Depends")),
        provides=tuple(relation for group in relations("Provides") for relation in group),
    )


def _relation(text: str) -> Relation:
    """`libnccl2:any (>= 2.31)`, `libnccl2`."""
    match = RELATION.fullmatch(text)
    name, sign, version = match.groups("") if match else (text, "", "")
    return Relation(name, SIGNS.get(sign, sign), version)


class _Rpm(_Reader):
    """repomd.xml has the digest of primary.xml, which has those of packages; its signature is a file of its own."""

    def read(self, arch: Arch) -> dict[str, list[Build]]:
        """Every package for `arch`; an address is for one architecture, but may have 32-bit libraries."""
        repomd = self._fetch("repodata/repomd.xml")
        if self._signed:
            self._keyring.check(repomd, self._fetch("repodata/repomd.xml.asc"))
        named = ElementTree.fromstring(repomd.read_bytes()).find(f"{RPM['repo']}data[@type='primary']")
        href = named.find(f"{RPM['repo']}location") if named is not None else None
        digest = named.find(f"{RPM['repo']}checksum[@type='sha256']") if named is not None else None
        if href is None or digest is None or not digest.text:
            raise IngotError(f"the index of {self._url} has no primary.xml with a SHA-256")
        text = self._verified(href.attrib["href"], digest.text)
        packages: dict[str, list[Build]] = {}
        for package in ElementTree.fromstring(text).iter(f"{RPM['common']}package"):
            if package.findtext(f"{RPM['common']}arch", "noarch") in (arch, "noarch"):
                build = self._package(package)
                packages.setdefault(build.name, []).append(build)
        return packages

    def _package(self, package: ElementTree.Element) -> Build:
        def part(name: str) -> ElementTree.Element:
            element = package.find(f"{RPM['common']}{name}")
            if element is None:
                raise IngotError(f"a package of {self._url} has no {name}")
            return element

        def relations(name: str) -> list[Relation]:
            entries = package.iterfind(f"{RPM['common']}format/{RPM['rpm']}{name}/{RPM['rpm']}entry")
            return [
                Relation(one.attrib["name"], SIGNS[one.attrib["flags"]], _evr(one.attrib))
                if "flags" in one.attrib
                else Relation(one.attrib["name"])
                for one in entries
            ]

        file = VendorPackage(
            version=_evr(part("version").attrib),
            path=part("location").attrib["href"],
            size=int(part("size").attrib["package"]),
            sha256=part("checksum").text or "",
        )
        files = [Relation(item.text or "") for item in package.iterfind(f"{RPM['common']}format/{RPM['common']}file")]
        return Build(
            part("name").text or "",
            file.version,
            file,
            needs=tuple((item,) for item in relations("requires")),
            provides=(*relations("provides"), *files),
        )


def _evr(number: Mapping[str, str]) -> str:
    """Epoch, version and release as one string: `3:580.126.20-1.el9`."""
    epoch = "" if number.get("epoch", "0") == "0" else f"{number['epoch']}:"
    return f"{epoch}{number['ver']}" + (f"-{number['rel']}" if "rel" in number else "")
