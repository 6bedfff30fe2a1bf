"""Queries Debian's archive, through apt with a private root, for versions and dependencies.

Nothing on the machine changes and no root is needed: apt keeps its lists in Ingot's cache, verifies the signed index
with Debian's keyring, and reads the archive that `ingot.sources.origins` names. Builds of several images of one system
share those lists, and apt-cache reads them without a lock, so each query locks the folder.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ingot.errors import IngotError
from ingot.model.lock import Package
from ingot.model.system import OperatingSystem
from ingot.paths import alone, cache_dir
from ingot.run import run
from ingot.sources import origins

KEYRINGS = [
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
]
DEB_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}
INST = re.compile(r"^Inst (\S+) (?:\[\S+\] )?\((\S+) (.*) \[(\S+)\]\)")
# https://www.debian.org/doc/debian-policy/ch-controlfields.html#syntax-of-control-files
FIELD = re.compile(r"^([A-Za-z0-9-]+):[ \t]*(.*(?:\n[ \t].*)*)$", re.MULTILINE)
NAME = re.compile(r"^Inst (\S+) ", re.MULTILINE)
Wanted = Mapping[str, str | None]
UPSTREAM = re.compile(r"^(?:\d+:)?(\d+(?:\.\d+)*)")


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """The fields of each paragraph of a control file; a value of several lines keeps line ends and indentation."""
    return (dict(FIELD.findall(stanza)) for stanza in text.split("\n\n"))


def upstream(version: str) -> str:
    """The upstream part of a Debian version: `12.4.131~12.4.1-2` is `12.4.131`."""
    match = UPSTREAM.match(version)
    if match is None:
        raise IngotError(f"the version {version!r} does not begin with a number")
    return match.group(1)


class Archive:
    """Debian's archive for one operating system and architecture, as of the last `update`."""

    def __init__(self, name: str, system: OperatingSystem, arch: str) -> None:
        self.system = system
        self.root = cache_dir(f"archive/{name}-{arch}")
        self._arch = DEB_ARCH[arch]
        self._env = {**os.environ, "APT_CONFIG": str(self.root / "apt.conf"), "LC_ALL": "C.UTF-8"}
        self._archives: origins.Archives | None = None
        self._shown: dict[str, list[dict[str, str]]] = {}

    def _configure(self) -> None:
        keyring = next((path for path in KEYRINGS if path.exists()), None)
        if shutil.which("apt-get") is None or keyring is None:
            hint = "use Debian or Ubuntu with the package debian-archive-keyring (`make setup` installs it)"
            raise IngotError("Debian's archive cannot be read on this machine", hint=hint)
        for folder in ("lists/partial", "cache/archives/partial", "preferences.d"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "status").touch()
        self._archives = origins.archives()
        lines = self._archives.sources(self.system.suites, self.system.archive.components, [f"signed-by={keyring}"])
        (self.root / "sources.list").write_text("\n".join(lines) + "\n")
        (self.root / "apt.conf").write_text(
            f'Dir::State "{self.root}"; Dir::State::lists "{self.root}/lists";\n'
            f'Dir::State::status "{self.root}/status";\n'
            f'Dir::Cache "{self.root}/cache"; Dir::Cache::pkgcache "pkgcache.bin";\n'
            f'Dir::Cache::srcpkgcache "srcpkgcache.bin"; Dir::Etc::sourcelist "{self.root}/sources.list";\n'
            f'Dir::Etc::sourceparts "/dev/null"; Dir::Etc::preferences "/dev/null";\n'
            f'Dir::Etc::preferencesparts "{self.root}/preferences.d"; Dir::Etc::trusted "/dev/null";\n'
            f'APT::Architecture "{self._arch}"; APT::Architectures {{"{self._arch}";}};\n'
            'Acquire::Languages "none"; APT::Install-Recommends "false"; APT::Sandbox::User "root";\n'
            'Debug::NoLocking "true"; APT::Get::Assume-Yes "true";\n'
        )

    def address(self, suite: str) -> str:
        """The address, ending in a slash, of the archive that has `suite`."""
        assert self._archives is not None, "update() comes first"
        return self._archives.of(suite)

    def url(self, package: Package) -> str:
        """The address from which this machine downloads `package`."""
        return self.address(package.suite) + package.path

    def release(self, suite: str) -> Path:
        """The signed index of `suite`, as fetched and verified by the last `update`."""
        return next((self.root / "lists").glob(f"*_dists_{suite}_InRelease"))

    def update(self) -> dict[str, list[str]]:
        """Fetch and verify the signed indexes; return the primary keys that signed each suite."""
        with alone(self.root):
            return self._update()

    def _update(self) -> dict[str, list[str]]:
        self._configure()
        self._shown.clear()
        run(
            ["apt-get", "update", "-qq", "-o", "APT::Update::Error-Mode=any"],
            env=self._env,
            doing="reading the archive",
        )
        keyring = next(path for path in KEYRINGS if path.exists())
        trusted = set(self.system.keys.values())
        signers: dict[str, list[str]] = {}
        for release in sorted((self.root / "lists").glob("*InRelease")):
            suite = release.name.removesuffix("_InRelease").rsplit("_", 1)[-1]
            status = subprocess.run(
                ["gpgv", "--status-fd", "1", "--keyring", str(keyring), str(release)],
                capture_output=True,
                text=True,
                check=False,
            ).stdout
            primaries = sorted({line.split()[-1] for line in status.splitlines() if " VALIDSIG " in line})
            accepted = [key for key in primaries if key in trusted]
            if not accepted:
                raise IngotError(
                    f"the index of {suite} is signed by {', '.join(primaries) or 'no known key'}",
                    place=f"operating_systems/{self.system.os}.yml: keys",
                    hint="accept a key only after comparing its fingerprint with Debian's published ones",
                )
            signers[suite] = accepted
        return signers

    def read(self, names: Iterable[str]) -> None:
        """Read the archive's entries for all versions of `names`, in one call; later queries are free."""
        wanted = sorted({name for name in names if name not in self._shown})
        if not wanted:
            return
        command = ["apt-cache", "show", "--all-versions", *wanted]
        with alone(self.root):
            output = subprocess.run(command, capture_output=True, text=True, env=self._env, check=False).stdout
        for name in wanted:
            self._shown[name] = []
        for fields in stanzas(output):
            if fields.get("Package") in self._shown:
                self._shown[fields["Package"]].append(fields)

    def versions(self, name: str) -> list[str]:
        """All versions of package `name` that the archive holds, newest first as apt lists them."""
        self.read([name])
        return list(dict.fromkeys(stanza["Version"] for stanza in self._shown[name]))

    def target(self, name: str, version: str) -> str:
        """The package behind metapackage `name` at `version`: its first dependency."""
        self.read([name])
        for stanza in self._shown[name]:
            if stanza["Version"] == version:
                return re.split(r"[ ,(|]", stanza["Depends"])[0]
        raise IngotError(f"the archive has no {name} {version}")

    def closure(self, packages: Wanted, keep: Mapping[str, str] | None = None) -> dict[str, Package]:
        """Every package that installing `packages` (name to version or None) on an empty system installs.

        `keep` has versions to prefer while the archive still has them, so that a refresh changes only what it must.
        """
        pins = "".join(f"Package: {n}\nPin: version {v}\nPin-Priority: 990\n\n" for n, v in (keep or {}).items())
        with alone(self.root):
            (self.root / "preferences.d" / "keep").write_text(pins)
            simulated = self._simulate(packages)
        chosen = {m[1]: (m[2], m[3]) for line in simulated.splitlines() if (m := INST.match(line))}
        self.read(chosen)
        return {name: self._package(name, version, origin) for name, (version, origin) in sorted(chosen.items())}

    def parts(self, whole: Mapping[str, Package], wanted: Mapping[str, Wanted]) -> dict[str, set[str]]:
        """The names in `whole` that each of several installations on an empty system installs.

        apt reads only `whole`, which takes a hundredth of the time of reading the whole archive.
        """
        self.read(whole)
        stanzas = (self._stanza(name, package.version) for name, package in whole.items())
        text = "\n".join("".join(f"{key}: {value}\n" for key, value in stanza.items()) for stanza in stanzas)
        with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
            (Path(folder) / "Packages").write_text(text)
            options = ["-o", f"Dir::State::lists={folder}", "-o", "Dir::Etc::sourcelist=/dev/null"]
            # Keep apt's caches of the whole archive for the next query.
            options += ["-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="]
            options += ["-o", "Dir::Etc::preferencesparts=/dev/null", "--with-source", f"{folder}/Packages"]
            return {part: set(NAME.findall(self._simulate(packages, options))) for part, packages in wanted.items()}

    def _simulate(self, packages: Wanted, options: Sequence[str] = ()) -> str:
        """The output of apt's simulated installation of `packages`."""
        arguments = [f"{name}={version}" if version else name for name, version in sorted(packages.items())]
        return run(["apt-get", "install", "-s", *options, *arguments], env=self._env, doing="working out dependencies")

    def _stanza(self, name: str, version: str) -> dict[str, str]:
        """The archive's entry for a package at a version."""
        return next(stanza for stanza in self._shown[name] if stanza["Version"] == version)

    def _package(self, name: str, version: str, origin: str) -> Package:
        stanza = self._stanza(name, version)
        security = stanza["Filename"].startswith("pool/updates/")
        updates = "-updates" in origin and not security
        kind = "-security" if security else "-updates" if updates else ""
        return Package(
            version=version,
            suite=self.system.archive.suite + kind,
            path=stanza["Filename"],
            size=int(stanza["Size"]),
            installed=int(stanza.get("Installed-Size", 0)),
            sha256=stanza["SHA256"],
        )

    def gone(self, packages: Mapping[str, Package]) -> list[str]:
        """The names of those `packages` whose version or digest the archive no longer holds."""
        self.read(packages)
        return [
            name
            for name, package in packages.items()
            if not any(
                stanza["Version"] == package.version and stanza["SHA256"] == package.sha256
                for stanza in self._shown[name]
            )
        ]
