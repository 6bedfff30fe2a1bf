"""Turns a finished container image into a disk that boots by itself: GPT, UEFI, one unified kernel image, ext4.

The root file system streams from `docker export` into mke2fs in a tools container without privileges or network.
Nothing is mounted or unpacked on this machine, and free space is never written (the file is sparse).
"""

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from ingot.errors import IngotError
from ingot.image.base import ensure_tools
from ingot.paths import ROOT
from ingot.run import container, remove, run

LABEL = "ingot-root"
CMDLINE = f"root=LABEL={LABEL} rw console=tty0 console=ttyS0"
HOSTNAME = "ingot"
TOOLS = ROOT / "containers" / "disk-tools"
MIB, GIB = 1 << 20, 1 << 30
# Free space on the root file system for the user's data; takes no space on this machine until used.
FREE_MIB = 4096
# The container engine masks these files with its own, so they are empty in an export; these contents replace them.
OWN_FILES = {
    "etc/hostname": f"{HOSTNAME}\n",
    "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {HOSTNAME}\n\n"
    "::1 localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n",
    "etc/fstab": f"LABEL={LABEL} / ext4 defaults 0 1\n",
}
# Traces of the container engine. Without /etc/resolv.conf systemd-resolved's tmpfiles.d entry links it at boot.
ENGINE_FILES = [".dockerenv", "dev/console", "etc/resolv.conf"]


@dataclass(frozen=True)
class Disk:
    """A disk: `allocated_bytes` is the space that the sparse file occupies, `seconds` the time to make it."""

    path: Path
    apparent_bytes: int
    allocated_bytes: int
    seconds: float


def require_space(path: Path, gib: float) -> None:
    """Raise IngotError if less than `gib` GiB is free on the file system of `path`."""
    place = path
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < gib * GIB:
        raise IngotError(
            f"not enough disk space: {free / GIB:.1f} GiB free, {gib:.0f} GiB needed",
            place=str(path),
            hint="free some space, for example with `docker system prune`, then try again",
        )


def _own_tar(path: Path) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, text in OWN_FILES.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(text.encode()), 0o644, int(time.time())
            tar.addfile(info, io.BytesIO(text.encode()))


def _copy(name: str, source: str, dest: Path) -> None:
    run(["docker", "cp", "--follow-link", f"{name}:{source}", dest], doing=f"copying {source} from the image")


def _stream(name: str, tools: list[str], log: Path) -> None:
    """Pipe the container's files into the tools; both processes must succeed."""
    with log.open("ab") as out:
        export = subprocess.Popen(["docker", "export", name], stdout=subprocess.PIPE, stderr=out)
        maker = subprocess.Popen(tools, stdin=export.stdout, stdout=out, stderr=out)
        assert export.stdout is not None
        export.stdout.close()  # so that the export ends when the tools do
        try:
            codes = maker.wait(), export.wait()
        finally:
            for process in (maker, export):
                process.kill()
                process.wait()
    if codes != (0, 0):
        lines = log.read_text(errors="replace").splitlines()[-15:]
        raise IngotError("making the disk failed\n  " + "\n  ".join(lines), hint=f"full log: {log}")


def disk_containers(dest: Path) -> str:
    """The prefix of the names of the containers that make the disk `dest`; those of a killed run write on."""
    return f"ingot-disk-{hashlib.sha256(str(dest.resolve()).encode()).hexdigest()[:12]}-"


def make_disk(image_tag: str, dest: Path, *, kernel_release: str, log: Path) -> Disk:
    """Make `dest`, a raw disk that boots the image `image_tag` with its own kernel `kernel_release`.

    `dest` appears once it is complete and replaces an earlier one. Temporary files and containers are removed.
    """
    began = time.monotonic()
    tools_image = ensure_tools(TOOLS / "tools.yml", log=log)
    content = int(run(["docker", "image", "inspect", "--format", "{{.Size}}", image_tag], doing=f"finding {image_tag}"))
    require_space(dest.parent, content * 1.2 / GIB + 1)
    name = f"{disk_containers(dest)}{uuid.uuid4().hex[:8]}"
    work = dest.parent.resolve() / f".{dest.name}.partial"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        # Never started: only to copy files from the image.
        with container(image_tag, name, running=False):
            _copy(name, f"/boot/vmlinuz-{kernel_release}", work / "vmlinuz")
            _copy(name, f"/boot/initrd.img-{kernel_release}", work / "initrd")
            _copy(name, "/etc/os-release", work / "os-release")
            (work / "cmdline").write_text(CMDLINE)
            (work / "replaced").write_text("".join(f"^{file}\n" for file in [*OWN_FILES, *ENGINE_FILES]))
            _own_tar(work / "own.tar")
            boot_files = (work / "vmlinuz").stat().st_size + (work / "initrd").stat().st_size
            sizes = {
                "RELEASE": kernel_release,
                "ESP_MIB": str(max(256, 64 + 2 * boot_files // MIB)),  # room for the next kernel as well
                "ROOT_MIB": str(content * 11 // 10 // MIB + FREE_MIB),
            }
            script = f"{TOOLS / 'make-disk'}:/make-disk:ro"
            argv = ["docker", "run", "--interactive", "--rm", "--init", "--name", f"{name}-tools", "--label", "ingot=1"]
            argv += ["--network", "none", "--cap-drop", "ALL", "--user", f"{os.getuid()}:{os.getgid()}"]
            argv += ["--volume", f"{work}:/work", "--volume", script, "--tmpfs", "/tmp"]
            argv += [word for key, value in sizes.items() for word in ("--env", f"{key}={value}")]
            try:
                _stream(name, [*argv, tools_image, "/make-disk"], log)
            finally:
                remove(f"{name}-tools")
        (work / "disk.raw").replace(dest)
    finally:
        shutil.rmtree(work)
    stat = dest.stat()
    return Disk(dest, stat.st_size, stat.st_blocks * 512, time.monotonic() - began)
