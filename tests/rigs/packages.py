"""Turns a description of what is in a package into a real one, of apt or of rpm, and a tree of files into a tarball.

Compilers and packers run in a container of the rig's own image, so that nothing of them is needed on this machine.
"""

import io
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ingot.model.lock import Lock, LockedComponent
from ingot.model.types import Arch
from ingot.sources.apt import DEB_ARCH

Kind = Literal["apt", "rpm"]
# Debian's scripts of a package, and what rpm calls them; the last is rpm's alone, when the whole transaction is done.
RPM_SCRIPTS = {
    "preinst": "%pre",
    "postinst": "%post",
    "prerm": "%preun",
    "postrm": "%postun",
    "posttrans": "%posttrans",
}
# A service of a package.
UNIT = """[Unit]
Description=Simulated {name}

[Service]
ExecStart={program}

[Install]
WantedBy=multi-user.target
"""
CONTROL = """Package: {name}
Version: {version}
Architecture: {arch}
Maintainer: Ingot <nobody@example.org>
Section: misc
Priority: optional
{relations}Description: simulated by Ingot's rig of vendors
"""
SPEC = """Name: {name}
{epoch}Version: {version}
Release: {release}
Summary: Simulated by Ingot's rig of vendors
License: Apache-2.0
AutoReqProv: no
{relations}
%description
Simulated by Ingot's rig of vendors.
%install
cp -a {root}/. %{{buildroot}}/
{scripts}
%files
{files}
"""


@dataclass(frozen=True)
class Wanted:
    """A package that a lock names, in its exact version; `lock` says what else there is."""

    name: str
    version: str
    kind: Kind
    lock: Lock

    @property
    def arch(self) -> Arch:
        """The architecture that it is for."""
        return self.lock.arch

    @property
    def upstream(self) -> str:
        """The version without epoch and build: `3:580.126.20-1.el9` -> `580.126.20`."""
        return self.version.rpartition(":")[2].rsplit("-", 1)[0]

    @property
    def libraries(self) -> str:
        """Where the system has libraries: `usr/lib/x86_64-linux-gnu`, `usr/lib64`."""
        return f"usr/lib/{self.arch}-linux-gnu" if self.kind == "apt" else "usr/lib64"


@dataclass
class Package:
    """What is in a package: files by path (programs begin with `#!`), a shell script that makes more of them in the
    package's root (`$CC` compiles for its architecture), what it needs, provides and conflicts with as its family
    writes it (`name (= 1-1)`, `name = 1-1`), scripts by Debian's names, and packages of the same repository that come
    with it, name to version.
    """

    files: dict[str, str] = field(default_factory=dict)
    build: str = ""
    needs: list[str] = field(default_factory=list)
    provides: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    scripts: dict[str, str] = field(default_factory=dict)
    brings: dict[str, str] = field(default_factory=dict)


Content = Callable[[Wanted], Package]
# Makes a component's file: (the lock's entry, the lock, where it has to lie, what runs a script in a folder).
Artifact = Callable[[LockedComponent, Lock, Path, Callable[[str, Path], None]], None]


def write(root: Path, files: Mapping[str, str]) -> None:
    """Write files below `root`; what begins with `#!` can be run."""
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755 if text.startswith("#!") else 0o644)


def compiler(arch: Arch) -> str:
    """The C compiler of the rig's image for `arch`."""
    return f"{arch}-linux-gnu-gcc"


def tools(image: str, folder: Path, arch: Arch) -> Callable[[str, Path], None]:
    """What runs a shell script in a folder below `folder`, in a container of the rig's image."""

    def run(script: str, place: Path) -> None:
        words = ["docker", "run", "--rm", "--network=none", "--label=ingot=1", f"--volume={folder}:{folder}"]
        words += [f"--workdir={place}", f"--env=CC={compiler(arch)}", f"--env=LIBRARIES=usr/lib/{arch}-linux-gnu"]
        done = subprocess.run([*words, image, "sh", "-euc", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    return run


def script(wanted: Wanted, package: Package, folder: Path) -> str:
    """Lay the package out below `folder` and say how it is built; the result lies in `folder`."""
    root = folder / "roots" / wanted.name
    note = {f"usr/share/doc/{wanted.name}/simulated": "Simulated by Ingot's rig of vendors.\n"}
    write(root, note | package.files)
    build = f"cd {root}\n{package.build}\ncd {folder}\n"
    return build + (_deb if wanted.kind == "apt" else _rpm)(wanted, package, root, folder)


def control(wanted: Wanted, package: Package) -> str:
    """What apt's index and the package itself say of it."""
    relations = {"Depends": package.needs, "Provides": package.provides, "Conflicts": package.conflicts}
    lines = "".join(f"{name}: {', '.join(each)}\n" for name, each in relations.items() if each)
    return CONTROL.format(name=wanted.name, version=wanted.version, arch=DEB_ARCH[wanted.arch], relations=lines)


def deb_name(wanted: Wanted) -> str:
    """The file's name."""
    return f"{wanted.name}_{wanted.version.replace(':', '%3a')}_{DEB_ARCH[wanted.arch]}.deb"


def _deb(wanted: Wanted, package: Package, root: Path, folder: Path) -> str:
    scripts = {f"DEBIAN/{name}": f"#!/bin/sh\nset -eu\n{text}" for name, text in package.scripts.items()}
    write(root, scripts | {"DEBIAN/control": control(wanted, package)})
    return f"dpkg-deb --root-owner-group -Zgzip --build {root} {shlex.quote(str(folder / deb_name(wanted)))} >&2\n"


def _rpm(wanted: Wanted, package: Package, root: Path, folder: Path) -> str:
    epoch, _, rest = wanted.version.rpartition(":")
    version, _, release = rest.rpartition("-")
    relations = {"Requires": package.needs, "Provides": package.provides, "Conflicts": package.conflicts}
    spec = SPEC.format(
        name=wanted.name, version=version, release=release, epoch=f"Epoch: {epoch}\n" if epoch else "", root=root,
        relations="".join(f"{name}: {value}\n" for name, values in relations.items() for value in values),
        scripts="".join(f"{RPM_SCRIPTS[name]}\nset -eu\n{text}\n" for name, text in package.scripts.items()),
        files="@FILES@",
    )  # fmt: skip
    file = folder / "roots" / f"{wanted.name}.spec"
    file.write_text(spec)
    listed = "-printf '\"/%P\"\\n'"
    files = f"cd {root} && find . -type f {listed} -o -type l {listed} > {file}.files && cd {folder}"
    quiet = "--define 'debug_package %nil' --define '__os_install_post %nil' --define '_build_id_links none'"
    build = f"rpmbuild -bb --quiet --target {wanted.arch} {quiet} --define '_topdir {folder}/roots/rpm'"
    return (
        f"{files}\nsed -i -e '/@FILES@/{{r {file}.files' -e 'd}}' {file}\n"
        f"{build} --define '_rpmdir {folder}' {file} >&2\nmv {folder}/{wanted.arch}/*.rpm {folder}\n"
    )


def clean(folder: Path) -> None:
    """Remove what packages were made of."""
    shutil.rmtree(folder / "roots")
    for arch in ("x86_64", "aarch64"):
        shutil.rmtree(folder / arch, ignore_errors=True)


def tarball(file: Path, files: Mapping[str, str]) -> None:
    """Pack files into one archive, in a folder of the archive's name as vendors do."""
    folder = file.name.removesuffix(".tar.gz")
    with tarfile.open(file, "w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{folder}/{path}")
            entry.size, entry.mode = len(text.encode()), 0o755 if text.startswith("#!") else 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))


def package_file(wanted: Wanted, package: Package, file: Path, run: Callable[[str, Path], None]) -> None:
    """Make a package that its vendor publishes as a file by itself."""
    run(script(wanted, package, file.parent), file.parent)
    clean(file.parent)
    made = next(each for each in file.parent.iterdir() if each.suffix == file.suffix)
    made.rename(file)
