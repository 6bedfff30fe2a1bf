"""Decides where packages and wheels come from: the mirror that INGOT_MIRROR names, else as this machine is set up.

Everything that reads Debian's archive or the Python package index asks here: the resolver, downloads, the base, and the
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
# In memory, so that the mount leaves no folder behind in the image.
IN_CONTAINER = "/dev/shm/ingot-mirror"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Where pip's own settings say where wheels come from.
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
        words = " ".join([*options, *self.options])
        shown = f"[{words}] " if words else ""
        return [f"deb {shown}{self.of(suite)} {suite} {' '.join(components)}" for suite in suites]


@dataclass(frozen=True)
class Mirror:
    """What `ingot mirror` has made, in a folder or behind a web server; `url` ends in a slash."""

    url: str
    folder: Path | None = None

    def archives(self, url: str = "") -> Archives:
        """Its archives, or the same ones seen at another `url`.

        A mirror keeps one day's state of the archive, so the date on which its index expires says nothing; and it has
        no indexes but those of packages, whatever else this machine's apt likes to read.
        """
        at = url or self.url
        return Archives(f"{at}debian/", f"{at}debian-security/", ("check-valid-until=no", "target=Packages"))


def mirror() -> Mirror | None:
    """The mirror that INGOT_MIRROR names, None when it is not set; UsageError when there is none."""
    named = os.environ.get(VARIABLE, "")
    if not named:
        return None
    if named.startswith(("http://", "https://")):
        return Mirror(named.rstrip("/") + "/")
    folder = Path(named).expanduser().resolve()
    if not (folder / "debian" / "dists").is_dir():
        raise UsageError("this is no mirror", place=f"{VARIABLE}={named}", hint="make one with `ingot mirror DIR`")
    return Mirror(f"{folder.as_uri()}/", folder)


def archives() -> Archives:
    """Where Ingot itself reads Debian's archive: the mirror, else what this machine is set up to use."""
    named = mirror()
    return named.archives() if named else machine_archives()


def bootstrap_archives() -> Archives:
    """The same for mmdebstrap, in whose new system a mirror's folder is not to be seen: apt copies packages into it."""
    named = mirror()
    return named.archives(named.url.replace("file:", "copy:", 1)) if named else machine_archives()


def machine_archives() -> Archives:
    """Where this machine's own tools read Debian's archive: what an image is set up to use, too."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)"],
        capture_output=True,
        text=True,
        check=False,
        env={key: value for key, value in os.environ.items() if key != "APT_CONFIG"},
    )
    found: dict[str, str] = {}
    for line in listed.stdout.splitlines():
        origin, label, uri = line.split("|")
        if origin == "Debian" and label in ("Debian", "Debian-Security"):
            found.setdefault(label, uri)
    return Archives(found["Debian"], found["Debian-Security"]) if len(found) == 2 else _archives_of_mmdebstrap()


def _archives_of_mmdebstrap() -> Archives:
    """What mmdebstrap uses for Debian on a machine whose own apt is set up for another distribution."""
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        sources = Path(folder) / "sources.list"
        hook = f"--setup-hook=cp \"$1\"/etc/apt/sources.list '{sources}'; exit 1"
        subprocess.run(
            ["mmdebstrap", "--variant=custom", hook, "stable", "/dev/null"], capture_output=True, check=False
        )
        text = sources.read_text() if sources.exists() else ""
    addresses = re.findall(r"^deb (?:\[.*?\] )?(\S+) (\S+)", text, re.MULTILINE)
    found = {"security" in suite: uri.rstrip("/") + "/" for uri, suite in addresses}
    if len(found) != 2:
        raise IngotError(
            "this machine names no Debian archive",
            hint="configure apt for Debian, or install mmdebstrap (`make setup`)",
        )
    return Archives(found[False], found[True])


def pip_environment() -> dict[str, str] | None:
    """The environment in which pip asks the mirror and nothing else; None, this process's own, without a mirror."""
    named = mirror()
    if named is None:
        return None
    kept = {key: value for key, value in os.environ.items() if key not in PIP_ORIGINS}
    # The files are left out because they, too, may name indexes.
    found = {**kept, "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"{named.url}simple/"}
    # What a lock names is verified against the lock, however it comes.
    host = urlsplit(named.url).netloc
    return {**found, "PIP_TRUSTED_HOST": host} if named.url.startswith("http:") else found


def packer_variables(suites: Sequence[str], components: Sequence[str], folder: Path) -> dict[str, str]:
    """Packer's variables with which a build's container reads the mirror and nothing else; none without a mirror.

    `folder` gets the sources.list that stands in place of the image's own while it is made.
    """
    named = mirror()
    if named is None:
        return {}
    seen = named.archives(f"file://{IN_CONTAINER}/" if named.folder else "")
    write_text(folder / "sources.list", "\n".join(seen.sources(suites, components)) + "\n")
    variables = {"apt_sources": str(folder / "sources.list")}
    if named.folder:
        return {**variables, "mirror": str(named.folder), "network": "none"}
    # A server that listens on this machine alone is out of reach from a network of its own.
    return {**variables, "network": "host" if urlsplit(named.url).hostname in LOOPBACK else "bridge"}
