"""Runs `docker build` with BuildKit, whose mounts keep tools and caches out of the image.

Newer Docker clients need the plugin buildx for it; older ones have BuildKit built in.
"""

import ast
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.version import Version

from ingot.errors import IngotError
from ingot.paths import temporary
from ingot.run import run
from ingot.sources import pypi

# Since this version the client has no built-in BuildKit.
BUILDX_SINCE = Version("23")
# Settings of pip that locate packages, without paths of this machine, which do not exist in a build.
SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


def _version(client: str) -> Version:
    output = subprocess.run([client, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"\d+\.\d+\.\d+", output)
    return Version(match[0]) if match else Version("0")


def _has_buildx(client: str) -> bool:
    return subprocess.run([client, "buildx", "version"], capture_output=True, check=False).returncode == 0


def client() -> str:
    """The first `docker` on PATH that builds with BuildKit."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    paths = [path for folder in folders if (path := shutil.which("docker", path=folder))]
    for path in dict.fromkeys(paths):
        if _has_buildx(path) or Version("18.9") <= _version(path) < BUILDX_SINCE:
            return path
    raise IngotError("no docker client on PATH supports BuildKit", hint="install docker-buildx")


def pip_settings(output: str) -> tuple[str, str]:
    """pip's configuration file for a build, and the path of its certificates, from the output of `pip config list`.

    Later lines override earlier ones, as in pip.
    """
    settings: dict[str, str] = {}
    for line in output.splitlines():
        if match := re.fullmatch(r"(?:global|install|:env:)\.([a-z-]+)=(['\"].*)", line):
            settings[match[1]] = " ".join(str(ast.literal_eval(match[2])).split())
    lines = [f"{name} = {settings[name]}" for name in SETTINGS if name in settings]
    return "\n".join(["[global]", *lines, ""]), settings.get("cert", "")


def _secrets(folder: Path) -> list[str]:
    """Options that give pip in a build the network settings of this machine; none of them stay in the image."""
    output = run([*pypi.PIP, "config", "list"], doing="reading pip's settings")
    text, certificates = pip_settings(output)
    (folder / "pip.conf").write_text(text)
    options = ["--secret", f"id=pip,src={folder / 'pip.conf'}"]
    for path in (certificates, *(os.environ.get(name, "") for name in CERTIFICATES)):
        if path and Path(path).is_file():
            return [*options, "--secret", f"id=ca,src={path}"]
    return options


def build(
    context: Path, dockerfile: str, tag: str, arguments: Mapping[str, str], *, log: Path, options: Iterable[str] = ()
) -> None:
    """Build `dockerfile` of the folder `context` as `tag`; IngotError with the last lines of the log if it fails."""
    command: list[str | Path] = [client(), "build", "--progress=plain", "--file", context / dockerfile, "--tag", tag]
    command += [argument for name, value in arguments.items() for argument in ("--build-arg", f"{name}={value}")]
    # Outside the context, which is sent to Docker.
    with temporary() as folder:
        env = {**os.environ, "DOCKER_BUILDKIT": "1"}
        run([*command, *_secrets(folder), *options, context], env=env, log=log, doing=f"building {tag}")
