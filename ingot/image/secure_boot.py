"""Boots a disk with Secure Boot on, and proves that only a kernel and modules signed with one key load.

The key is the public test key of the firmware's package, which only that package's firmware variables trust. The disk
is not changed: the signed kernel is on a second, small disk, and modules are signed in the running machine, whose
changes are discarded.
"""

import base64
import os
import re
import shlex
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
from ingot.paths import temporary
from ingot.run import remove, run

# Debian's and Ubuntu's package ovmf; the firmware of other systems comes without a public signing key.
FIRMWARE = Firmware(
    Path("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd"), secure=True
)
KEY, CERTIFICATE = (Path("/usr/share/ovmf") / f"PkKek-1-snakeoil.{kind}" for kind in ("key", "pem"))
PASSPHRASE = b"snakeoil"
FOLDER = "/run/ingot-secure-boot"
MODULE = "nvidia"
# The kernel's message for an unsigned module, its message if the hardware is absent, and our word for success.
REJECTED, ABSENT, LOADED = "Key was rejected by service", "No such device", "loaded"
# Signs every NVIDIA module of the running kernel in place.
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
    """The observed state of Secure Boot in a machine; the module's fields are empty if the image has no driver."""

    lockdown: str
    module: str = ""
    unsigned: str = ""
    signed: str = ""


@contextmanager
def start_disk(disk: Path, *, log: Path) -> Iterator[Path]:
    """A small disk that boots the kernel of `disk`, signed; removed after the block."""
    for path in (FIRMWARE.code, FIRMWARE.variables, KEY, CERTIFICATE):
        if not path.exists():
            hint = "install the package ovmf of Debian or Ubuntu; other systems have no such firmware"
            raise IngotError("no firmware with Secure Boot and a test key is installed", place=str(path), hint=hint)
    tools = ensure_tools(TOOLS / "tools.yml", log=log)
    with temporary() as work:
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
            remove(container)
        yield work / "start.raw"


def _key() -> bytes:
    """The test key in PEM, without its passphrase."""
    key = load_pem_private_key(KEY.read_bytes(), PASSPHRASE)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def prove(machine: Machine) -> Proof:
    """Check that the kernel is locked down, rejects the driver's module unsigned, and loads it signed.

    The machine's modules are signed afterwards. Raises IngotError if Secure Boot does not work.
    """
    lockdown = machine.ssh("cat /sys/kernel/security/lockdown")[1].strip()
    mode = re.search(r"\[(\w+)\]", lockdown)
    if mode is None or mode[1] == "none":
        raise IngotError(f"Secure Boot is on, but the kernel is not locked down: {lockdown or 'lockdown is empty'}")
    if machine.ssh(f"modprobe --dry-run --quiet {MODULE}")[0] != 0:
        return Proof(mode[1])
    unsigned = _load(machine, REJECTED)
    if REJECTED not in unsigned:
        raise IngotError(f"the unsigned module {MODULE} is not rejected: {unsigned}")
    _push(machine, "key.pem", _key())
    _push(machine, "cert.pem", CERTIFICATE.read_bytes())
    code, _, errors = machine.ssh(f"sh -c {shlex.quote(SIGN)}; code=$?; rm -r {FOLDER}; exit $code")
    if code != 0:
        raise IngotError(f"cannot sign the modules: {errors.strip()}")
    signed = _load(machine, ABSENT)
    if signed not in (ABSENT, LOADED):
        raise IngotError(f"the signed module {MODULE} does not load: {signed}")
    return Proof(mode[1], MODULE, unsigned, signed)


def _load(machine: Machine, expected: str) -> str:
    """The result of loading the module: `expected` if its error has it, `loaded` with a GPU, else the last line."""
    code, _, errors = machine.ssh(f"modprobe {MODULE}")
    if code == 0:
        return LOADED
    return expected if expected in errors else errors.strip().rpartition("\n")[2]


def _push(machine: Machine, name: str, content: bytes) -> None:
    text = base64.b64encode(content).decode()
    code, _, errors = machine.ssh(f"umask 077; mkdir -p {FOLDER} && echo {text} | base64 -d > {FOLDER}/{name}")
    if code != 0:
        raise IngotError(f"cannot copy {name} to the machine: {errors.strip()}")
