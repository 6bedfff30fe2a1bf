"""Starts QEMU: its firmware, its accelerator and its options."""

import functools
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ingot.errors import IngotError

QEMU = "qemu-system-x86_64"


HOST = "127.0.0.1"


# Code and variables of a UEFI firmware without Secure Boot, where Debian, Ubuntu, Fedora and Homebrew put them.
FIRMWARE = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/opt/homebrew/share/qemu/edk2-x86_64-code.fd", "/opt/homebrew/share/qemu/edk2-i386-vars.fd"),
    ("/usr/local/share/qemu/edk2-x86_64-code.fd", "/usr/local/share/qemu/edk2-i386-vars.fd"),
]


# `mov al, 0x10; out 0xf4, al`: tells isa-debug-exit to end QEMU with status 33. Padded to a boot sector.
EXIT_SECTOR = b"\xb0\x10\xe6\xf4\xf4".ljust(510, b"\0") + b"\x55\xaa"


EXIT_STATUS = 33


@dataclass(frozen=True)
class Firmware:
    """A UEFI firmware: its code, the pristine variables that each machine gets a copy of, whether Secure Boot is on."""

    code: Path
    variables: Path
    secure: bool = False


def find_firmware() -> Firmware:
    """The first UEFI firmware that this system has."""
    for code, variables in FIRMWARE:
        if Path(code).exists() and Path(variables).exists():
            return Firmware(Path(code), Path(variables))
    raise IngotError("no UEFI firmware for QEMU is installed", hint="install the package ovmf, or run `make setup`")


@functools.cache
def accelerator() -> str:
    """`kvm` if a guest of one boot sector runs to its end under KVM, else `tcg`.

    Neither a device node nor a virtual machine that can be created proves that KVM runs guests: some clouds have both
    and fail later.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    with tempfile.NamedTemporaryFile(prefix="ingot-") as sector:
        sector.write(EXIT_SECTOR)
        sector.flush()
        argv = [
            QEMU, "-accel", "kvm", "-cpu", "host", "-m", "16", "-display", "none", "-nodefaults", "-no-reboot",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-drive", f"file={sector.name},format=raw,snapshot=on",
        ]  # fmt: skip
        try:
            done = subprocess.run(argv, capture_output=True, timeout=10, check=False)
        except (FileNotFoundError, subprocess.TimeoutExpired):
            return "tcg"
    return "kvm" if done.returncode == EXIT_STATUS else "tcg"


def qemu_command(
    disk: Path,
    seed: Path,
    variables: Path,
    firmware: Firmware,
    port: int,
    console: Path,
    accel: str,
    memory_mib: int,
    start: Path | None = None,
) -> list[str]:
    """The QEMU command line: UEFI, one disk with a throw-away overlay, the seed, a network card, random numbers.

    With `start`, the firmware boots from that disk instead. Only the firmware can change secure variables.
    """
    machine = ["-machine", "q35"]
    if firmware.secure:
        machine = ["-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"]
    first = []
    if start is not None:
        first = ["-drive", f"if=none,id=start,format=raw,readonly=on,file={start}"]
        first += ["-device", "virtio-blk-pci,drive=start,bootindex=0"]
    cpu = ["-accel", "kvm", "-cpu", "host"] if accel == "kvm" else ["-accel", "tcg,thread=multi", "-cpu", "max"]
    return [
        QEMU, *machine, *cpu, "-smp", str(min(os.cpu_count() or 1, 4)), "-m", str(memory_mib),
        "-display", "none", "-nodefaults", "-no-user-config", "-no-reboot",
        "-serial", f"file:{console}",
        "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={firmware.code}",
        "-drive", f"if=pflash,unit=1,format=raw,file={variables}",
        "-drive", f"if=none,id=disk,format=raw,snapshot=on,cache=unsafe,file={disk}",
        *first,
        "-device", "virtio-blk-pci,drive=disk,bootindex=1",
        "-drive", f"if=none,id=seed,format=raw,readonly=on,file={seed}",
        "-device", "virtio-blk-pci,drive=seed",
        "-netdev", f"user,id=net,hostfwd=tcp:{HOST}:{port}-:22",
        # Without its ROM the firmware does not try to boot from the network first.
        "-device", "virtio-net-pci,netdev=net,romfile=",
        "-device", "virtio-rng-pci",
    ]  # fmt: skip


def _die_with_parent() -> list[str]:
    """A command prefix that ends the program when Ingot ends, even if Ingot is killed."""
    return ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


def start_qemu(argv: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start QEMU; its output goes to `log`."""
    with log.open("wb") as out:
        return subprocess.Popen(
            [*_die_with_parent(), *argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # QEMU creates the overlay of `snapshot=on` in TMPDIR: keep it with this boot's other files.
            env={**os.environ, "TMPDIR": str(log.parent)},
        )
