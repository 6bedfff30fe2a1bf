"""Vendors' own hosts and registries: whether they answer, and stock containers of systems from them."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from urllib.parse import urlsplit

import httpx
import pytest

from ingot.model.lock import Lock
from tests.commandline import ingot_process
from tests.rigs.systems import container, made

# As their makers publish them, by the tag of the release; the lock names the image of Ubuntu itself.
STOCK = {
    "al2023": "public.ecr.aws/amazonlinux/amazonlinux:2023",
    "debian12": "docker.io/library/debian:bookworm",
    "debian13": "docker.io/library/debian:trixie",
    "rocky9": "docker.io/rockylinux/rockylinux:9",
    "ubuntu2204": "docker.io/library/ubuntu:22.04",
}
# What a server of these systems has and their images for containers lack; and a compiler, which the suite asks.
SERVER = """export DEBIAN_FRONTEND=noninteractive
if command -v apt-get; then
  apt-get update -qq
  apt-get install -qq --yes --no-install-recommends python3 systemd kmod procps gcc libc6-dev
  rm -rf /var/lib/apt/lists/*
else
  dnf install --assumeyes --quiet python3 systemd kmod procps-ng gcc
fi
"""
SECONDS = 10


class Unreachable(Exception):
    """A registry has not given an image."""


@cache
def answers(host: str) -> bool:
    """Whether an HTTP server answers at a host's name."""
    try:
        httpx.head(f"https://{host}/", timeout=SECONDS)
    except httpx.HTTPError:
        return False
    return True


def require(*hosts: str) -> None:
    """Skip the test by the names of the hosts that do not answer."""
    if silent := [host for host in sorted(set(hosts)) if not answers(host)]:
        pytest.skip(f"no answer from {', '.join(silent)}")


def vendors_of(lock: Lock, component: str) -> list[str]:
    """The hosts of a component's vendor; none where its packages are the system's."""
    entry = lock.components[component]
    row = lock.repositories.get(entry.source)
    addresses = [row.url if row else "", entry.artifact.url if entry.artifact else ""]
    return [urlsplit(address).netloc for address in addresses if address]


@cache
def _pulled(name: str) -> str:
    """Why the image cannot be had; empty where it can."""
    done = subprocess.run(["docker", "pull", "--quiet", name], capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""


def stock_image(lock: Lock) -> str:
    """The image of the lock's system as its maker publishes it, made a server.

    Debian's own archive makes the same system where the registry does not answer; raises Unreachable for the others.
    """
    name = lock.container_image.image if lock.container_image else STOCK[lock.os]
    if why := _pulled(name):
        if lock.base is None:
            raise Unreachable(f"{name} cannot be pulled: {why}")
        name = ingot_process("base", "--os", lock.os, "--arch", lock.arch).stdout.strip()
    return made(name, SERVER, f"{lock.os}-stock")


@contextmanager
def stock(lock: Lock) -> Iterator[str]:
    """A container of the lock's system, gone afterwards; skips the test where there is no image."""
    try:
        image = stock_image(lock)
    except Unreachable as error:
        pytest.skip(str(error))
    with container(image) as host:
        yield host
