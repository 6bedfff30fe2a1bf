"""The inputs of an image: what decides its content, and the suite that judges it, each as one digest."""

import hashlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ingot import paths
from ingot.catalog.digest import sha256_of
from ingot.lock.file import load
from ingot.model.lock import Lock
from ingot.model.target import ImageSelection

# Roles that the play and other roles include.
SHARED_ROLES = ("component", "packages")
# What else decides every image; documentation, tests and the command line are no inputs.
SHARED = ("plugins", "playbooks", "packer", "containers/disk-tools", "ingot/image/base.py", "ingot/image/disk.py")
SUITE = "tests/image"
LOOKUP = re.compile(r"ingot\.ml\.pin', '(\w+)'")


@dataclass(frozen=True)
class Inputs:
    """The digests of an image's content and of its suite, and the commit of the checkout."""

    sha256: str
    suite_sha256: str
    git_commit: str


def inputs_of(selection: ImageSelection) -> Inputs:
    """The inputs of an image that is built on this machine."""
    return Inputs(inputs_digest(selection), suite_digest(selection), git_commit())


def inputs_digest(selection: ImageSelection, *, on_base: bool = False) -> str:
    """SHA-256 of what decides an image: its row, its part of the lock, its roles, and what all images share.

    The image starts from the minimal system of the lock, or with `on_base` from its base image in EC2.
    """
    roles = [*_files(*(f"roles/{role}" for role in (*SHARED_ROLES, *selection.image.roles)))]
    return sha256_of(
        {
            "image": [selection.name, selection.image],
            "lock": _lock(selection, roles, on_base),
            "files": _digests([*roles, *_files(*SHARED)]),
        }
    )


def suite_digest(selection: ImageSelection) -> str:
    """SHA-256 of the suite without the tests of roles that the image lacks, which it skips."""
    others = {role.name for role in (paths.ROOT / "roles").iterdir()} - {*selection.image.roles}
    return sha256_of(_digests([file for file in _files(SUITE) if file.stem.removeprefix("test_") not in others]))


def git_commit() -> str:
    """The commit of the checkout, with `-dirty` if there are uncommitted changes; empty outside of git."""
    done = subprocess.run(
        ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
        cwd=paths.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip()


def _lock(selection: ImageSelection, roles: list[Path], on_base: bool) -> Lock:
    """The part of the lock that the image's roles read, and where it starts."""
    parts = {*selection.image.parts}
    lookups = {name for file in roles if file.suffix == ".yml" for name in LOOKUP.findall(file.read_text())}
    part = selection.lock if lookups <= parts else load(selection.lock_path).of(parts | lookups)
    entries, start = part.components.values(), selection.base if on_base else ""
    sources = {name for entry in entries for name in (entry.source, *entry.system_packages.values())}
    return part.model_copy(
        update={
            "catalog_sha256": "",
            "base": None if on_base else part.base,
            "base_images": {name: image for name, image in part.base_images.items() if name == start},
            "images": {name: image for name, image in part.images.items() if name == start},
            "container_image": None,
            "asked": {name: answer for name, answer in part.asked.items() if name == start},
            # A distribution's has no address here.
            "repositories": {name: it for name, it in part.repositories.items() if not it.url or name in sources},
            "accepted": {},
            "unresolved": {name: what for name, what in part.unresolved.items() if name in part.components},
        }
    )


def _files(*names: str) -> Iterator[Path]:
    """The files of the checkout that `names` are or hold, without documentation."""
    for path in (paths.ROOT / name for name in names):
        for file in path.rglob("*") if path.is_dir() else [path]:
            if file.is_file() and file.name != "README.md" and "__pycache__" not in file.parts:
                yield file


def _digests(files: list[Path]) -> dict[str, str]:
    return {str(file.relative_to(paths.ROOT)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
