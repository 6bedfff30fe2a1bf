"""NVIDIA's driver, from its repository for apt and for rpm, and gdrcopy's source.

The kernel modules are small, but real: they are compiled for a kernel, have the names, aliases and licences of
NVIDIA's, end in "No such device" without a GPU, and need each other as those do. Graphics libraries are left out.
"""

from collections.abc import Callable
from pathlib import Path

from ingot.catalog.read import read_catalog
from ingot.model.lock import Lock, LockedComponent
from tests.rigs.packages import Content, Package, Wanted, write

# Files of NVIDIA's source that others read: https://github.com/NVIDIA/open-gpu-kernel-modules, kernel-open; where the
# licence is said: https://github.com/NVIDIA/gdrcopy/pull/284; aliases: nvidia/nv-pci.c of the same repository.
NV_C = r"""#include <linux/module.h>
#include <linux/pci.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include "nv-p2p.h"

MODULE_LICENSE("@LICENCE@");
MODULE_VERSION("@VERSION@");
MODULE_DESCRIPTION("Simulated by Ingot's rig of vendors");

static const struct pci_device_id ids[] = {
    { PCI_DEVICE_CLASS(PCI_CLASS_DISPLAY_VGA << 8, ~0), .vendor = PCI_VENDOR_ID_NVIDIA, .device = PCI_ANY_ID,
      .subvendor = PCI_ANY_ID, .subdevice = PCI_ANY_ID },
    { PCI_DEVICE_CLASS(PCI_CLASS_DISPLAY_3D << 8, ~0), .vendor = PCI_VENDOR_ID_NVIDIA, .device = PCI_ANY_ID,
      .subvendor = PCI_ANY_ID, .subdevice = PCI_ANY_ID },
    { }
};
MODULE_DEVICE_TABLE(pci, ids);

static unsigned int NVreg_EnableGpuFirmware = 1;
module_param(NVreg_EnableGpuFirmware, uint, 0444);

int nvidia_p2p_get_pages(u64 token) { return -ENODEV; }
EXPORT_SYMBOL(nvidia_p2p_get_pages);
int nvidia_get_rm_ops(void) { return 0; }
EXPORT_SYMBOL(nvidia_get_rm_ops);

static int show(struct seq_file *file, void *data)
{
    seq_puts(file, "NVRM version: NVIDIA UNIX @LICENCE@ Kernel Module  @VERSION@  simulated\n");
    return 0;
}

static int __init nvidia_init(void)
{
    struct pci_dev *found = pci_get_device(PCI_VENDOR_ID_NVIDIA, PCI_ANY_ID, NULL);

    if (!found) {
        pr_info("NVRM: No NVIDIA GPU found.\n");
        return -ENODEV;
    }
    pci_dev_put(found);
    proc_create_single("version", 0444, proc_mkdir("driver/nvidia", NULL), show);
    return 0;
}

static void __exit nvidia_exit(void)
{
    remove_proc_entry("version", NULL);
}

module_init(nvidia_init);
module_exit(nvidia_exit);
"""
NV_P2P_H = """#pragma once
#include <linux/types.h>
int nvidia_p2p_get_pages(u64 token);
"""
OTHER_C = r"""#include <linux/module.h>
MODULE_LICENSE("@LICENCE@");
MODULE_VERSION("@VERSION@");
MODULE_DESCRIPTION("Simulated by Ingot's rig of vendors");
int nvidia_get_rm_ops(void);
static int __init start(void) { return nvidia_get_rm_ops(); }
static void __exit stop(void) { }
module_init(start);
module_exit(stop);
"""
OTHERS = ("nvidia-uvm", "nvidia-modeset", "nvidia-drm")
KBUILD = "\n".join(
    ["ccflags-y += -I$(src)/nvidia", "obj-m += nvidia.o", "nvidia-y := nvidia/nv.o"]
    + [f"obj-m += {name}.o\n{name}-y := {name}/{name}-linux.o" for name in OTHERS]
)
# SYSSRC and the target `modules` are those of NVIDIA's: https://github.com/NVIDIA/open-gpu-kernel-modules, README.
MAKEFILE = "modules:\n\t$(MAKE) -C $(SYSSRC) M=$(CURDIR) modules\n"
# What the rpm's says: https://github.com/NVIDIA/yum-packaging-dkms-nvidia, dkms-nvidia.conf. The name of the open
# module is that of the closed one since 570.148.08: https://github.com/awslabs/amazon-eks-ami, install-nvidia-driver.sh
DKMS = "\n".join(
    ['PACKAGE_NAME="nvidia"', 'PACKAGE_VERSION="@VERSION@"', 'AUTOINSTALL="yes"']
    + ["MAKE[0]=\"'make' -j$parallel_jobs modules SYSSRC=${kernel_source_dir}\""]
    + [
        f'BUILT_MODULE_NAME[{number}]="{name}"\nDEST_MODULE_LOCATION[{number}]="/extra"'
        for number, name in enumerate(("nvidia", *OTHERS))
    ]
)
LICENCES = {"open": "Dual MIT/GPL", "closed": "NVIDIA"}


def source(version: str, flavour: str, *, dkms: bool) -> dict[str, str]:
    """The modules' source below /usr/src, with or without what DKMS reads."""
    files = {
        "nvidia/nv.c": NV_C,
        "nvidia/nv-p2p.h": NV_P2P_H,
        **{f"{name}/{name}-linux.c": OTHER_C for name in OTHERS},
        "Kbuild": KBUILD + "\n",
        "Makefile": MAKEFILE,
        **({"dkms.conf": DKMS + "\n"} if dkms else {}),
    }
    words = {"@LICENCE@": LICENCES[flavour], "@VERSION@": version}
    return {f"usr/src/nvidia-{version}/{path}": filled(text, words) for path, text in files.items()}


def filled(text: str, words: dict[str, str]) -> str:
    """The text with what `words` name put in."""
    for word, value in words.items():
        text = text.replace(word, value)
    return text


# Libraries and sonames: https://github.com/NVIDIA/yum-packaging-nvidia-driver, nvidia-driver.spec; program and unit:
# https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/
LIBRARY = """mkdir -p {folder}
echo 'int {symbol}(void) {{ return 999; }}' | $CC -shared -fPIC -Wl,-soname,{name}.1 -o {folder}/{name}.{version} -x c -
ln -s {name}.{version} {folder}/{name}.1
"""
SMI = """#!/bin/sh
# Simulated.
echo "NVIDIA-SMI {version}, simulated: there is no GPU" >&2
exit 9
"""
PERSISTENCED = {
    "usr/bin/nvidia-persistenced": "#!/bin/sh\n# Simulated.\nexec sleep infinity\n",
    "usr/lib/systemd/system/nvidia-persistenced.service": (
        "[Unit]\nDescription=Simulated NVIDIA Persistence Daemon\n\n[Service]\n"
        "ExecStart=/usr/bin/nvidia-persistenced\n\n[Install]\nWantedBy=multi-user.target\n"
    ),
}


def libraries(wanted: Wanted, *names: str) -> str:
    """What makes shared objects of the driver."""
    symbols = {"libcuda.so": "cuInit", "libnvidia-ml.so": "nvmlInit_v2"}
    return "".join(
        LIBRARY.format(folder=wanted.libraries, name=name, version=wanted.upstream, symbol=symbols[name])
        for name in names
    )


# Names of Ubuntu's packages in NVIDIA's repository, with the branch up to 580 and without from 590 on:
# https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/recent-updates.html; what is in them and what they
# need: https://github.com/NVIDIA/ubuntu-packaging-nvidia-driver, debian/templates, and https://packages.ubuntu.com.
# A version's metapackage takes any later one, which is what the pinning package is for:
# https://forums.developer.nvidia.com/t/debian-cuda-drivers-580-package-580-105-08-1-improperly-pulls-in-v590-components/353805
def branch(wanted: Wanted) -> str:
    """What names of Ubuntu's packages end in: `-580`, and nothing from 590 on."""
    major = wanted.upstream.partition(".")[0]
    return f"-{major}" if int(major) < 590 else ""


def exactly(wanted: Wanted, *names: str) -> tuple[list[str], dict[str, str]]:
    """That packages of the same version are needed, and that they are in the repository."""
    return [f"{name} (= {wanted.version})" for name in names], dict.fromkeys(names, wanted.version)


def ubuntu_meta(flavour: str) -> Content:
    """`nvidia-open` and `cuda-drivers`."""

    def content(wanted: Wanted) -> Package:
        end = branch(wanted) + ("-open" if flavour == "open" else "")
        name = f"nvidia-driver{end}"
        return Package(needs=[f"{name} (>= {wanted.version})"], brings={name: wanted.version})

    return content


def ubuntu_driver(flavour: str) -> Content:
    """`nvidia-driver-580-open` and its like."""
    end = "-open" if flavour == "open" else ""

    def content(wanted: Wanted) -> Package:
        of = branch(wanted)
        names = [f"nvidia-dkms{of}{end}", f"nvidia-kernel-source{of}{end}", f"nvidia-kernel-common{of}"]
        needs, brings = exactly(wanted, *names, f"libnvidia-compute{of}", f"nvidia-firmware{of}", "nvidia-persistenced")
        return Package(needs=needs, brings=brings)

    return content


def ubuntu_source(flavour: str) -> Content:
    """`nvidia-kernel-source-580-open` and its like: of the two flavours one can be installed."""

    def content(wanted: Wanted) -> Package:
        one = ["nvidia-kernel-source"] if branch(wanted) else []
        return Package(source(wanted.upstream, flavour, dkms=False), provides=one, conflicts=one)

    return content


def ubuntu_dkms(flavour: str) -> Content:
    """`nvidia-dkms-580-open` and its like, which build when they are installed, if they may."""
    end = "-open" if flavour == "open" else ""

    def content(wanted: Wanted) -> Package:
        version = wanted.upstream
        needs, brings = exactly(wanted, f"nvidia-kernel-source{branch(wanted)}{end}")
        configuration = {f"usr/src/nvidia-{version}/dkms.conf": filled(DKMS, {"@VERSION@": version}) + "\n"}
        build = f'/usr/lib/dkms/common.postinst nvidia {version} /usr/share/nvidia {wanted.arch} "${{2-}}"'
        known = f"dkms status -m nvidia -v {version} | grep -q ."
        scripts = {
            "postinst": f'if [ "$1" = configure ]; then {build}; fi\n',
            "prerm": f"if {known}; then dkms remove -m nvidia -v {version} --all; fi\n",
        }
        return Package(configuration, needs=["dkms", *needs], brings=brings, scripts=scripts)

    return content


def ubuntu_compute(wanted: Wanted) -> Package:
    """`libnvidia-compute-580`."""
    files = {"usr/bin/nvidia-smi": SMI.format(version=wanted.upstream)}
    build = libraries(wanted, "libcuda.so", "libnvidia-ml.so")
    return Package(files, build=build, scripts={"postinst": "ldconfig\n", "postrm": "ldconfig\n"})


def pinning(wanted: Wanted) -> Package:
    """`nvidia-driver-pinning-580.126.20`: "APT driver pinning file for driver version". Its priority is not known, only
    that it upgrades and downgrades: https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/recent-updates.html
    """
    pin = f"Package: *nvidia* cuda-drivers*\nPin: version {wanted.upstream}*\nPin-Priority: 1001\n"
    return Package({f"etc/apt/preferences.d/{wanted.name}": pin})


# https://github.com/NVIDIA/yum-packaging-dkms-nvidia, dkms-nvidia.spec and dkms-open-nvidia.spec
EPOCH = 3
POST = """dkms add -m nvidia -v {version} -q || :
dkms build -m nvidia -v {version} -q || :
dkms install -m nvidia -v {version} -q --force || :
"""
OTHER = {"open": "kmod-nvidia-latest-dkms", "closed": "kmod-nvidia-open-dkms"}


def same(wanted: Wanted, *names: str) -> tuple[list[str], dict[str, str]]:
    """The same for rpm, which compares epoch and version."""
    version = wanted.version.rpartition("-")[0]
    return [f"{name} = {version}" for name in names], dict.fromkeys(names, wanted.version)


def rpm_dkms(flavour: str) -> Content:
    """`kmod-nvidia-open-dkms` and `kmod-nvidia-latest-dkms`."""

    def content(wanted: Wanted) -> Package:
        version = wanted.upstream
        needs, brings = same(wanted, "nvidia-kmod-common")
        return Package(
            source(version, flavour, dkms=True),
            needs=["dkms", *needs],
            brings=brings,
            provides=same(wanted, "nvidia-kmod")[0],
            conflicts=[OTHER[flavour]],
            scripts={
                "postinst": POST.format(version=version),
                "prerm": f"dkms remove -m nvidia -v {version} -q --all || :\n",
            },
        )

    return content


def rpm_common(wanted: Wanted) -> Package:
    """`nvidia-kmod-common`."""
    configuration = "# Simulated.\nblacklist nouveau\nsoftdep nvidia post: nvidia-uvm\n"
    return Package({"usr/lib/modprobe.d/nvidia.conf": configuration}, needs=same(wanted, "nvidia-kmod")[0])


def rpm_needing(*names: str) -> Content:
    """A package of nothing but needs."""

    def content(wanted: Wanted) -> Package:
        needs, brings = same(wanted, *names)
        return Package(needs=needs, brings=brings)

    return content


def rpm_cuda(wanted: Wanted) -> Package:
    """`nvidia-driver-cuda`."""
    needs, brings = same(wanted, "nvidia-driver-cuda-libs", "nvidia-persistenced", "libnvidia-ml")
    return Package({"usr/bin/nvidia-smi": SMI.format(version=wanted.upstream)}, needs=needs, brings=brings)


def rpm_library(name: str) -> Content:
    """A package of one shared object."""
    return lambda wanted: Package(build=libraries(wanted, name), scripts={"postinst": "ldconfig\n"})


VERSIONS = {version for offer in read_catalog().components["nvidia_driver"].offers for version in offer.releases}
PACKAGES: dict[str, Content] = {
    "nvidia-open": lambda wanted: (ubuntu_meta("open") if wanted.kind == "apt" else RPM_OPEN)(wanted),
    "cuda-drivers": ubuntu_meta("closed"),
    "nvidia-persistenced": lambda _: Package(dict(PERSISTENCED)),
    **{f"nvidia-driver-pinning-{version}": pinning for version in VERSIONS},
    "nvidia-driver": lambda wanted: (ubuntu_driver("closed") if wanted.kind == "apt" else RPM_DRIVER)(wanted),
    "kmod-nvidia-open-dkms": rpm_dkms("open"),
    "kmod-nvidia-latest-dkms": rpm_dkms("closed"),
    "nvidia-kmod-common": rpm_common,
    "nvidia-driver-cuda": rpm_cuda,
    "nvidia-driver-cuda-libs": rpm_library("libcuda.so"),
    "libnvidia-ml": rpm_library("libnvidia-ml.so"),
}
RPM_OPEN: Content = rpm_needing("kmod-nvidia-open-dkms", "nvidia-driver", "nvidia-driver-cuda")
RPM_DRIVER: Content = rpm_needing("nvidia-kmod-common")
for of in ("-580", ""):
    PACKAGES |= {
        f"nvidia-driver{of}-open": ubuntu_driver("open"),
        f"nvidia-dkms{of}-open": ubuntu_dkms("open"),
        f"nvidia-dkms{of}": ubuntu_dkms("closed"),
        f"nvidia-kernel-source{of}-open": ubuntu_source("open"),
        f"nvidia-kernel-source{of}": ubuntu_source("closed"),
        f"libnvidia-compute{of}": ubuntu_compute,
    }
PACKAGES["nvidia-driver-580"] = ubuntu_driver("closed")

# gdrcopy's targets, variables and files: https://github.com/NVIDIA/gdrcopy, Makefile, src/Makefile, packages and
# src/gdrdrv/Makefile. That its module is for one flavour is told by the driver's source, or by NVIDIA_IS_OPENSOURCE:
# https://github.com/NVIDIA/gdrcopy/pull/284 and https://github.com/bottlerocket-os/bottlerocket-kernel-kit.
GDRCOPY = {
    "Makefile": """prefix ?= /usr/local
libdir ?= $(prefix)/lib
includedir ?= $(prefix)/include
DESTDIR := $(abspath $(DESTDIR))
lib:
\t$(MAKE) -C src
lib_install: lib
\tinstall -D -m 0755 src/libgdrapi.so.@MAJOR@.@MINOR@ -t $(DESTDIR)$(libdir)
\tinstall -D -m 0664 include/* -t $(DESTDIR)$(includedir)
\tcd $(DESTDIR)$(libdir) && ln -sf libgdrapi.so.@MAJOR@.@MINOR@ libgdrapi.so.@MAJOR@
\tcd $(DESTDIR)$(libdir) && ln -sf libgdrapi.so.@MAJOR@ libgdrapi.so
""",
    "include/gdrapi.h": "#pragma once\n#define GDR_API_MAJOR_VERSION @MAJOR@\n#define GDR_API_MINOR_VERSION @MINOR@\n",
    "src/Makefile": """GDRAPI_ARCH := $(shell ../config_arch)
ifeq ($(GDRAPI_ARCH),)
$(error config_arch did not run)
endif
libgdrapi.so.@MAJOR@.@MINOR@: gdrapi.c
\t$(CC) -DGDRAPI_ARCH=$(GDRAPI_ARCH) -shared -fPIC -Wl,-soname,libgdrapi.so.@MAJOR@ -o $@ $^
""",
    # The build runs this program, which is in its own tree: mounted noexec, as a container's /dev/shm is, it fails.
    "config_arch": "#!/bin/sh\n# Simulated.\nuname -m\n",
    "src/gdrapi.c": "/* Simulated. */\nvoid *gdr_open(void) { return 0; }\n",
    "src/gdrdrv/Makefile": """NVIDIA_SRC_DIR ?= $(shell find /usr/src/nvidia-* -name nv-p2p.h -printf %h -quit)
NVIDIA_IS_OPENSOURCE ?= $(shell grep -qs 'MODULE_LICENSE("Dual MIT/GPL")' $(NVIDIA_SRC_DIR)/nv.c && echo y)
ifneq ($(KERNELRELEASE),)
obj-m := nv-p2p-dummy.o gdrdrv.o
ccflags-y += -I$(NVIDIA_SRC_DIR) $(if $(NVIDIA_IS_OPENSOURCE),-DGDRDRV_OPENSOURCE_NVIDIA)
else
KVER ?= $(shell uname -r)
build:
\t$(MAKE) -C /lib/modules/$(KVER)/build M=$(CURDIR) modules
endif
""",
    "src/gdrdrv/gdrdrv.h": "#pragma once\n",
    "src/gdrdrv/gdrdrv.c": r"""#include <linux/module.h>
#include <linux/fs.h>
#include "gdrdrv.h"
#include "nv-p2p.h"
#ifdef GDRDRV_OPENSOURCE_NVIDIA
#define FLAVOUR "opensource"
#else
#define FLAVOUR "proprietary"
#endif
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("GDRCopy kernel-mode driver built for " FLAVOUR " NVIDIA driver, simulated");
MODULE_VERSION("@VERSION@");
static const struct file_operations operations = { .owner = THIS_MODULE };
static int major;
static int __init gdrdrv_init(void)
{
    nvidia_p2p_get_pages(0);
    major = register_chrdev(0, "gdrdrv", &operations);
    return major < 0 ? major : 0;
}
static void __exit gdrdrv_exit(void) { unregister_chrdev(major, "gdrdrv"); }
module_init(gdrdrv_init);
module_exit(gdrdrv_exit);
""",
    "src/gdrdrv/nv-p2p-dummy.c": """#include <linux/module.h>
#include "nv-p2p.h"
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("Simulated");
int nvidia_p2p_get_pages(u64 token) { return -22; }
EXPORT_SYMBOL(nvidia_p2p_get_pages);
""",
}


def gdrcopy(entry: LockedComponent, _: Lock, file: Path, run: Callable[[str, Path], None]) -> None:
    """The archive that GitHub makes of a tag."""
    major, minor, *_rest = entry.version.split(".")
    words = {"@MAJOR@": major, "@MINOR@": minor, "@VERSION@": entry.version}
    folder = file.parent / f"gdrcopy-{entry.version}"
    write(folder, {path: filled(text, words) for path, text in GDRCOPY.items()})
    run(f"tar -czf {file.name} {folder.name} && rm -r {folder.name}", file.parent)


# Both modules in one file, its flags, and what it does to a version that it has installed before:
# https://github.com/Azure/azhpc-images, https://github.com/awslabs/amazon-eks-ami, install-nvidia-driver.sh, and the
# installer's --advanced-options and log.
RUNFILE = """#!/bin/sh
# Simulated.
set -eu
folder=$(mktemp -d)
sed '1,/^exit$/d' "$0" | tar -xzC "$folder"
cd "$folder"
sh ./nvidia-installer "$@"
rm -r "$folder"
exit
"""
INSTALLER = """set -eu
type= kernel=$(uname -r) silent= dkms=
for word; do
  case $word in
    --silent) silent=1 ;;
    --dkms) dkms=1 ;;
    --kernel-module-type=open) type=kernel-open ;;
    --kernel-module-type=proprietary) type=kernel ;;
    --kernel-name=*) kernel=${word#*=} ;;
    *) echo "nvidia-installer: unrecognized option '$word'" >&2; exit 1 ;;
  esac
done
[ -n "$silent" ] && [ -n "$dkms" ] || { echo "there is no terminal to ask at" >&2; exit 1; }
if [ -x /usr/bin/nvidia-uninstall ]; then nvidia-uninstall; fi
cp -a files/. /
ldconfig
cp -a $type /usr/src/nvidia-@VERSION@
dkms add -m nvidia -v @VERSION@
dkms install -m nvidia -v @VERSION@ -k "$kernel"
"""
UNINSTALL = """#!/bin/sh
set -eu
dkms remove -m nvidia -v @VERSION@ --all
rm -r /usr/src/nvidia-@VERSION@ @LIBRARIES@/libcuda.so.* @LIBRARIES@/libnvidia-ml.so.* /usr/bin/nvidia-*
ldconfig
"""


def runfile(entry: LockedComponent, lock: Lock, file: Path, run: Callable[[str, Path], None]) -> None:
    """`NVIDIA-Linux-x86_64-580.126.20.run`."""
    wanted = Wanted("nvidia", f"{entry.version}-1", "apt" if lock.os.startswith("ubuntu") else "rpm", lock)
    words = {"@VERSION@": entry.version, "@LIBRARIES@": f"/{wanted.libraries}"}
    programs = {"nvidia-smi": SMI.format(version=entry.version), "nvidia-uninstall": filled(UNINSTALL, words)}
    programs["nvidia-persistenced"] = PERSISTENCED["usr/bin/nvidia-persistenced"]
    files = {f"files/usr/bin/{name}": text for name, text in programs.items()}
    for folder, flavour in (("kernel-open", "open"), ("kernel", "closed")):
        there = source(entry.version, flavour, dkms=True)
        files |= {path.replace(f"usr/src/nvidia-{entry.version}", folder): text for path, text in there.items()}
    root = file.parent / "payload"
    write(root, {**files, "nvidia-installer": filled(INSTALLER, words)})
    (file.parent / "head").write_text(RUNFILE)
    build = libraries(wanted, "libcuda.so", "libnvidia-ml.so")
    pack = f"cd ..\ntar -czC payload -f tar.gz .\ncat head tar.gz >{file.name}\nrm -r head tar.gz payload"
    run(f"cd payload/files\n{build}cd ..\n{pack}\n", file.parent)


ARTIFACTS = {"gdrcopy": gdrcopy, "nvidia_driver": runfile}
