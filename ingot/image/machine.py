"""Boots a disk in QEMU, yields a machine that answers ssh, and cleans up afterwards.

The disk is never written: the machine's changes go to a temporary overlay. KVM is used where it really runs a guest,
else the processor is emulated.
"""

import functools
import json
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingot.console import err
from ingot.errors import IngotError
from ingot.image import probe
from ingot.image.qemu import HOST, QEMU, Firmware, accelerator, find_firmware, qemu_command, start_qemu
from ingot.image.seed import make_key, user_data, write_seed
from ingot.paths import temporary
from ingot.run import run

ALIAS = "ingot-machine"
BOOT_SECONDS = {"kvm": 180, "tcg": 900}
POLL_SECONDS = 0.2
# The kernel prints this when it panics; waiting longer is pointless.
PANIC = b"Kernel panic - not syncing"
# Emulated processors that run in parallel (tcg,thread=multi) sometimes execute a breakpoint that the kernel sets to
# patch its own code, after it has been removed: seen on 2026-11-25 in a static key of 6.12.118.
EMULATOR = b"Oops: int3"


@dataclass(frozen=True)
class Machine:
    """A running machine: how to reach it and how long it took to get there."""

    host: str
    port: int
    key: Path
    ssh_config: Path
    console: Path
    accelerator: str
    wall_seconds: float = field(default=0.0, compare=False)

    def _ssh(self, *options: str) -> list[str]:
        return ["ssh", "-F", str(self.ssh_config), *options, self.host]

    def ssh(self, command: str) -> tuple[int, str, str]:
        """Run `command` as root in the machine: exit status, output, errors. 255 means that ssh itself failed."""
        done = subprocess.run([*self._ssh(), command], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def shell(self) -> int:
        """Open a root shell in the machine on the user's terminal; return its exit status."""
        return subprocess.run(self._ssh("-t"), check=False).returncode

    @functools.cached_property
    def boot_facts(self) -> dict[str, Any]:
        """Where the time of the boot went, as systemd in the machine says; waits until the boot has finished."""
        said = run([*self._ssh(), "python3 - boot"], stdin=Path(probe.__file__).read_text(), doing="asking systemd")
        facts: dict[str, Any] = json.loads(said)
        return facts

    @functools.cached_property
    def userspace(self) -> str:
        """The boot time as reported by `systemd-analyze`; waits until the boot has finished."""
        _, printed, errors = self.ssh("systemctl is-system-running --wait >/dev/null; systemd-analyze time")
        lines = (printed or errors).splitlines()
        return lines[0] if lines else ""


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def _write_ssh_config(path: Path, machine: Mapping[str, str]) -> None:
    """Write one alias with all options. Connections share one master: a test suite logs in once, not per command."""
    options = {
        "HostName": HOST,
        "User": "root",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "StrictHostKeyChecking": "yes",
        "GlobalKnownHostsFile": "/dev/null",
        "PasswordAuthentication": "no",
        "ConnectTimeout": "10",
        "LogLevel": "ERROR",
        "ControlMaster": "auto",
        "ControlPersist": "yes",
        **machine,
    }
    path.write_text(f"Host {ALIAS}\n" + "".join(f"  {key} {value}\n" for key, value in options.items()))


def _has_network(console: Path) -> bool:
    """Whether cloud-init has printed the machine's addresses on the console.

    QEMU queues connections from before that, and passes all of them to the ssh server as soon as it listens: on an
    emulated processor that takes seconds.
    """
    return console.exists() and b"ci-info: " in console.read_bytes()


def _speaks_ssh(port: int) -> bool:
    """Whether an ssh server sends its greeting. QEMU itself accepts the connection long before the machine does."""
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


class EmulatorError(IngotError):
    """The kernel panicked because of a fault in the emulated processor; the next boot may succeed."""


def _wait(process: subprocess.Popen[bytes], machine: Machine, output: Path) -> None:
    """Return when root can log in. Raises IngotError when QEMU exits, the kernel panics, or BOOT_SECONDS pass."""
    deadline = time.monotonic() + BOOT_SECONDS[machine.accelerator]
    greeted = False
    while time.monotonic() < deadline:
        try:
            process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            greeted = greeted or (_has_network(machine.console) and _speaks_ssh(machine.port))
            if greeted and machine.ssh("true")[0] == 0:
                return
            text = machine.console.read_bytes() if machine.console.exists() else b""
            if PANIC in text:
                kind = EmulatorError if EMULATOR in text and machine.accelerator == "tcg" else IngotError
                raise kind(f"the kernel panicked\n  {_tail(machine.console)}", hint=_look_at(machine)) from None
            continue
        raise IngotError(f"QEMU exited with {process.returncode}: {output.read_text().strip()}", hint=_look_at(machine))
    state = "its ssh server refuses the key of this boot" if greeted else "no ssh server answers"
    raise IngotError(
        f"the machine did not come up in {BOOT_SECONDS[machine.accelerator]} s: {state}\n  " + _tail(machine.console),
        hint=_look_at(machine),
    )


def _look_at(machine: Machine) -> str:
    return f"the machine's console: {machine.console}"


def _tail(console: Path) -> str:
    lines = console.read_text(errors="replace").splitlines() if console.exists() else []
    return "\n  ".join(lines[-15:])


@contextmanager
def boot(
    disk: Path,
    *,
    log: Path,
    memory_mib: int = 4096,
    firmware: Firmware | None = None,
    start: Path | None = None,
    hostname: str = "ingot",
) -> Iterator[Machine]:
    """Boot `disk` and yield the machine as soon as root can log in by ssh.

    The console is written to `console.log` next to `log`. The machine is stopped and all temporary files are removed
    after the block, however it ends.
    """
    if shutil.which(QEMU) is None:
        raise IngotError("QEMU is not installed", hint="install qemu-system-x86, or run `make setup`")
    firmware = firmware or find_firmware()
    console = log.with_name("console.log")
    console.parent.mkdir(parents=True, exist_ok=True)
    console.unlink(missing_ok=True)
    with temporary() as folder:
        login, host = make_key(folder / "login"), make_key(folder / "host")
        port, accel = _free_port(), accelerator()
        (folder / "known_hosts").write_text(f"[{HOST}]:{port} {host.public.read_text()}")
        _write_ssh_config(
            folder / "ssh_config",
            {
                "Port": str(port),
                "IdentityFile": str(login.private),
                "UserKnownHostsFile": str(folder / "known_hosts"),
                "ControlPath": str(folder / "ssh"),
            },
        )
        seed = folder / "seed.iso"
        write_seed(seed, instance=f"ingot-{uuid.uuid4()}", hostname=hostname, user=user_data(login, host))
        variables = Path(shutil.copy(firmware.variables, folder / "variables.fd"))
        variables.chmod(0o600)
        argv = qemu_command(disk.resolve(), seed, variables, firmware, port, console, accel, memory_mib, start)
        with log.open("a") as out:
            out.write(f"$ {' '.join(argv)}\n")
        output = folder / "qemu.log"
        machine = Machine(ALIAS, port, login.private, folder / "ssh_config", console, accel)
        began = time.monotonic()
        process = start_qemu(argv, output)
        try:
            try:
                _wait(process, machine, output)
            except EmulatorError as error:
                err.print(f"{error.message.splitlines()[0]} through a fault in the emulated processor; booting again")
                process.kill()
                process.wait()
                console.unlink()
                began = time.monotonic()
                process = start_qemu(argv, output)
                _wait(process, machine, output)
            yield Machine(**{**vars(machine), "wall_seconds": time.monotonic() - began})
        finally:
            run(["ssh", "-F", machine.ssh_config, "-O", "exit", ALIAS]) if (folder / "ssh").exists() else None
            process.kill()
            process.wait()
