"""Runs `docker build` with BuildKit, whose mounts keep tools and caches out of the result.

The client and the engine come in many pairs: newer clients build by the plugin buildx alone, older ones by themselves.
"""

import ast
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.version import Version

from ingot.errors import IngotError
from ingot.run import run
from ingot.sources import pypi

# From this version on the client has no BuildKit of its own.
BUILDX_SINCE = Version("23")
# What of pip's settings says where packages come from. Paths of this machine mean nothing in a build.
SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


def _version(client: str) -> Version:
    printed = subprocess.run([client, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+\.\d+\.\d+", printed)
    return Version(found[0]) if found else Version("0")


def _has_buildx(client: str) -> bool:
    return subprocess.run([client, "buildx", "version"], capture_output=True, check=False).returncode == 0


def client() -> str:
    """The first `docker` on PATH that builds with BuildKit."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    found = [path for folder in folders if (path := shutil.which("docker", path=folder))]
    for path in dict.fromkeys(found):
        if _has_buildx(path) or Version("18.9") <= _version(path) < BUILDX_SINCE:
            return path
    raise IngotError("no docker client here builds with BuildKit", hint="install docker-buildx")


def pip_settings(listed: str) -> tuple[str, str]:
    """pip's configuration file for a build, and the path of its certificates, from what `pip config list` prints.

    What is listed later stands above what is listed earlier, as it does for pip.
    """
    found: dict[str, str] = {}
    for line in listed.splitlines():
        if match := re.fullmatch(r"(?:global|install|:env:)\.([a-z-]+)=(['\"].*)", line):
            found[match[1]] = " ".join(str(ast.literal_eval(match[2])).split())
    lines = [f"{name} = {found[name]}" for name in SETTINGS if name in found]
    return "\n".join(["[global]", *lines, ""]), found.get("cert", "")


def _secrets(folder: Path) -> list[str]:
    """The options that let pip in a build reach what pip on this machine reaches; nothing of it stays in the image."""
    listed = run([*pypi.PIP, "config", "list"], doing="reading pip's settings")
    text, certificates = pip_settings(listed)
    (folder / "pip.conf").write_text(text)
    words = ["--secret", f"id=pip,src={folder / 'pip.conf'}"]
    for path in (certificates, *(os.environ.get(name, "") for name in CERTIFICATES)):
        if path and Path(path).is_file():
            return [*words, "--secret", f"id=ca,src={path}"]
    return words


def build(
    context: Path, dockerfile: str, tag: str, arguments: Mapping[str, str], *, log: Path, options: Iterable[str] = ()
) -> None:
    """Build `dockerfile` of the folder `context` as `tag`; IngotError with the last lines when it fails."""
    words: list[str | Path] = [client(), "build", "--progress=plain", "--file", context / dockerfile, "--tag", tag]
    words += [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    # Not below the context, which would be sent along.
    with tempfile.TemporaryDirectory(prefix=".secrets-", dir=log.parent) as folder:
        env = {**os.environ, "DOCKER_BUILDKIT": "1"}
        run([*words, *_secrets(Path(folder)), *options, context], env=env, log=log, doing=f"building {tag}")
