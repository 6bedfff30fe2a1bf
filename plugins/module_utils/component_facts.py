"""Observes the installed versions of components in a root file system.

Reads only files: package databases, kernel modules, libraries, headers. It runs no program, so that it works on an
image that is not booted, in an Ansible module and in `ingot-doctor`. Copied to machines unchanged: standard library
only, Python 3.9 or later.
"""

from __future__ import annotations

import gzip
import json
import lzma
import mmap
import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

UPSTREAM = re.compile(r"^(?:\d+:)?(\d+(?:\.\d+)*)")
LIBRARIES = ("usr/local/cuda*/lib64", "usr/local/cuda*/targets/*/lib", "usr/lib", "usr/lib64", "usr/lib/*-linux-gnu")
OFI_PLUGIN_HOMES = ("opt/amazon/ofi-nccl", "opt/amazon/aws-ofi-nccl", "opt/aws-ofi-nccl", "usr/local", "usr")
WATCHED_MODULES = re.compile(r"^(nvidia[\w-]*|efa|gdrdrv|lustre|neuron)\.ko(\.(xz|gz|zst))?$")
# The paths of Fedora and its newer derivatives, and of the others.
RPM_DATABASES = ("usr/lib/sysimage/rpm/rpmdb.sqlite", "var/lib/rpm/rpmdb.sqlite")
# https://rpm-software-management.github.io/rpm/manual/tags.html; a type of 6 is one string, an epoch is a number.
RPM_TAGS = {1000: "name", 1001: "version", 1002: "release", 1003: "epoch"}
RPM_STRING = 6


def upstream(version: str | None) -> str | None:
    """The upstream part of a package's version, `2:24.11.5-4+deb13u1` -> `24.11.5`; None for None."""
    match = UPSTREAM.match(version or "")
    return match.group(1) if match else None


def as_declared(entry: Mapping[str, Any], observed: str | None) -> bool:
    """Whether the version of a component is that of a lock's entry.

    Of what the base image fixes, a lock may know the series alone (6.12 of 6.12.55, or 5.14.0-687 of 5.14.0), or
    nothing.
    """
    declared = str(entry["version"])
    if observed is None or entry.get("grade") != "base":
        return observed == declared
    shorter, longer = sorted((order(declared), order(observed)), key=len)
    return longer[: len(shorter)] == shorter


def order(version: str | None) -> list[int]:
    """A key that sorts versions and kernel releases by their numbers."""
    return [int(number) for number in re.findall(r"\d+", version or "")]


def dpkg(root: str | Path) -> dict[str, str]:
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


def rpm(root: str | Path) -> dict[str, str]:
    """The rpm packages installed below `root`: name -> version, as `3:580.126.20-1.el9`; the last of several.

    The format of the database's headers: https://rpm-software-management.github.io/rpm/manual/format_header.html
    """
    database = next((path for path in (Path(root, place) for place in RPM_DATABASES) if path.is_file()), None)
    if database is None:
        return {}
    import sqlite3  # missing from the minimal Python of small Debian images

    # `immutable` creates no files; after an interrupted rpm, though, the journal has data that the database lacks.
    journal = Path(f"{database}-wal")
    how = "mode=ro" if journal.is_file() and journal.stat().st_size else "immutable=1"
    connection = sqlite3.connect(f"file:{quote(str(database))}?{how}", uri=True)
    try:
        headers = [blob for (blob,) in connection.execute("SELECT blob FROM Packages ORDER BY hnum")]
    finally:
        connection.close()
    packages = {}
    for fields in map(_rpm_fields, headers):
        # rpm stores a trusted key as a package.
        if fields["name"] != "gpg-pubkey":
            epoch = f"{fields['epoch']}:" if fields.get("epoch") else ""
            packages[fields["name"]] = f"{epoch}{fields['version']}-{fields['release']}"
    return packages


def _rpm_fields(header: bytes) -> dict[str, Any]:
    """Name, version, release and epoch of a header of rpm's database: an index, 16 bytes per entry, then the values."""
    (entries,) = struct.unpack_from(">I", header)
    values = 8 + 16 * entries
    fields = {}
    for tag, kind, offset, _count in struct.iter_unpack(">4I", header[8:values]):
        if tag in RPM_TAGS and kind == RPM_STRING:
            text = header[values + offset : header.index(b"\0", values + offset)]
            fields[RPM_TAGS[tag]] = text.decode(errors="replace")
        elif tag in RPM_TAGS:
            fields[RPM_TAGS[tag]] = struct.unpack_from(">I", header, values + offset)[0]
    return fields


def installed(root: str | Path) -> dict[str, str]:
    """The packages installed below `root`, of either family: name -> version."""
    return {**dpkg(root), **rpm(root)}


def _files(root: str | Path, *patterns: str) -> list[Path]:
    """The paths below `root` that match any of the patterns, sorted within each pattern."""
    return [path for pattern in patterns for path in sorted(Path(root).glob(pattern))]


def _in_text(root: str | Path, pattern: str, *places: str) -> str | None:
    """The match of the first group of `pattern` in the first text file that has one."""
    for path in _files(root, *places):
        match = re.search(pattern, path.read_text(errors="replace"), re.MULTILINE) if path.is_file() else None
        if match:
            return match.group(1)
    return None


def _in_name(root: str | Path, pattern: str, *places: str) -> str | None:
    """The match of the first group of `pattern` in the file names; the newest of several."""
    matches = [re.search(pattern, path.name) for path in _files(root, *places)]
    return max((match.group(1) for match in matches if match), key=order, default=None)


def _package(packages: dict[str, str], *names: str) -> str | None:
    """The upstream version of the first of the packages that is installed."""
    return next((upstream(packages[name]) for name in names if name in packages), None)


def _of_branch(packages: dict[str, str], name: str) -> str | None:
    """The version of `name` or, as some releases are called, `name` followed by the driver's branch."""
    return _package(packages, name, *(package for package in packages if re.fullmatch(rf"{name}-\d+", package)))


def _wheel(root: str | Path, name: str) -> str | None:
    """The version of an unpacked Python wheel, in the folder of its component or below the CUDA prefix."""
    depths = [f"opt/ingot/wheels/*/{name}*.dist-info"]
    depths += ["usr/local/cuda*/" + "*/" * depth + f"{name}*.dist-info" for depth in range(4)]
    return _in_name(root, rf"^{name}(?:_cu\d+)?-(\d+(?:\.\d+)*)\.dist-info$", *depths)


def python_packages(root: str | Path = "/") -> list[tuple[str, str, Path]]:
    """The Python packages in the usual places: (name, version, folder), by the names of their dist-info folders."""
    homes = ("usr", "usr/local", "opt/*", "opt/*/*", "root/*", "home/*/*", "fsx/*", "fsx/*/*")
    folders = [f"{home}/lib/python3*/{kind}-packages" for home in homes for kind in ("site", "dist")]
    found = _files(root, "usr/lib/python3/dist-packages/*.dist-info", *(f"{name}/*.dist-info" for name in folders))
    parts = ((path, path.name[: -len(".dist-info")].rpartition("-")) for path in found)
    return [(name, version, path.parent) for path, (name, _, version) in parts if name]


def _library(root: str | Path, name: str) -> str | None:
    """The full version of a shared library, from the name of the file that its links point to."""
    return _in_name(root, rf"^{name}\.so\.(\d+\.\d+\.\d+)$", *(f"{folder}/{name}.so.*" for folder in LIBRARIES))


def _modinfo(path: Path) -> dict[str, str]:
    """A kernel module's version and vermagic, if its compression is readable."""
    readers: dict[str, Callable[..., Any]] = {".ko": open, ".xz": lzma.open, ".gz": gzip.open}
    if path.suffix not in readers:
        return {}
    with readers[path.suffix](path, "rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.suffix == ".ko" else file.read()
    fields = re.findall(rb"\0(version|vermagic)=([^\0]+)(?=\0)", content)
    return {key.decode(): value.decode(errors="replace").strip() for key, value in fields}


def releases(root: str | Path = "/") -> list[str]:
    """The kernel releases that have modules below `root`, oldest first."""
    return sorted((path.parent.name for path in _files(root, "lib/modules/*/modules.order")), key=order)


def modules(root: str | Path = "/") -> list[dict[str, Any]]:
    """Our components' modules for every kernel: file, kernel release, version and vermagic (None if unreadable)."""
    folders = ("updates/**", "extra/**", "kernel/drivers/infiniband/hw/efa")
    entries = []
    for path in _files(root, *(f"lib/modules/*/{folder}/*.ko*" for folder in folders)):
        if not WATCHED_MODULES.match(path.name) or not path.is_file() or not path.stat().st_size:
            continue
        relative, info = path.relative_to(root), _modinfo(path)
        version, vermagic = info.get("version"), info.get("vermagic")
        entries.append({"file": f"/{relative}", "release": relative.parts[2], "version": version, "vermagic": vermagic})
    return entries


def _kernel(root: str | Path, packages: dict[str, str]) -> str | None:
    """The version of the newest kernel; a Debian release (6.1.0-56) differs from its package's version (6.1.192)."""
    for release in reversed(releases(root)):
        return upstream(packages.get(f"linux-image-{release}")) or upstream(release)
    return None


def _nvidia_driver(root: str | Path, built: list[dict[str, Any]]) -> str | None:
    """The version of the driver that the newest kernel would load; libraries alone are not a driver."""
    pattern = re.compile(r".*/nvidia(-current|-tesla-\d+|-tesla|-legacy[\w-]*)?\.ko")
    candidates = [module for module in built if pattern.match(module["file"])]
    if not candidates:
        return None
    newest = max(candidates, key=lambda module: order(module["release"]))
    return (
        newest["version"]
        or _in_name(root, r"^(\d+\.\d+[\d.]*)$", "var/lib/dkms/nvidia*/*")
        or _in_name(root, r"^nvidia\D*-(\d+\.\d+[\d.]*)$", "usr/src/nvidia-*")
    )


def nvidia_trees(root: str | Path = "/") -> dict[str, str]:
    """The drivers of an EKS image, one of which its first boot with a GPU installs: tree -> version.

    https://github.com/awslabs/amazon-eks-ami/pull/2819; what is installed is then in the tree `current`.
    """
    trees = _files(root, "opt/nvidia/*/.version")
    return {path.parent.name: path.read_text().strip() for path in trees if path.is_file()}


def nvidia_libraries(root: str | Path = "/") -> list[str]:
    """The versions of the driver's libraries below `root`, oldest first; those for older drivers do not count."""
    folders = (*LIBRARIES[2:], "usr/lib/*-linux-gnu/nvidia/current")
    names = ("libcuda.so.*", "libnvidia-ml.so.*")
    found = [
        re.search(r"\.so\.(\d+\.\d+[\d.]*)$", path.name)
        for path in _files(root, *(f"{folder}/{name}" for folder in folders for name in names))
    ]
    return sorted({match.group(1) for match in found if match}, key=order)


def _gdrcopy(root: str | Path, built: list[dict[str, Any]]) -> str | None:
    """The version that its role has noted, else that of its module: the newest kernel's, or that of an EKS image's
    trees."""
    noted = _in_text(root, r"^(\d+(?:\.\d+)*)$", "opt/gdrcopy/ingot-version")
    in_trees = [_modinfo(path) for path in _files(root, "opt/nvidia/*/flavors/*/lib/modules/*/extra/gdrdrv.ko*")]
    versions = [module["version"] for module in built if Path(module["file"]).name.startswith("gdrdrv.")]
    versions += [info.get("version") for info in in_trees]
    return noted or max((version for version in versions if version), key=order, default=None)


def _cuda(root: str | Path, packages: dict[str, str]) -> str | None:
    # NVIDIA's own toolkit has its version in its package name or in a file; its parts, Debian's package and the wheels
    # have versions of their own.
    return (
        _wheel(root, "nvidia_cuda_runtime")
        or _package(packages, *(name for name in sorted(packages) if re.fullmatch(r"cuda-toolkit-\d+-\d+", name)))
        or _in_text(root, r'"cuda"\s*:\s*{[^}]*"version"\s*:\s*"([\d.]+)"', "usr/local/cuda/version.json")
        or _package(packages, "nvidia-cuda-toolkit")
        or _library(root, "libcudart")
    )


def _nccl(root: str | Path, packages: dict[str, str]) -> str | None:
    return (
        _wheel(root, "nvidia_nccl")
        or _package(packages, "libnccl2", "libnccl")
        or _library(root, "libnccl")
        or _nccl_header(root)
    )


def _nccl_header(root: str | Path) -> str | None:
    places = ("usr/local/cuda*/include/nccl.h", "usr/include/nccl.h")
    numbers = [_in_text(root, rf"^#define NCCL_{part}\s+(\d+)", *places) for part in ("MAJOR", "MINOR", "PATCH")]
    return ".".join(number or "" for number in numbers) if all(numbers) else None


def efa_installer(root: str | Path = "/") -> str | None:
    """The version of the EFA installer that was run, if any."""
    return _in_text(root, r"EFA installer version:\s*([\d.]+)", "opt/amazon/efa_installed_packages")


def libfabric(root: str | Path = "/", packages: dict[str, str] | None = None) -> str | None:
    """The version of libfabric: the EFA installer's, else the distribution's."""
    own = _in_text(root, r"^Version:\s*(\d+(?:\.\d+)*)", "opt/amazon/efa/lib*/pkgconfig/libfabric.pc")
    return own or _package(installed(root) if packages is None else packages, "libfabric1")


def open_mpi(root: str | Path = "/", packages: dict[str, str] | None = None) -> str | None:
    """The version of Open MPI: the EFA installer's, else the distribution's."""
    places = [f"opt/amazon/{name}/lib*/pkgconfig/ompi.pc" for name in ("openmpi5", "openmpi")]
    own = _in_text(root, r"^Version:\s*(\d+(?:\.\d+)*)", *places)
    return own or _package(installed(root) if packages is None else packages, "openmpi-bin")


def _aws_ofi_nccl(root: str | Path) -> str | None:
    """The plugin's file name has no version; it contains the one that it logs when NCCL loads it."""
    folders = [f"{home}/{lib}" for home in OFI_PLUGIN_HOMES for lib in ("lib", "lib64", "lib/*-linux-gnu")]
    for path in _files(root, *(f"{folder}/libnccl-net*.so" for folder in folders)):
        match = re.search(rb"aws-ofi-nccl (\d+\.\d+\.\d+)", path.read_bytes()) if path.is_file() else None
        if match:
            return match.group(1).decode()
    return None


def _slurm_built(root: str | Path) -> str | None:
    """The version of a Slurm built from source, as its headers number it: 0x190b07 -> 25.11.7, 0x1a0503 -> 26.05.3.

    Bytes are major, minor and micro: https://github.com/SchedMD/slurm, slurm/slurm_version.h.in.
    """
    header = "opt/slurm/include/slurm/slurm_version.h"
    found = _in_text(root, r"^#define\s+SLURM_VERSION_NUMBER\s+0x([0-9a-fA-F]{6})\b", header)
    if found is None:
        return None
    major, minor, micro = bytes.fromhex(found)
    return f"{major}.{minor:02}.{micro}"


def _neuron(root: str | Path, packages: dict[str, str]) -> str | None:
    """The SDK release of the packages, as recorded by the role; else the driver's version."""
    note = Path(root, "usr/share/ingot/neuron.json")
    release = json.loads(note.read_text()) if note.is_file() else {"packages": {"aws-neuronx-dkms": ""}}
    if all(packages.get(name) == version for name, version in release["packages"].items()):
        return str(release["version"])
    return _package(packages, "aws-neuronx-dkms", "aws-neuronx-tools")


def _aws_cli(root: str | Path) -> str | None:
    """The version that the installation's link points to."""
    link = Path(root, "usr/local/aws-cli/v2/current")
    return link.readlink().name if link.is_symlink() else None


def _without_build(version: str | None) -> str | None:
    """A package's version without epoch and build, letters and all: `1.300072.0b1766-1` -> `1.300072.0b1766`."""
    return version.rpartition(":")[2].rpartition("-")[0] if version else None


def _program(root: str | Path, name: str) -> str | None:
    """The version of an unpackaged program, as recorded by the role; the program itself would have to be run."""
    if not Path(root, f"usr/local/bin/{name}").is_file():
        return None
    return _in_text(root, r"^(\d+(?:\.\d+)*)$", f"usr/share/ingot/programs/{name}")


def _observe(root: str | Path, packages: dict[str, str], built: list[dict[str, Any]]) -> dict[str, str | None]:
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
        "gdrcopy": _gdrcopy(root, built),
        "nccl_tests": _in_text(root, r"^(\d+(?:\.\d+)*)$", "opt/nccl-tests/version"),
        "efa": efa_installer(root) or libfabric(root, packages),
        "aws_ofi_nccl": _aws_ofi_nccl(root),
        "slurm": _slurm_built(root) or _package(packages, "slurmd", "slurm-client"),
        "docker": _package(packages, "docker.io", "docker-ce", "moby-engine", "docker"),
        "nvidia_container_toolkit": _package(packages, "nvidia-container-toolkit"),
        "neuron": _neuron(root, packages),
        "lustre": _package(packages, "lustre-client-utils", "lustre-client"),
        "aws_cli": _aws_cli(root),
        "ssm_agent": _package(packages, "amazon-ssm-agent"),
        "cloudwatch_agent": _without_build(packages.get("amazon-cloudwatch-agent")),
        "node_exporter": _program(root, "node_exporter") or _package(packages, "prometheus-node-exporter"),
        "prometheus": _program(root, "prometheus") or _package(packages, "prometheus"),
        "grafana": _package(packages, "grafana", "grafana-enterprise"),
        "dcgm_exporter": _package(packages, "datacenter-gpu-manager-exporter"),
        "enroot": _package(packages, "enroot"),
        "pyxis": _in_text(root, r"^pyxis (\d+(?:\.\d+)*),", "usr/local/share/pyxis/ingot-built"),
    }


def _details(root: str | Path, packages: dict[str, str], built: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "efa_installer": efa_installer(root),
        "libfabric": libfabric(root, packages),
        "open_mpi": open_mpi(root, packages),
        "kernel_releases": releases(root),
        "modules": built,
        "nvidia_trees": nvidia_trees(root),
        "nvidia_libraries": nvidia_libraries(root),
    }


def observe(root: str | Path = "/") -> dict[str, str | None]:
    """Every component that Ingot knows -> its version below `root`, as a lock writes it, or None if it is absent."""
    return _observe(root, installed(root), modules(root))


def details(root: str | Path = "/") -> dict[str, Any]:
    """Details of the versions: EFA's parts, kernels, and modules with their vermagic."""
    return _details(root, installed(root), modules(root))


def everything(root: str | Path = "/") -> tuple[dict[str, str | None], dict[str, Any], dict[str, str]]:
    """(observe, details, packages), reading everything once."""
    packages, built = installed(root), modules(root)
    return _observe(root, packages, built), _details(root, packages, built), packages
