"""What makes the image of a system of Red Hat's family that of an EC2 machine: a kernel of packages, and its archive.

The kernel is the one whose headers the rig's image has. Its packages are names alone, as are the headers in the
system's own repository. Amazon Linux 2023 has Lustre's client in its kernel, and programs in its archive:
https://docs.aws.amazon.com/fsx/latest/LustreGuide/install-lustre-client.html.
"""

from ingot.model.system import OperatingSystem
from tests.rigs.simulated.lustre import MODULE

# Where a machine has the folder of what its system's archive has beside the packages of the image.
ARCHIVE = "/usr/share/simulated/archive"
# The packages that are a kernel, by the system; the last one is not installed, but in the system's repository.
KERNELS = {"Amazon": ["kernel6.12", "kernel6.12-modules-extra", "kernel6.12-devel"]}
KERNEL = ["kernel", "kernel-core", "kernel-modules", "kernel-devel"]
# Under which name the settings of chronyd.service wait until the system has that unit.
CLOCK = "rig-clock"
SPEC = """Name: {name}
Version: $version
Release: 1.simulated
Summary: Simulated by Ingot's rig of vendors
License: Apache-2.0
BuildArch: noarch
AutoReqProv: no
%description
Simulated by Ingot's rig of vendors.
%files
"""
OTHER = """%package -n {name}
Summary: Simulated by Ingot's rig of vendors
AutoReqProv: no
Provides: {name}-$release
%description -n {name}
Simulated by Ingot's rig of vendors.
%files -n {name}
"""
# A version of rpm cannot have the hyphens of Debian's releases, by which packages of kernels are asked for.
SCRIPT = """release=$(basename /lib/modules/*)
version=$(echo $release | tr - _)
mkdir /simulated
cat >/simulated/kernel.spec <<END
{spec}END
rpmbuild -bb --quiet --define '_topdir /simulated' --define 'debug_package %nil' /simulated/kernel.spec
mv /simulated/RPMS/noarch/{devel}-$version-*.rpm /usr/share/simulated/system
rpm --install /simulated/RPMS/noarch/*.rpm
rm -r /simulated
rm -r /usr/share/simulated/system/repodata
createrepo_c --quiet /usr/share/simulated/system
mv /etc/systemd/system/{clock}.service.d /etc/systemd/system/chronyd.service.d
sed -i 's/^\\( *ssh_svcname:\\) ssh$/\\1 sshd/' /etc/cloud/cloud.cfg
printf '[simulated-archive]\\nname=Simulated\\nbaseurl=file://{archive}\\ngpgcheck=0\\nskip_if_unavailable=1\\n' \\
  >/etc/yum.repos.d/simulated-archive.repo
"""
LUSTRE = """mkdir /simulated
cat >/simulated/lustre.c <<'END'
{module}END
echo 'obj-m += lustre.o' >/simulated/Kbuild
make -s -C /lib/modules/$release/build M=/simulated modules >&2
install -D -m 0644 /simulated/lustre.ko -t /lib/modules/$release/kernel/drivers/staging/lustrefsx/lustre/llite
depmod $release
rm -r /simulated
"""


def script(row: OperatingSystem) -> str:
    """The script that makes the image of a system that of a machine."""
    first, *others = KERNELS.get(row.distribution, KERNEL)
    spec = SPEC.format(name=first) + "".join(OTHER.format(name=name) for name in others)
    lustre = LUSTRE.format(module=MODULE) if row.distribution == "Amazon" else ""
    return SCRIPT.format(spec=spec, devel=others[-1], archive=ARCHIVE, clock=CLOCK) + lustre
