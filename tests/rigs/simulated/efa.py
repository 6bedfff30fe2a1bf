"""AWS' EFA installer, with the packages of one system in it, and the source of its plugin for NCCL.

What is in an installer was seen on 2026-11-25 in public repositories: the names and versions of 1.49.0's packages in
its package_list.txt (Amazon Linux 2023) and of others in Dockerfiles that install single packages (DEBS/UBUNTU2204 of
1.48, DEBS/UBUNTU2404 of 1.50.0). Of its packages those are here that something in Ingot looks for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ingot.model.lock import Lock, LockedComponent
from ingot.model.types import Arch
from tests.rigs.packages import Artifact, Package, Wanted, clean, script, write

FILES = Path(__file__).parent / "files" / "efa"
EFA, PLUGIN = "opt/amazon/efa", "opt/amazon/ofi-nccl"
# The folder that common.sh looks in, and what rpms of the system have at the end of their release.
FOLDERS = {
    "ubuntu2204": ("DEBS/UBUNTU2204", ""),
    "ubuntu2404": ("DEBS/UBUNTU2404", ""),
    "al2023": ("RPMS/ALINUX2023", ".amzn2023"),
    "rocky9": ("RPMS/ROCKYLINUX9", ".el9"),
    "rhel9": ("RPMS/RHEL9", ".el9"),
}
# Versions of 1.49.0, for locks that do not say them.
DEFAULTS = {"openmpi4": "4.1.7-1", "openmpi5": "5.0.9amzn1-11", "rdma_core": "63.0-1", "efa_kmod": "3.1.0"}
# /etc/modules-load.d/efa.conf and the scripts that build the module for every kernel that has headers:
# amzn/amzn-drivers at 0264ebb, kernel/linux/efa/debian and kernel/linux/efa/conf.
DKMS = """PACKAGE_NAME="efa"
PACKAGE_VERSION="{version}"
MAKE="make -C $kernel_source_dir M=$dkms_tree/efa/{version}/build modules"
CLEAN="true"
BUILT_MODULE_NAME[0]="efa"
DEST_MODULE_LOCATION="/extra"
AUTOINSTALL="yes"
"""
BUILD = """dkms add -m efa -v {version}
for kernel in $(ls /lib/modules); do
  if [ -e /lib/modules/$kernel/build/include ]; then
    dkms install --force -m efa -v {version} -k $kernel
  fi
done
"""
MAKEFILE = """# Simulated.
CC ?= cc
FLAGS = -shared -fPIC -Wl,-soname,$@ -DVERSION='"{version}"'
all: {all}
{rules}install: all
	mkdir -p $(DESTDIR)@libdir@ $(DESTDIR)@prefix@/share/aws-ofi-nccl/xml
	cp {all} $(DESTDIR)@libdir@
{links}	cp topology/*.xml $(DESTDIR)@prefix@/share/aws-ofi-nccl/xml
"""
SIMULATED = "# Simulated.\n"
PEERMEM = "etc/modules-load.d/efa_nv_peermem.conf"


@dataclass(frozen=True)
class Part:
    """A package of the installer: what it is called on each family, the folder it is in, its version by the lock."""

    deb: str
    rpm: str
    folder: str
    version: Callable[[Mapping[str, str]], str]
    content: Callable[[Wanted], Package]


def _read(name: str) -> str:
    return (FILES / name).read_text()


def _compile(target: str, source: str, flags: str = "") -> str:
    """A line that compiles a file of the rig into the package's root, where its folder is made first."""
    folder = target.rpartition("/")[0]
    shared = f"-shared -fPIC -Wl,-soname,{target.rpartition('/')[2]}" if ".so" in target else ""
    return f"mkdir -p {folder}\n$CC {shared} -o {target} -x c - {flags} <<'END'\n{source}END\n"


def _lib(wanted: Wanted) -> str:
    return "lib" if wanted.kind == "apt" else "lib64"


def _library(name: str) -> Callable[[Wanted], Package]:
    """A package of a library of rdma-core."""

    def content(wanted: Wanted) -> Package:
        return Package(build=_compile(f"{wanted.libraries}/{name}", f"int simulated_{name[3:6]};\n"))

    return content


def _providers(wanted: Wanted) -> Package:
    package = _library("libefa.so.1")(wanted)
    needs = [f"libibverbs1 (= {wanted.version})"] if wanted.kind == "apt" else []
    return Package({"etc/libibverbs.d/efa.driver": "driver efa\n"}, package.build, needs)


def _libverbs(wanted: Wanted) -> Package:
    verbs = _library("libibverbs.so.1")(wanted)
    if wanted.kind == "apt":
        return verbs
    providers = _providers(wanted)
    return Package(providers.files, verbs.build + providers.build)


def _libfabric(wanted: Wanted) -> Package:
    version = wanted.version.split("-")[0]
    major, minor = version.split(".")[:2]
    flags = f"-DMAJOR={major} -DMINOR={minor} -DVERSION='\"{version}\"' -Wl,--version-script=/tmp/libfabric.map"
    # The efa provider is in it, and needs the library of ibverbs-providers.
    flags += " -Wl,--no-as-needed -L/tmp -l:libefa.so.1"
    nodes = "echo 'FABRIC_1.0 { global: fi_version; fi_simulated_version; local: *; };' > /tmp/libfabric.map\n"
    nodes += _compile("/tmp/libefa.so.1", "int simulated_efa;\n")
    build = nodes + _compile(f"{EFA}/{_lib(wanted)}/libfabric.so.1", _read("libfabric.c"), flags)
    # https://github.com/aws/aws-ofi-nccl and others: libfabric1-aws needs a newer ibverbs-providers than Ubuntu's.
    needs = ["ibverbs-providers (>= 58)"] if wanted.kind == "apt" else []
    return Package({f"usr/share/doc/{wanted.name}/readme": SIMULATED}, build, needs)


def _fi_info(wanted: Wanted) -> Package:
    library = _libfabric(wanted)
    flags = f"-L{EFA}/{_lib(wanted)} -l:libfabric.so.1 -Wl,-rpath-link,/tmp"
    program = _compile(f"{EFA}/bin/fi_info", _read("fi_info.c"), flags)
    if wanted.kind == "rpm":
        return Package(library.files, library.build + program)
    remove = f"rm -r {EFA}/lib\n"
    return Package({}, library.build + program + remove, [f"libfabric1-aws (= {wanted.version})"])


def _libfabric_dev(wanted: Wanted) -> Package:
    version = wanted.version.split("-")[0]
    files = {
        f"{EFA}/include/rdma/fabric.h": "#include <stdint.h>\nuint32_t fi_version(void);\n",
        f"{EFA}/{_lib(wanted)}/pkgconfig/libfabric.pc": f"Name: libfabric\nVersion: {version}\n",
    }
    return Package(files, f"ln -s libfabric.so.1 {EFA}/{_lib(wanted)}/libfabric.so\n")


def _open_mpi(home: str) -> Callable[[Wanted], Package]:
    def content(wanted: Wanted) -> Package:
        root, version = f"opt/amazon/{home}", wanted.version.split("-")[0]
        where = f"/{root}/lib"
        mpicc = f'#!/bin/sh\n{SIMULATED}exec cc -I/{root}/include "$@" -L{where} -lmpi -Wl,-rpath,{where}\n'
        files = {
            f"{root}/bin/mpicc": mpicc,
            f"{root}/bin/mpirun": _read("mpirun"),
            f"{root}/include/mpi.h": _read("mpi.h"),
            f"{root}/lib/pkgconfig/ompi.pc": f"Name: Open MPI\nVersion: {version}\n",
        }
        build = _compile(f"{root}/lib/libmpi.so.40", _read("mpi.c"), f"-I{root}/include")
        return Package(files, build + f"ln -s libmpi.so.40 {root}/lib/libmpi.so\n")

    return content


def _libraries(version: str) -> tuple[dict[str, str], dict[str, str]]:
    """The plugin's libraries and what each is compiled of, and the links to them.

    Links since 1.15.0 and 1.16.0, by the release notes; 1.20's packaging has an option for a libnccl-net.so of its own,
    and the tuner under the name that was the link's.
    """
    if [int(part) for part in version.split(".")[:2]] >= [1, 20]:
        return {"libnccl-net-ofi.so": "plugin.c", "libnccl-net.so": "plugin.c", "libnccl-tuner-ofi.so": "tuner.c"}, {}
    links = {"libnccl-net.so": "libnccl-net-ofi.so", "libnccl-tuner-ofi.so": "libnccl-ofi-tuner.so"}
    return {"libnccl-net-ofi.so": "plugin.c", "libnccl-ofi-tuner.so": "tuner.c"}, links


def _plugin(wanted: Wanted) -> Package:
    """What the plugin's own packaging has: contrib/debian-template and contrib/fedora of aws/aws-ofi-nccl."""
    lib = f"{PLUGIN}/{_lib(wanted)}"
    files = {
        f"{PLUGIN}/share/aws-ofi-nccl/xml/p5.48xl-topo.xml": "<system/>\n",
        "etc/ld.so.conf.d/100_ofinccl.conf": f"/{lib}\n",
    }
    libraries, links = _libraries(wanted.upstream)
    version = f"-DVERSION='\"{wanted.upstream}\"'"
    build = "".join(_compile(f"{lib}/{name}", _read(source), version) for name, source in libraries.items())
    return Package(files, build + "".join(f"ln -s {to} {lib}/{name}\n" for name, to in links.items()))


def _driver(wanted: Wanted) -> Package:
    version = wanted.upstream
    root = f"usr/src/efa-{version}"
    files = {
        f"{root}/dkms.conf": DKMS.format(version=version),
        f"{root}/Kbuild": f"obj-m := efa.o\nccflags-y := -DEFA_VERSION='\"{version}\"'\n",
        f"{root}/efa.c": _read("efa.c"),
        "etc/modules-load.d/efa.conf": "ib_core\nib_uverbs\nefa\n",
        "etc/modprobe.d/efa.conf": "softdep efa pre: ib_uverbs\n",
    }
    scripts = {"postinst": BUILD.format(version=version), "prerm": f"dkms remove -m efa -v {version} --all\n"}
    return Package(files, needs=["dkms"], scripts=scripts)


def _profile(wanted: Wanted) -> Package:
    """The installer itself says that it verifies these two files."""
    path = 'export PATH="/opt/amazon/openmpi/bin:/opt/amazon/efa/bin:$PATH"\n'
    files = {"etc/ld.so.conf.d/000_efa.conf": f"/{EFA}/{_lib(wanted)}\n", "etc/profile.d/zippy_efa.sh": path}
    return Package(files)


def _file(path: str) -> Callable[[Wanted], Package]:
    return lambda _: Package({path: SIMULATED})


def _fixed(version: str) -> Callable[[Mapping[str, str]], str]:
    return lambda _: version


def _rdma(facts: Mapping[str, str]) -> str:
    version = facts["rdma_core"]
    return version if "-" in version else f"{version}-1"


def _kmod(facts: Mapping[str, str]) -> str:
    return f"{facts['efa_kmod'].split('-')[0]}-1.amzn1"


def _fabric(facts: Mapping[str, str]) -> str:
    return facts["libfabric"]


# 110 MiB for each of two endpoints a core, in huge pages, at boot: bottlerocket-os/bottlerocket-core-kit#141 quotes the
# script, and the installer's own efa_uninstall_limits.sh says that its efa-config owns limits.d/efa.conf.
PARTS = [
    Part("libibverbs1", "libibverbs", "rdma-core", _rdma, _libverbs),
    Part("ibverbs-providers", "", "rdma-core", _rdma, _providers),
    Part("librdmacm1", "librdmacm", "rdma-core", _rdma, _library("librdmacm.so.1")),
    Part("rdma-core", "rdma-core", "rdma-core", _rdma, _file("etc/rdma/modules/rdma.conf")),
    Part("libfabric1-aws", "", "", _fabric, _libfabric),
    Part("libfabric-aws-bin", "libfabric-aws", "", _fabric, _fi_info),
    Part("libfabric-aws-dev", "libfabric-aws-devel", "", _fabric, _libfabric_dev),
    Part("openmpi40-aws", "openmpi40-aws", "", lambda facts: facts["openmpi4"], _open_mpi("openmpi")),
    Part("openmpi50-aws", "openmpi50-aws", "", lambda facts: facts["openmpi5"], _open_mpi("openmpi5")),
    Part("efa-config", "efa-config", "", _fixed("1.18"), _file("etc/security/limits.d/efa.conf")),
    Part("efa-profile", "efa-profile", "", _fixed("1.7"), _profile),
    Part("efa-nv-peermem", "efa-nv-peermem", "", _fixed("1.2.3-1.amzn1"), _file(PEERMEM)),
    Part("efa", "efa", "efa-driver", _kmod, _driver),
    Part("libnccl-ofi", "libnccl-ofi", "", lambda facts: f"{facts['aws_ofi_nccl']}-1", _plugin),
]  # fmt: skip


def _brings_plugin(version: str, os_name: str, arch: Arch) -> bool:
    """Whether an installer has the plugin: from 1.38.0 on, on Arm from 1.40.0, on RHEL 9 and Rocky 9 from 1.46.0.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/efa-changelog.html
    """
    since = "1.46" if os_name in ("rhel9", "rocky9") else "1.40" if arch == "aarch64" else "1.38"
    return [int(part) for part in version.split(".")[:2]] >= [int(part) for part in since.split(".")]


def _version(part: Part, facts: Mapping[str, str], dist: str) -> str:
    version = part.version(facts)
    if not dist:
        return version
    version = version.removesuffix(".amzn1")
    return (version if "-" in version else f"{version}-1") + dist


def _installer(entry: LockedComponent, lock: Lock, file: Path, run: Callable[[str, Path], None]) -> None:
    """The installer with the packages of the lock's system and architecture."""
    home, dist = FOLDERS[lock.os]
    facts = DEFAULTS | {name: str(value) for name, value in entry.facts.items()}
    top = file.parent / "aws-efa-installer"
    base = top / home / lock.arch
    scripts = []
    for part in PARTS:
        name = part.rpm if dist else part.deb
        if not name or (name == "libnccl-ofi" and not _brings_plugin(entry.version, lock.os, lock.arch)):
            continue
        wanted = Wanted(name, _version(part, facts, dist), "rpm" if dist else "apt", lock)
        (base / part.folder / "roots").mkdir(parents=True, exist_ok=True)
        scripts.append(script(wanted, part.content(wanted), base / part.folder))
    run("".join(scripts), file.parent)
    for folder in {base / part.folder for part in PARTS}:
        clean(folder)
    packages = [path for path in base.rglob("*") if path.suffix in (".deb", ".rpm")]
    write(top, {
        "env.sh": f"EFA_INSTALLER_VERSION={entry.version}\n",
        "package_list.txt": "".join(f"{path.relative_to(top)}\n" for path in packages),
        "efa_installer.sh": _read("efa_installer.sh"),
        "common.sh": _read("common.sh"),
    })  # fmt: skip
    run(f"tar -czf {file.name} aws-efa-installer && rm -r aws-efa-installer", file.parent)


def _source(entry: LockedComponent, lock: Lock, file: Path, run: Callable[[str, Path], None]) -> None:
    """A release of the plugin's source, which configures and builds."""
    name = f"aws-ofi-nccl-{entry.version}"
    libraries, links = _libraries(entry.version)
    rules = "".join(f"{each}: src/{source}\n\t$(CC) $(FLAGS) -o $@ $<\n" for each, source in libraries.items())
    linked = "".join(f"\tln -sf {to} $(DESTDIR)@libdir@/{each}\n" for each, to in links.items())
    makefile = MAKEFILE.format(version=entry.version, all=" ".join(libraries), rules=rules, links=linked)
    write(file.parent / name, {
        "configure": _read("configure"),
        "Makefile.in": makefile,
        "src/plugin.c": _read("plugin.c"),
        "src/tuner.c": _read("tuner.c"),
        "topology/p5.48xl-topo.xml": "<system/>\n",
    })  # fmt: skip
    run(f"tar -czf {file.name} {name} && rm -r {name}", file.parent)


ARTIFACTS: dict[str, Artifact] = {"efa": _installer, "aws_ofi_nccl": _source}
