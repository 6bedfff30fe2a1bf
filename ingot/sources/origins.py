"""Decides where packages and wheels come from: the mirror in INGOT_MIRROR, else this machine's configuration.

Used by everything that reads Debian's archive or the Python package index: the resolver, downloads, the base, and the
container in which an image is made.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ingot.errors import IngotError, UsageError
from ingot.paths import write_text

VARIABLE = "INGOT_MIRROR"
# In memory, so that the mount does not leave a folder in the image.
IN_CONTAINER = "/dev/shm/ingot-mirror"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# The variables of pip that set the origin of wheels.
PIP_ORIGINS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX")


@dataclass(frozen=True)
class Archives:
    """The addresses of Debian's main and security archive, each ending in a slash, and apt's options for them."""

    main: str
    security: str
    options: tuple[str, ...] = ()

    def of(self, suite: str) -> str:
        """The address of the archive that has `suite`."""
        return self.security if suite.endswith("-security") else self.main

    def sources(self, suites: Sequence[str], components: Sequence[str], options: Sequence[str] = ()) -> list[str]:
        """The lines of apt's sources.list for `suites`."""
        text = " ".join([*options, *self.options])
        prefix = f"[{text}] " if text else ""
        return [f"deb {prefix}{self.of(suite)} {suite} {' '.join(components)}" for suite in suites]


@dataclass(frozen=True)
class Mirror:
    """A mirror made by `ingot mirror`, in a folder or on a web server; `url` ends in a slash."""

    url: str
    folder: Path | None = None

    def archives(self, url: str = "") -> Archives:
        """Its archives, or the same ones at another `url`.

        A mirror has the state of the archive on one day, so the expiry date of its index does not matter; and it has
        only the indexes of packages, whatever else this machine's apt reads.
        """
        at = url or self.url
        return Archives(f"{at}debian/", f"{at}debian-security/", ("check-valid-until=no", "target=Packages"))


def mirror() -> Mirror | None:
    """The mirror in INGOT_MIRROR, None if it is not set; UsageError if it is not a mirror."""
    named = os.environ.get(VARIABLE, "")
    if not named:
        return None
    if named.startswith(("http://", "https://")):
        return Mirror(named.rstrip("/") + "/")
    folder = Path(named).expanduser().resolve()
    if not (folder / "debian" / "dists").is_dir():
        raise UsageError("not a mirror", place=f"{VARIABLE}={named}", hint="make one with `ingot mirror DIR`")
    return Mirror(f"{folder.as_uri()}/", folder)


def archives() -> Archives:
    """The archives that Ingot reads: the mirror's, else those in this machine's configuration."""
    named = mirror()
    return named.archives() if named else machine_archives()


def bootstrap_archives() -> Archives:
    """The same for mmdebstrap, whose new system cannot see a mirror's folder: apt copies the packages."""
    named = mirror()
    return named.archives(named.url.replace("file:", "copy:", 1)) if named else machine_archives()


def machine_archives() -> Archives:
    """The archives in this machine's own apt configuration, which images use as well."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)"],
        capture_output=True,
        text=True,
        check=False,
        env={key: value for key, value in os.environ.items() if key != "APT_CONFIG"},
    )
    addresses: dict[str, str] = {}
    for line in listed.stdout.splitlines():
        origin, label, uri = line.split("|")
        if origin == "Debian" and label in ("Debian", "Debian-Security"):
            addresses.setdefault(label, uri)
    return (
        Archives(addresses["Debian"], addresses["Debian-Security"])
        if len(addresses) == 2
        else _archives_of_mmdebstrap()
    )


def _archives_of_mmdebstrap() -> Archives:
    """mmdebstrap's default for Debian, on a machine whose own apt is configured for another distribution."""
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        sources = Path(folder) / "sources.list"
        hook = f"--setup-hook=cp \"$1\"/etc/apt/sources.list '{sources}'; exit 1"
        subprocess.run(
            ["mmdebstrap", "--variant=custom", hook, "stable", "/dev/null"], capture_output=True, check=False
        )
        text = sources.read_text() if sources.exists() else ""
    addresses = re.findall(r"^deb (?:\[.*?\] )?(\S+) (\S+)", text, re.MULTILINE)
    uris = {"security" in suite: uri.rstrip("/") + "/" for uri, suite in addresses}
    if len(uris) != 2:
        raise IngotError(
            "no Debian archive is configured on this machine",
            hint="configure apt for Debian, or install mmdebstrap (`make setup`)",
        )
    return Archives(uris[False], uris[True])


def pip_environment() -> dict[str, str] | None:
    """The environment in which pip uses only the mirror; None without one, for the process's own environment."""
    named = mirror()
    if named is None:
        return None
    kept = {key: value for key, value in os.environ.items() if key not in PIP_ORIGINS}
    # pip's configuration files may also name indexes.
    environment = {**kept, "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"{named.url}simple/"}
    # Files are verified against the lock, so plain HTTP is safe.
    host = urlsplit(named.url).netloc
    return {**environment, "PIP_TRUSTED_HOST": host} if named.url.startswith("http:") else environment


def packer_variables(suites: Sequence[str], components: Sequence[str], folder: Path) -> dict[str, str]:
    """Packer's variables for a build's container that reads only the mirror; none without a mirror.

    `folder` gets the sources.list that replaces the image's own during the build.
    """
    named = mirror()
    if named is None:
        return {}
    seen = named.archives(f"file://{IN_CONTAINER}/" if named.folder else "")
    write_text(folder / "sources.list", "\n".join(seen.sources(suites, components)) + "\n")
    variables = {"apt_sources": str(folder / "sources.list")}
    if named.folder:
        return {**variables, "mirror": str(named.folder), "network": "none"}
    # A server that listens only on loopback is unreachable from a container's own network.
    return {**variables, "network": "host" if urlsplit(named.url).hostname in LOOPBACK else "bridge"}
