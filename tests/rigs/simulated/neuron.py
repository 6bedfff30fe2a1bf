"""AWS Neuron: the driver as DKMS sources, runtime, collectives, tools and the hook for containers.

The driver's package: https://github.com/aws-neuron/aws-neuron-driver at 7c0d02c, its dkms.conf, Kbuild, scripts,
`aws-neuronx-dkms-mkdeb` and `aws-neuronx-dkms-mkrpm.spec`. Libraries and their sonames: names in
https://github.com/zml/zml, runtimes/neuron. Tools: https://awsdocs-neuron.readthedocs-hosted.com, its pages on tools;
the hook: its page on the OCI hook for containerd.
"""

from tests.rigs.packages import Content, Package, Wanted

HOME = "opt/aws/neuron"
DKMS = """PACKAGE_NAME=aws-neuronx
PACKAGE_VERSION={version}
BUILT_MODULE_NAME[0]="neuron"
MAKE[0]="make -C ${{kernel_source_dir}} M=${{dkms_tree}}/${{PACKAGE_NAME}}/${{PACKAGE_VERSION}}/build"
CLEAN="make -C ${{kernel_source_dir}} M=${{dkms_tree}}/${{PACKAGE_NAME}}/${{PACKAGE_VERSION}}/build clean"
DEST_MODULE_LOCATION[0]=/kernel/drivers/neuron/
AUTOINSTALL=yes
NO_WEAK_MODULES=yes
PRE_INSTALL=./preinstall
POST_INSTALL=./postinstall
POST_REMOVE=./postremove
"""
# A driver of the same devices that does nothing; like the real one it has no table that modprobe could learn from.
DRIVER = """// Simulated.
#include <linux/module.h>
#include <linux/pci.h>

static const struct pci_device_id devices[] = {{ {{ PCI_DEVICE(0x1d0f, 0x7164) }}, {{ 0 }} }};
static int probe(struct pci_dev *device, const struct pci_device_id *id) {{ return 0; }}
static struct pci_driver simulated = {{ .name = "neuron-driver", .id_table = devices, .probe = probe }};
module_pci_driver(simulated);
MODULE_DESCRIPTION("Simulated driver of Neuron devices");
MODULE_LICENSE("GPL");
MODULE_VERSION("{version}");
"""
# What they do to the system: a rule for the devices' mode, a list of PCI devices from the network, loading at boot.
PREINSTALL = """#!/bin/sh
# Simulated.
echo 'KERNEL=="neuron*", MODE="0666"' > /lib/udev/rules.d/neuron-udev.rules
if command -v update-pciids >/dev/null; then update-pciids; fi
exit 0
"""
POSTINSTALL = """#!/bin/sh -e
# Simulated. It fails where the running kernel has no modules, as in a container.
echo neuron > /etc/modules-load.d/neuron.conf
found=$(find "/lib/modules/$(uname -r)" -name neuron.ko)
if [ "${kernelver}" = "$(uname -r)" ] && [ -f "$found" ]; then modprobe neuron; fi
"""
TOOL = '#!/bin/sh\necho "simulated {name} {upstream}"\n'
# As DKMS' own templates of packages do.
POSTINST = "/usr/lib/dkms/common.postinst aws-neuronx {version} '' '' \"${{2-}}\"\n"
PRERM = "dkms remove -m aws-neuronx -v {version} --all >&2 || [ $? -eq 3 ]\n"


def dkms(wanted: Wanted) -> Package:
    """The driver's sources, registered with DKMS when they are installed."""
    version = wanted.upstream
    source = f"usr/src/aws-neuronx-{version}"
    files = {"dkms.conf": DKMS.format(version=version), "neuron.c": DRIVER.format(version=version)}
    files |= {"Kbuild": "obj-m += neuron.o\n", "preinstall": PREINSTALL, "postinstall": POSTINSTALL}
    files |= {"postremove": "#!/bin/sh\n# Simulated.\nexit 0\n"}
    needs = "dkms (>= 1.95)" if wanted.kind == "apt" else "dkms >= 1.95"
    scripts = {"postinst": POSTINST.format(version=version), "prerm": PRERM.format(version=version)}
    return Package({f"{source}/{name}": text for name, text in files.items()}, needs=[needs], scripts=scripts)


def library(name: str, soname: str, needs: str = "") -> Content:
    """A package of a shared library with its links."""

    def content(wanted: Wanted) -> Package:
        full = f"{name}.{wanted.upstream}"
        build = f"""mkdir -p {HOME}/lib
echo 'const char *simulated(void) {{ return "{wanted.upstream}"; }}' |
  $CC -shared -fPIC -Wl,-soname,{soname} -x c - -o {HOME}/lib/{full}
ln -s {full} {HOME}/lib/{soname}
ln -s {soname} {HOME}/lib/{name}
"""
        return Package(build=build, needs=[needs] if needs else [])

    return content


def programs(*names: str) -> Content:
    """A package of programs below /opt/aws/neuron/bin."""

    def content(wanted: Wanted) -> Package:
        return Package({f"{HOME}/bin/{name}": TOOL.format(name=name, upstream=wanted.upstream) for name in names})

    return content


PACKAGES = {
    "aws-neuronx-dkms": dkms,
    "aws-neuronx-runtime-lib": library("libnrt.so", "libnrt.so.1"),
    "aws-neuronx-collectives": library("libnccom.so", "libnccom.so.2"),
    "aws-neuronx-tools": programs("neuron-ls", "neuron-top", "neuron-monitor"),
    "aws-neuronx-oci-hook": programs("oci_neuron_hook_wrapper.sh"),
}
