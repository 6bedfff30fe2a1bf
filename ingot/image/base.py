"""Turns the base of a lock into a container image: the minimal system, with packages in exactly the lock's versions.

mmdebstrap makes the root file system. Its package sources name the archive that this machine is configured to use, even
if the packages came from a mirror. An image is looked up by its contents: while the lock wants the same packages of the
minimal system, nothing is rebuilt.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ingot import yamlfile
from ingot.errors import IngotError
from ingot.image.setup import as_root
from ingot.model.lock import Lock
from ingot.model.types import LOCAL_ARCH, Strict
from ingot.paths import temporary
from ingot.run import run
from ingot.sources import origins
from ingot.sources.apt import DEB_ARCH, KEYRINGS, stanzas

REPOSITORY = "ingot/base"
RECIPE = "ingot.recipe"
PACKAGES = "ingot.packages"
TOOLS_COMPONENTS = ["main"]
# mmdebstrap copies these from the machine that it runs on; an image has no host name or resolver of its own yet.
OF_THIS_MACHINE = ["etc/hostname", "etc/resolv.conf"]


@dataclass(frozen=True)
class Base:
    """A container image of the minimal system, and where it came from."""

    tag: str
    origin: str


class Tools(Strict):
    """A file like `containers/disk-tools/tools.yml`: packages of a suite, installed in a container."""

    suite: str
    packages: list[str]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def preferences(versions: Mapping[str, str]) -> str:
    """apt preferences that allow each package in this version only, even if that means a downgrade."""
    return "".join(f"Package: {n}\nPin: version {v}\nPin-Priority: 1001\n\n" for n, v in sorted(versions.items()))


def differences(installed: Mapping[str, str], versions: Mapping[str, str]) -> list[str]:
    """One line for each installed package whose version is not the one that the lock names."""
    return [
        f"{name} {version}, the lock has {versions[name]}"
        for name, version in sorted(installed.items())
        if versions.get(name, version) != version
    ]


def _remove(folder: Path) -> None:
    """Remove a folder in which mmdebstrap may have worked as root, and may not have ended yet."""
    run([*(as_root() or []), "rm", "-rf", folder], accepted=(0, 1))


def workspace() -> AbstractContextManager[Path]:
    """A temporary folder for mmdebstrap, which has its lock as well."""
    return temporary(_remove)


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
        raise IngotError("Debian's archive keys are not installed", hint="run `make setup`")
    sources = origins.bootstrap_archives().sources(suites, components)
    own = origins.machine_archives().sources(suites, components)
    (dest.parent / "sources.list").write_text("\n".join(own) + "\n")
    (dest.parent / "ingot").write_text(pins)
    status = dest.parent / "status"
    # As root where possible: otherwise it needs user namespaces, which some systems deny to users.
    run(
        [
            *(as_root() or []), "flock", "--shared", dest.parent,
            "env", f"TMPDIR={dest.parent}", "LC_ALL=C.UTF-8",
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
    return {stanza["Package"]: stanza["Version"] for stanza in stanzas(status.read_text()) if stanza}


def _import(tar: Path, tag: str, labels: Mapping[str, str]) -> None:
    changes = [text for name, value in labels.items() for text in ("--change", f"LABEL {name}={json.dumps(value)}")]
    run(["docker", "import", *changes, tar, tag], doing="importing the base into Docker")


def _find(repository: str, recipe: str) -> dict[str, dict[str, str]]:
    """The images in `repository` made by `recipe`: tag to installed packages.

    Images built on them have the same labels, but another repository.
    """
    listing = ["docker", "image", "ls", "--filter", f"label={RECIPE}={recipe}", "--format", "{{.Repository}}:{{.Tag}}"]
    listing.append(repository)
    images = {}
    for tag in sorted(run(listing).split(), key=len, reverse=True):
        labels = run(["docker", "image", "inspect", "--format", f'{{{{index .Config.Labels "{PACKAGES}"}}}}', tag])
        images[tag] = dict(word.split("=", 1) for word in labels.split())
    return images


def _labels(recipe: str, installed: Mapping[str, str]) -> dict[str, str]:
    packages = " ".join(f"{name}={version}" for name, version in sorted(installed.items()))
    return {"ingot": "1", RECIPE: recipe, PACKAGES: packages}


def ensure_base(lock: Lock, *, log: Path) -> Base:
    """The image of the lock's minimal system, made unless one with exactly these packages exists."""
    suites, components = lock.repositories["debian"].suites, lock.archive.components
    recipe = _digest([suites, components, lock.archive.packages, lock.arch, Path(__file__).read_text()])
    versions = {name: package.version for name, package in lock.packages.items()}
    for tag, installed in _find(REPOSITORY, recipe).items():
        if not differences(installed, versions):
            return _named(tag, lock)
    with workspace() as folder:
        tar = folder / "base.tar"
        installed = _bootstrap(suites, components, lock.arch, lock.archive.packages, preferences(versions), tar, log)
        if wrong := differences(installed, versions):
            raise IngotError(
                "the archive's versions of base packages differ from the lock:\n  " + "\n  ".join(wrong[:15]),
                hint=f"run `ingot lock --os {lock.os} --arch {lock.arch}`",
            )
        # With the recipe: another checkout on this machine may have another one for the same packages.
        tag = f"{REPOSITORY}:{lock.key}-{_digest([recipe, installed])[:12]}"
        _import(tar, tag, _labels(recipe, installed))
    return _named(tag, lock)


def _named(tag: str, lock: Lock) -> Base:
    """The base `tag`, also tagged with the short name that Packer's files start from when run by hand."""
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
    """The tag of the image with the packages that the file `path` lists, made if missing."""
    tools = read_tools(path)
    recipe = _digest([tools.model_dump(), Path(__file__).read_text()])
    repository = f"ingot/{path.parent.name}"
    if images := _find(repository, recipe):
        return next(iter(images))
    tag = f"{repository}:{recipe[:12]}"
    with workspace() as folder:
        tar = folder / "tools.tar"
        installed = _bootstrap(tools_suites(tools), TOOLS_COMPONENTS, LOCAL_ARCH, tools.packages, "", tar, log)
        _import(tar, tag, _labels(recipe, installed))
    return tag
