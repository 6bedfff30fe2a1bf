"""Turns a root file system into the versions of the components that are really in it.

Only files are read: package databases, kernel modules, libraries, headers. No program is run, so that it works on an
image that is not booted, as part of an Ansible module and as part of `ingot-doctor`. It is copied to machines as it is:
standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import gzip
import lzma
import mmap
import re
from pathlib import Path

UPSTREAM = re.compile(r"^(?:\d+:)?(\d+(?:\.\d+)*)")
LIBRARIES = ("usr/local/cuda*/lib64", "usr/local/cuda*/targets/*/lib", "usr/lib", "usr/lib64", "usr/lib/*-linux-gnu")
OFI_PLUGIN_HOMES = ("opt/amazon/ofi-nccl", "opt/amazon/aws-ofi-nccl", "opt/aws-ofi-nccl", "usr/local", "usr")
WATCHED_MODULES = re.compile(r"^(nvidia[\w-]*|efa|gdrdrv|neuron)\.ko(\.(xz|gz|zst))?$")


def upstream(version):
    """The upstream part of a package's version, `2:24.11.5-4+deb13u1` -> `24.11.5`; None of None."""
    found = UPSTREAM.match(version or "")
    return found.group(1) if found else None


def order(version):
    """A key that sorts versions and kernel releases by their numbers."""
    return [int(number) for number in re.findall(r"\d+", version or "")]


def dpkg(root):
    """The Debian packages installed below `root`: name -> version."""
    database = Path(root, "var/lib/dpkg/status")
    if not database.is_file():
        return {}
    packages = {}
    for paragraph in database.read_text(errors="replace").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Status", "").endswith(" installed"):
            packages[fields["Package"]] = fields["Version"]
    return packages


def _files(root, *patterns):
    """The paths below `root` that match any of the patterns, sorted within each pattern."""
    return [path for pattern in patterns for path in sorted(Path(root).glob(pattern))]


def _in_text(root, pattern, *places):
    """What the first group of `pattern` matches in the first of the text files that has it."""
    for path in _files(root, *places):
        found = re.search(pattern, path.read_text(errors="replace"), re.MULTILINE) if path.is_file() else None
        if found:
            return found.group(1)
    return None


def _in_name(root, pattern, *places):
    """What the first group of `pattern` matches in the file names: of several the newest."""
    found = [re.search(pattern, path.name) for path in _files(root, *places)]
    return max((match.group(1) for match in found if match), key=order, default=None)


def _package(packages, *names):
    """The upstream version of the first of the packages that is installed."""
    return next((upstream(packages[name]) for name in names if name in packages), None)


def _of_branch(packages, name):
    """The version of `name` or, as some releases are called, `name` with the driver's branch behind it."""
    return _package(packages, name, *(each for each in packages if re.fullmatch(rf"{name}-\d+", each)))


def _wheel(root, name):
    """The version of an unpacked Python wheel, in the folder of its component or below the CUDA prefix."""
    depths = [f"opt/ingot/wheels/*/{name}*.dist-info"]
    depths += ["usr/local/cuda*/" + "*/" * depth + f"{name}*.dist-info" for depth in range(4)]
    return _in_name(root, rf"^{name}(?:_cu\d+)?-(\d+(?:\.\d+)*)\.dist-info$", *depths)


def _library(root, name):
    """The full version of a shared library, from the name of the file behind its links."""
    return _in_name(root, rf"^{name}\.so\.(\d+\.\d+\.\d+)$", *(f"{folder}/{name}.so.*" for folder in LIBRARIES))


def _modinfo(path):
    """What a kernel module says of itself: version and vermagic, as far as its compression can be read."""
    readers = {".ko": open, ".xz": lzma.open, ".gz": gzip.open}
    if path.suffix not in readers:
        return {}
    with readers[path.suffix](path, "rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.suffix == ".ko" else file.read()
    found = re.findall(rb"\0(version|vermagic)=([^\0]+)(?=\0)", content)
    return {key.decode(): value.decode(errors="replace").strip() for key, value in found}


def releases(root="/"):
    """The kernel releases that have modules below `root`, oldest first."""
    return sorted((path.parent.name for path in _files(root, "lib/modules/*/modules.order")), key=order)


def modules(root="/"):
    """Our components' modules for every kernel: file, kernel release, version and vermagic (None if unreadable)."""
    folders = ("updates/**", "extra/**", "kernel/drivers/infiniband/hw/efa")
    found = []
    for path in _files(root, *(f"lib/modules/*/{folder}/*.ko*" for folder in folders)):
        if not WATCHED_MODULES.match(path.name) or not path.is_file() or not path.stat().st_size:
            continue
        relative, info = path.relative_to(root), _modinfo(path)
        version, vermagic = info.get("version"), info.get("vermagic")
        found.append({"file": f"/{relative}", "release": relative.parts[2], "version": version, "vermagic": vermagic})
    return found


def _kernel(root, packages):
    """The version of the newest kernel; a Debian release (6.1.0-56) differs from its package's version (6.1.192)."""
    for release in reversed(releases(root)):
        return upstream(packages.get(f"linux-image-{release}")) or upstream(release)
    return None


def _nvidia_driver(root, built):
    """The version of the driver that the newest kernel would load; libraries alone are no driver."""
    ours = [
        each for each in built if re.match(r".*/nvidia(-current|-tesla-\d+|-tesla|-legacy[\w-]*)?\.ko", each["file"])
    ]
    if not ours:
        return None
    newest = max(ours, key=lambda each: order(each["release"]))
    return (
        newest["version"]
        or _in_name(root, r"^(\d+\.\d+[\d.]*)$", "var/lib/dkms/nvidia*/*")
        or _in_name(root, r"^nvidia\D*-(\d+\.\d+[\d.]*)$", "usr/src/nvidia-*")
    )


def _cuda(root, packages):
    # NVIDIA's own toolkit says its version in a file; Debian's package and the wheels are versions of their own.
    return (
        _wheel(root, "nvidia_cuda_runtime")
        or _in_text(root, r'"cuda"\s*:\s*{[^}]*"version"\s*:\s*"([\d.]+)"', "usr/local/cuda/version.json")
        or _package(packages, "nvidia-cuda-toolkit")
        or _library(root, "libcudart")
    )


def _nccl(root, packages):
    return (
        _wheel(root, "nvidia_nccl") or _package(packages, "libnccl2") or _library(root, "libnccl") or _nccl_header(root)
    )


def _nccl_header(root):
    places = ("usr/local/cuda*/include/nccl.h", "usr/include/nccl.h")
    numbers = [_in_text(root, rf"^#define NCCL_{part}\s+(\d+)", *places) for part in ("MAJOR", "MINOR", "PATCH")]
    return ".".join(numbers) if all(numbers) else None


def efa_installer(root="/"):
    """The version of the EFA installer that was run, if one was."""
    return _in_text(root, r"EFA installer version:\s*([\d.]+)", "opt/amazon/efa_installed_packages")


def libfabric(root="/", packages=None):
    """The version of libfabric: the EFA installer's, else the distribution's."""
    own = _in_text(root, r"^Version:\s*(\d+(?:\.\d+)*)", "opt/amazon/efa/lib*/pkgconfig/libfabric.pc")
    return own or _package(dpkg(root) if packages is None else packages, "libfabric1")


def open_mpi(root="/", packages=None):
    """The version of Open MPI: the EFA installer's, else the distribution's."""
    places = [f"opt/amazon/{name}/lib*/pkgconfig/ompi.pc" for name in ("openmpi5", "openmpi")]
    own = _in_text(root, r"^Version:\s*(\d+(?:\.\d+)*)", *places)
    return own or _package(dpkg(root) if packages is None else packages, "openmpi-bin")


def _aws_ofi_nccl(root):
    """The plugin has no version in its name; it holds the one that it logs when NCCL loads it."""
    folders = [f"{home}/{lib}" for home in OFI_PLUGIN_HOMES for lib in ("lib", "lib64", "lib/*-linux-gnu")]
    for path in _files(root, *(f"{folder}/libnccl-net*.so" for folder in folders)):
        found = re.search(rb"aws-ofi-nccl (\d+\.\d+\.\d+)", path.read_bytes()) if path.is_file() else None
        if found:
            return found.group(1).decode()
    return None


def _observe(root, packages, built):
    slurm = _in_text(root, r"^Version:\s*(\d+(?:\.\d+)*)", "opt/slurm/lib*/pkgconfig/slurm.pc")
    return {
        "base": _package(packages, "base-files") or _in_text(root, r'^VERSION_ID="?([\d.]+)', "etc/os-release"),
        "kernel": _kernel(root, packages),
        "nvidia_driver": _nvidia_driver(root, built),
        "fabricmanager": _of_branch(packages, "nvidia-fabricmanager") or _package(packages, "nvidia-fabric-manager"),
        "imex": _of_branch(packages, "nvidia-imex"),
        "nvlsm": _package(packages, "nvlsm"),
        "dcgm": _package(packages, "datacenter-gpu-manager-4-core", "datacenter-gpu-manager"),
        "cuda": _cuda(root, packages),
        "nccl": _nccl(root, packages),
        "efa": efa_installer(root) or libfabric(root, packages),
        "aws_ofi_nccl": _aws_ofi_nccl(root),
        "gdrcopy": _in_text(root, r"^(\d+(?:\.\d+)*)$", "opt/gdrcopy/ingot-version"),
        "slurm": slurm or _package(packages, "slurmd", "slurm-client"),
        "docker": _package(packages, "docker.io", "docker-ce", "moby-engine"),
        "nvidia_container_toolkit": _package(packages, "nvidia-container-toolkit"),
        "node_exporter": _package(packages, "prometheus-node-exporter"),
        "neuron": _package(packages, "aws-neuronx-dkms", "aws-neuronx-tools"),
    }


def _details(root, packages, built):
    return {
        "efa_installer": efa_installer(root),
        "libfabric": libfabric(root, packages),
        "open_mpi": open_mpi(root, packages),
        "kernel_releases": releases(root),
        "modules": built,
    }


def observe(root="/"):
    """Every component that Ingot knows -> its version below `root`, as a lock writes it, or None where it is absent."""
    return _observe(root, dpkg(root), modules(root))


def details(root="/"):
    """What lies behind the versions: EFA's parts, kernels, and modules with their vermagic."""
    return _details(root, dpkg(root), modules(root))


def everything(root="/"):
    """(observe, details, packages), reading everything once."""
    packages, built = dpkg(root), modules(root)
    return _observe(root, packages, built), _details(root, packages, built), packages
