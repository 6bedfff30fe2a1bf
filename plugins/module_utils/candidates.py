"""Asks apt or dnf what it would install: exact versions, where they come from, and their digests.

Neither installs anything. Copied to machines unchanged: standard library and the package manager's own, Python 3.9 or
later.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

# Of `apt-get install --simulate`: a package, the installed version if there is one, the new version and its archive.
INST = re.compile(r"^Inst (\S+) (?:\[\S+\] )?\((\S+) (.*) \[\S+\]\)", re.MULTILINE)
# Of `apt-get install --print-uris`; a colon in a file's name is written %3a.
URI = re.compile(r"^'\S+' (\S+?)_(\S+)_\S+\.deb \d+ SHA256:([0-9a-f]{64})$", re.MULTILINE)
SHOWN = re.compile(r"^Package: (\S+)$", re.MULTILINE)


class Refused(Exception):
    """The package manager cannot answer; the message is its own."""


def apt(names: list[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """What apt would install for packages `names`, by name, and those of `names` that no archive has."""
    there = set(SHOWN.findall(_run("apt-cache", "show", "--no-all-versions", *names, fails=True))) if names else set()
    wanted, missing = [name for name in names if name in there], [name for name in names if name not in there]
    if not wanted:
        return {}, missing
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "partial").mkdir()
        # apt names no address of a file that it has fetched before.
        options = ["--no-install-recommends", "-o", f"Dir::Cache::archives={folder}"]
        install = ["apt-get", "install", "-qq", "--yes", *options]
        origins = {name: origin for name, _, origin in INST.findall(_run(*install, "--simulate", *wanted))}
        listed = _run(*install, "--print-uris", "-o", "Acquire::ForceHash=SHA256", *wanted)
    return {
        name: {"version": unquote(version), "origin": origins.get(name, ""), "sha256": digest}
        for name, version, digest in URI.findall(listed)
    }, missing


def same(package: Mapping[str, Any], locked: Mapping[str, Any] | None) -> bool:
    """Whether a package is the locked one: of the same version, and with the same digest if it has one."""
    return locked is not None and all(package.get(key) == locked.get(key) for key in ("version", "sha256"))


def _run(*command: str, fails: bool = False) -> str:
    """The output of a command; it may fail with `fails`."""
    env = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0 and not fails:
        raise Refused(" ".join(done.stderr.split()) or f"{command[0]} has failed")
    return done.stdout


def dnf(names: list[str]) -> tuple[dict[str, dict[str, str]], list[str], str]:
    """The same for dnf, and the release of the repositories: `2023.12.20260706` on Amazon Linux, `9` elsewhere."""
    # The system's own Python has it.
    import dnf as manager

    base = manager.Base()
    conf = base.conf
    conf.read()
    conf.substitutions.update_from_etc(conf.installroot)
    conf.install_weak_deps = False
    try:
        # Plugins hold versions, as versionlock does.
        base.init_plugins()
        base.pre_configure_plugins()
        base.read_all_repos()
        base.configure_plugins()
        base.fill_sack()
        missing = [name for name in names if not _marked(base, name, manager.exceptions.MarkingError)]
        base.resolve()
        chosen: Any = base.transaction.install_set if base.transaction else []
        packages = {package.name: _package(package) for package in chosen}
    except manager.exceptions.Error as error:
        raise Refused(" ".join(str(error).split())) from None
    finally:
        base.close()
    return packages, missing, str(conf.substitutions.get("releasever") or "")


def _marked(base: Any, name: str, absent: type[Exception]) -> bool:
    """Mark a package for installation; False if no repository has it."""
    try:
        base.install(name)
    except absent:
        return False
    return True


def _package(package: Any) -> dict[str, str]:
    import hawkey

    kind, digest = package.chksum
    epoch = f"{package.epoch}:" if package.epoch else ""
    answer = {"version": f"{epoch}{package.version}-{package.release}", "origin": str(package.reponame)}
    return {**answer, "sha256": digest.hex()} if hawkey.chksum_name(kind) == "sha256" else answer
