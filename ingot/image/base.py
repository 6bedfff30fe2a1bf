"""Turns the base of a lock into a container image: the bare system, its packages in exactly the lock's versions.

mmdebstrap makes the root file system; what it leaves as sources of packages is the archive that this machine is set up
to use, even where a mirror has stood in for it. An image is found again by
what is in it: as long as the lock wants the same packages of the bare system, nothing is made anew.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingot import yamlfile
from ingot.errors import IngotError
from ingot.image.setup import as_root
from ingot.model.lock import Lock
from ingot.model.types import LOCAL_ARCH, Strict
from ingot.run import run
from ingot.sources import origins
from ingot.sources.apt import DEB_ARCH, KEYRINGS

REPOSITORY = "ingot/base"
RECIPE = "ingot.recipe"
PACKAGES = "ingot.packages"
TOOLS_COMPONENTS = ["main"]
# mmdebstrap leaves these of the machine that it runs on; an image has no host name and no resolver of its own yet.
OF_THIS_MACHINE = ["etc/hostname", "etc/resolv.conf"]


@dataclass(frozen=True)
class Base:
    """A container image of the bare system, and where it came from."""

    tag: str
    origin: str


class Tools(Strict):
    """A file like `containers/disk-tools/tools.yml`: programs of a suite, as a container."""

    suite: str
    packages: list[str]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def preferences(versions: Mapping[str, str]) -> str:
    """apt preferences under which each package has this version or none, even if that means a downgrade."""
    return "".join(f"Package: {n}\nPin: version {v}\nPin-Priority: 1001\n\n" for n, v in sorted(versions.items()))


def differences(installed: Mapping[str, str], versions: Mapping[str, str]) -> list[str]:
    """One line for each installed package whose version is not the one that the lock names."""
    return [
        f"{name} {version}, the lock says {versions[name]}"
        for name, version in sorted(installed.items())
        if versions.get(name, version) != version
    ]


def _bootstrap(
    suites: Sequence[str],
    components: Sequence[str],
    arch: str,
    include: Sequence[str],
    pins: str,
    dest: Path,
    log: Path,
) -> dict[str, str]:
    """Make the tar archive `dest` of a minimal system with `include`; return its packages and their versions."""
    keyring = next((path for path in KEYRINGS if path.exists()), None)
    if keyring is None:
        raise IngotError(
            "Debian's archive keys are not installed", hint="install debian-archive-keyring (`make setup`)"
        )
    sources = origins.bootstrap_archives().sources(suites, components)
    own = origins.machine_archives().sources(suites, components)
    (dest.parent / "sources.list").write_text("\n".join(own) + "\n")
    (dest.parent / "ingot").write_text(pins)
    status = dest.parent / "status"
    # As root where that can be had: without, it needs user namespaces, which some systems keep from users.
    run(
        [
            *(as_root() or []), "env", f"TMPDIR={dest.parent}", "LC_ALL=C.UTF-8",
            "mmdebstrap", "--variant=apt", f"--architectures={DEB_ARCH[arch]}", f"--keyring={keyring}",
            f"--include={','.join(include)}",
            f"--setup-hook=copy-in {dest.parent}/ingot /etc/apt/preferences.d",
            '--customize-hook=rm "$1"/etc/apt/preferences.d/ingot',
            f"--customize-hook=copy-in {dest.parent}/sources.list /etc/apt",
            *(f'--customize-hook=rm -f "$1"/{name}' for name in OF_THIS_MACHINE),
            f"--customize-hook=download /var/lib/dpkg/status {status}",
            suites[0], dest, *sources,
        ],
        log=log,
        doing="making the base root file system",
    )  # fmt: skip
    installed = {}
    for stanza in status.read_text().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] != " ")
        if "Package" in fields:
            installed[fields["Package"]] = fields["Version"]
    return installed


def _import(tar: Path, tag: str, labels: Mapping[str, str]) -> None:
    changes = [word for name, value in labels.items() for word in ("--change", f"LABEL {name}={json.dumps(value)}")]
    run(["docker", "import", *changes, tar, tag], doing="giving the base to Docker")


def _find(repository: str, recipe: str) -> dict[str, dict[str, str]]:
    """The images in `repository` made by `recipe`: tag to installed packages.

    What is built on them has their labels as well, but not their repository.
    """
    listing = ["docker", "image", "ls", "--filter", f"label={RECIPE}={recipe}", "--format", "{{.Repository}}:{{.Tag}}"]
    listing.append(repository)
    found = {}
    for tag in sorted(run(listing).split(), key=len, reverse=True):
        text = run(["docker", "image", "inspect", "--format", f'{{{{index .Config.Labels "{PACKAGES}"}}}}', tag])
        found[tag] = dict(word.split("=", 1) for word in text.split())
    return found


def _labels(recipe: str, installed: Mapping[str, str]) -> dict[str, str]:
    packages = " ".join(f"{name}={version}" for name, version in sorted(installed.items()))
    return {"ingot": "1", RECIPE: recipe, PACKAGES: packages}


def ensure_base(lock: Lock, *, log: Path) -> Base:
    """The image of the lock's bare system, made if there is none with exactly these packages."""
    suites, components = lock.repositories["debian"].suites, lock.archive.components
    recipe = _digest([suites, components, lock.archive.packages, lock.arch, Path(__file__).read_text()])
    versions = {name: package.version for name, package in lock.packages.items()}
    for tag, installed in _find(REPOSITORY, recipe).items():
        if not differences(installed, versions):
            return _named(tag, lock)
    with tempfile.TemporaryDirectory(prefix="ingot-base-") as folder:
        tar = Path(folder) / "base.tar"
        installed = _bootstrap(suites, components, lock.arch, lock.archive.packages, preferences(versions), tar, log)
        if wrong := differences(installed, versions):
            raise IngotError(
                "the archive has other versions of the base's packages than the lock:\n  " + "\n  ".join(wrong[:15]),
                hint=f"run `ingot lock --os {lock.os} --arch {lock.arch}`",
            )
        tag = f"{REPOSITORY}:{lock.key}-{_digest(installed)[:12]}"
        _import(tar, tag, _labels(recipe, installed))
    return _named(tag, lock)


def _named(tag: str, lock: Lock) -> Base:
    """The base `tag`, which gets the short name that Packer's files start from when they are run by hand."""
    run(["docker", "tag", tag, f"{REPOSITORY}:{lock.key}"])
    return Base(tag, "mmdebstrap")


def read_tools(path: Path) -> Tools:
    """The file `path`."""
    data, _ = yamlfile.read(path)
    return Tools.model_validate(data)


def tools_suites(tools: Tools) -> list[str]:
    """The suites that the programs come from."""
    return [tools.suite, f"{tools.suite}-updates", f"{tools.suite}-security"]


def ensure_tools(path: Path, *, log: Path) -> str:
    """The image with the programs that the file `path` lists, made if there is none; its tag."""
    tools = read_tools(path)
    recipe = _digest([tools.model_dump(), Path(__file__).read_text()])
    repository = f"ingot/{path.parent.name}"
    if found := _find(repository, recipe):
        return next(iter(found))
    tag = f"{repository}:{recipe[:12]}"
    with tempfile.TemporaryDirectory(prefix="ingot-base-") as folder:
        tar = Path(folder) / "tools.tar"
        installed = _bootstrap(tools_suites(tools), TOOLS_COMPONENTS, LOCAL_ARCH, tools.packages, "", tar, log)
        _import(tar, tag, _labels(recipe, installed))
    return tag
