"""Boots a disk with Secure Boot on, and proves what it lets in: the kernel and the modules that one key has signed.

The key is the test key of the firmware's package: everybody has it, and only its own firmware variables trust it. The
disk stays as it is: the signed kernel lies on a small disk beside it, and modules are signed in the running machine,
whose changes are thrown away.
"""

import base64
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from ingot.errors import IngotError
from ingot.image.base import ensure_tools
from ingot.image.disk import TOOLS
from ingot.image.machine import Machine
from ingot.image.qemu import Firmware
from ingot.run import run

# Debian's and Ubuntu's package ovmf; other systems' firmware comes without a key that anybody may sign with.
FIRMWARE = Firmware(
    Path("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd"), secure=True
)
KEY, CERTIFICATE = (Path("/usr/share/ovmf") / f"PkKek-1-snakeoil.{kind}" for kind in ("key", "pem"))
PASSPHRASE = b"snakeoil"
FOLDER = "/run/ingot-secure-boot"
MODULE = "nvidia"
# What the kernel says of a module that nobody has signed, of one whose hardware is absent, and what we say else.
REJECTED, ABSENT, LOADED = "Key was rejected by service", "No such device", "loaded"
# Signs every module of NVIDIA's that is built for the running kernel, in its place.
SIGN = f"""set -eu
tool=$(find /usr/lib/linux-kbuild-* /usr/src/linux-headers-"$(uname -r)" -name sign-file -type f | head -n 1)
find /lib/modules/"$(uname -r)"/updates -name 'nvidia*.ko*' | while read -r module; do
  case $module in *.xz) unxz "$module" ;; *.zst) unzstd --quiet --rm "$module" ;; esac
  module=${{module%.xz}}
  "$tool" sha256 {FOLDER}/key.pem {FOLDER}/cert.pem "${{module%.zst}}"
done
depmod"""


@dataclass(frozen=True)
class Proof:
    """What was seen of Secure Boot in a machine; of the module nothing where the image has no driver."""

    lockdown: str
    module: str = ""
    unsigned: str = ""
    signed: str = ""


@contextmanager
def start_disk(disk: Path, *, log: Path) -> Iterator[Path]:
    """A small disk that starts the kernel of `disk`, signed; gone after the block."""
    for path in (FIRMWARE.code, FIRMWARE.variables, KEY, CERTIFICATE):
        if not path.exists():
            hint = "Debian's and Ubuntu's package ovmf has it; other systems cannot prove this"
            raise IngotError("no firmware with Secure Boot and a test key is installed", place=str(path), hint=hint)
    tools = ensure_tools(TOOLS / "tools.yml", log=log)
    with tempfile.TemporaryDirectory(prefix="ingot-") as name:
        work = Path(name)
        (work / "key.pem").write_bytes(_key())
        (work / "cert.pem").write_bytes(CERTIFICATE.read_bytes())
        volumes = [f"{work}:/work", f"{disk.resolve()}:/disk.raw:ro", f"{TOOLS / 'sign-start'}:/sign-start:ro"]
        container = f"ingot-sign-{work.name.rpartition('-')[2]}"
        argv = ["docker", "run", "--rm", "--init", "--name", container, "--label", "ingot=1", "--network", "none"]
        argv += ["--cap-drop", "ALL", "--user", f"{os.getuid()}:{os.getgid()}"]
        argv += [f"--volume={volume}" for volume in volumes]
        try:
            run([*argv, tools, "/sign-start"], log=log, doing="signing the kernel")
        finally:
            run(["docker", "rm", "--force", "--volumes", container])
        yield work / "start.raw"


def _key() -> bytes:
    """The test key in PEM, without its passphrase."""
    key = load_pem_private_key(KEY.read_bytes(), PASSPHRASE)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def prove(machine: Machine) -> Proof:
    """See to it that the kernel is locked down, rejects the driver's module unsigned, and takes it signed.

    The modules of the machine are signed afterwards. Raises IngotError when Secure Boot does not do its work.
    """
    lockdown = machine.ssh("cat /sys/kernel/security/lockdown")[1].strip()
    mode = re.search(r"\[(\w+)\]", lockdown)
    if mode is None or mode[1] == "none":
        raise IngotError(f"Secure Boot is on, but the kernel is not locked down: {lockdown or 'it does not say'}")
    if machine.ssh(f"modprobe --dry-run --quiet {MODULE}")[0] != 0:
        return Proof(mode[1])
    unsigned = _load(machine, REJECTED)
    if REJECTED not in unsigned:
        raise IngotError(f"the unsigned module {MODULE} is not rejected: {unsigned}")
    _push(machine, "key.pem", _key())
    _push(machine, "cert.pem", CERTIFICATE.read_bytes())
    code, _, errors = machine.ssh(f"sh -c {shlex.quote(SIGN)}; code=$?; rm -r {FOLDER}; exit $code")
    if code != 0:
        raise IngotError(f"the modules cannot be signed: {errors.strip()}")
    signed = _load(machine, ABSENT)
    if signed not in (ABSENT, LOADED):
        raise IngotError(f"the signed module {MODULE} is not taken: {signed}")
    return Proof(mode[1], MODULE, unsigned, signed)


def _load(machine: Machine, expected: str) -> str:
    """What loading the module says: what is expected of it, `loaded` where there is a GPU, else its last line."""
    code, _, errors = machine.ssh(f"modprobe {MODULE}")
    if code == 0:
        return LOADED
    return expected if expected in errors else errors.strip().rpartition("\n")[2]


def _push(machine: Machine, name: str, content: bytes) -> None:
    text = base64.b64encode(content).decode()
    code, _, errors = machine.ssh(f"umask 077; mkdir -p {FOLDER} && echo {text} | base64 -d > {FOLDER}/{name}")
    if code != 0:
        raise IngotError(f"{name} cannot be put into the machine: {errors.strip()}")
