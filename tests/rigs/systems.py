"""Containers of the systems that roles are converged on: Debian for real, the others by a Debian that presents itself
as them, with apt or dnf, keys, signatures and packages that are real.

Images are named after what they are made of and kept for the next run, as Ingot's own bases are.
"""

import hashlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.image.base import ensure_base
from ingot.image.setup import ensure_docker, ensure_local_tools, packer_environment
from ingot.lock import file as locks
from ingot.model.system import OperatingSystem
from ingot.model.types import Arch
from tests.rigs import redhats
from tests.rigs.foreign import can_run
from tests.rigs.seen import SEEN

BIN = Path(sys.prefix) / "bin"
# What a system has before a role comes.
SYSTEM = [
    "curl", "dnf", "dnf-plugins-core", "file", "gnupg", "iproute2", "kmod", "pciutils", "procps", "python3-dnf", "rpm",
    "systemd", "unzip", "zip",
]  # fmt: skip
# Compilers and packers of the rig, and headers of a kernel to build modules for.
INSTALLED = ["build-essential", "createrepo-c", "dkms", "linux-headers-cloud-amd64", *SYSTEM]
# What compiles for aarch64 here: faster than an emulated compiler.
CROSS = ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"]
STACK = "2026.11"
# What systemd needs of a container; less than a privileged one has.
BOOT = ["--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined", "--cgroupns=private", "--env=container=docker"]
BOOT += ["--tmpfs=/run", "--tmpfs=/run/lock", "--tmpfs=/tmp"]
# What an emulated apt need not read; and what roles find on every image, installed once.
EMULATED = """echo 'Acquire::Languages "none";' >/etc/apt/apt.conf.d/99-rig
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends procps systemd >/dev/null
apt-get clean
"""
UBUNTU = 'NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID="{version}"\nVERSION_CODENAME={codename}\n'
LSB = "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE={version}\nDISTRIB_CODENAME={codename}\n"


@dataclass(frozen=True)
class System:
    """A system to converge on; `files` and then the script `last` make a Debian 13 present itself as it, and `real` is
    one that need not.
    """

    kind: str
    real: bool = False
    files: Mapping[str, str] | None = None
    last: str = ""


def _ubuntu(row: OperatingSystem) -> System:
    words = {"version": row.version, "codename": row.codename}
    return System("apt", files={"/etc/os-release": UBUNTU.format(**words), "/etc/lsb-release": LSB.format(**words)})


def _system(row: OperatingSystem) -> System:
    if row.base:
        return System("apt", real=True)
    if row.distribution == "Ubuntu":
        return _ubuntu(row)
    return System("rpm", files=redhats.files(row), last=redhats.script(row))


SYSTEMS = {name: _system(row) for name, row in read_catalog().operating_systems.items()}


def docker(*words: str, stdin: str | None = None) -> str:
    """Run docker; what it says."""
    done = subprocess.run(["docker", *words], input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def container(image: str, *options: str) -> Iterator[str]:
    """A container that sleeps; gone afterwards."""
    name = f"ingot-rig-{uuid.uuid4().hex[:8]}"
    docker("run", "-d", "--name", name, "--label", "ingot=1", *options, image, "sleep", "infinity")
    try:
        yield name
    finally:
        docker("rm", "-f", "-v", name)


@contextmanager
def booted(image: str, *options: str) -> Iterator[str]:
    """A container in which systemd has started all that it starts; gone afterwards."""
    host = docker("run", "-d", "--label=ingot=1", *BOOT, *options, image, "/lib/systemd/systemd").strip()
    try:
        # There is nobody to ask before its socket is there.
        docker("exec", host, "sh", "-c", "until [ -S /run/systemd/private ]; do sleep 0.1; done")
        docker("exec", host, "sh", "-c", "systemctl is-system-running --wait; true")
        yield host
    finally:
        docker("rm", "-f", "-v", host)


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Let one worker at a time make what all of them use."""
    place = paths.cache_dir("rig")
    place.mkdir(parents=True, exist_ok=True)
    with (place / f"{name}.lock").open("w") as file:
        flock(file, LOCK_EX)
        yield


@cache
def _base(name: str, arch: Arch) -> str:
    lock = locks.load(paths.LOCKS / STACK / f"{name}-{arch}.yml")
    with _alone("set-up"):
        ensure_docker()
        ensure_local_tools()
        can_run(arch)
    # An emulated processor takes minutes for one; the other systems do not wait for it.
    with _alone(f"base-{lock.key}"):
        return ensure_base(lock, log=paths.cache_dir("logs") / f"base-{lock.key}.log").tag


def made(base: str, script: str, name: str) -> str:
    """The image that `script`, run by root, makes of `base`: the one of an earlier run if there is one."""
    digest = hashlib.sha256(f"{docker('image', 'inspect', '-f', '{{.Id}}', base)}{script}".encode()).hexdigest()[:12]
    tag = f"ingot/rig-{name}:{digest}"
    with _alone(name):
        if not docker("image", "ls", "-q", tag).strip():
            with container(base, "--user=0") as made:
                docker("exec", "-i", made, "sh", "-eu", stdin=script)
                docker("commit", made, tag)
    return tag


def _installed(base: str, packages: Sequence[str], name: str) -> str:
    install = f"apt-get install -qq --yes --no-install-recommends {' '.join(packages)}"
    script = f"export DEBIAN_FRONTEND=noninteractive\napt-get update -qq\n{install} >/dev/null\napt-get clean\n"
    return made(base, script, name)


def _emulated(arch: Arch, kind: str) -> str:
    """Debian 13 of a foreign processor with what a system has before a role comes, and without Debian's lists: an
    emulated apt reads them for twenty seconds, and for eighty after each change.
    """
    packages = [*SYSTEM, *(["createrepo-c", *redhats.INSTALLED] if kind == "rpm" else [])]
    installed = _installed(_base("debian13", arch), packages, f"system-{arch}")
    return made(installed, "rm -rf /var/lib/apt/lists/*\n: >/etc/apt/sources.list\n", f"system-{arch}-alone")


@cache
def tools_image(arch: Arch = "x86_64") -> str:
    """The rig's own image: Debian 13 with compilers and packers, which compile for `arch`."""
    mine = _installed(_base("debian13", "x86_64"), INSTALLED, "tools")
    return mine if arch == "x86_64" else _installed(mine, CROSS, f"tools-{arch}")


def _presenting(system: System) -> str:
    """The script that makes a Debian 13 present itself as another system."""
    removed = ["/etc/os-release", *(["/etc/debian_version"] if system.kind == "rpm" else [])]
    script = [f"rm -f {' '.join(removed)}"]
    script += [f"cat > {path} <<'EOF'\n{text}EOF" for path, text in (system.files or {}).items()]
    script += [system.last]
    return "\n".join(script) + "\n"


@cache
def image(name: str, arch: Arch = "x86_64", before: str = "") -> str:
    """The image of a system; `before` installs packages of Debian before it presents itself as another one."""
    system = SYSTEMS[name]
    if system.files is None:
        return _base(name, arch) if arch == "x86_64" else made(_base(name, arch), EMULATED, f"{name}-{arch}")
    if arch != "x86_64":
        base = _emulated(arch, system.kind)
    else:
        base = _installed(tools_image(), redhats.INSTALLED, "tools-redhat") if system.kind == "rpm" else tools_image()
    base = made(base, before, f"{name}-before") if before else base
    return made(base, _presenting(system), name if arch == "x86_64" else f"{name}-{arch}")


@cache
def bare(name: str) -> str:
    """The image of a system of apt as a registry has it: with none of the rig's tools."""
    return made(_base("debian13", "x86_64"), _presenting(SYSTEMS[name]), f"{name}-bare")


@cache
def prepared(name: str, packages: tuple[str, ...]) -> str:
    """The image of a system of apt with packages that a role would install, for tests of what comes after that."""
    install = f"apt-get install -qq --yes --no-install-recommends {' '.join(packages)} >/dev/null"
    script = f"export DEBIAN_FRONTEND=noninteractive\napt-get update -qq\n{install}\n"
    return made(image(name), script, f"{name}-prepared")


def gateway() -> str:
    """The address of this machine that containers reach; Docker names it only after its second start."""
    network = json.loads(docker("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]
    return network.get("Gateway") or str(ip_network(network["Subnet"])[1])


def playbook_command(
    host: str, play: Path, lock: Path, facts: Mapping[str, Any] | None = None, *words: str
) -> dict[str, Any]:
    """How a process is started that runs a playbook on a container with a lock."""
    given = {"ingot_lock": str(lock), "ansible_python_interpreter": "/usr/bin/python3", **(facts or {})}
    env = {**os.environ, **packer_environment(), "ANSIBLE_COLLECTIONS_PATH": str(paths.ROOT / "build")}
    # A machine that several tests share answers late.
    env["ANSIBLE_TIMEOUT"] = "60"
    line = [BIN / "ansible-playbook", "-i", f"{host},", "-c", "docker", "-e", json.dumps(given), *words, play]
    return {"args": line, "env": env}


def run_playbook(
    host: str, play: Path, lock: Path, facts: Mapping[str, Any] | None = None, *words: str
) -> subprocess.CompletedProcess[str]:
    """Run a playbook on a container with a lock; what Ansible says."""
    process = playbook_command(host, play, lock, facts, *words)
    done = subprocess.run(**process, capture_output=True, text=True, check=False)
    if done.returncode == 0 and "--check" not in words:
        SEEN.converged(host, play, lock, done.stdout)
    return done
