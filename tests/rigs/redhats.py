"""What makes the rig's Debian 13 a system of Red Hat's family: its names, its packages, and a repository of its own."""

from ingot.model.system import OperatingSystem

# How systems of rpm call themselves: the name, the id, and the file that says it.
REDHATS = {
    "Amazon": ("Amazon Linux", "amzn", "/etc/system-release"),
    "RedHat": ("Red Hat Enterprise Linux", "rhel", "/etc/redhat-release"),
    "Rocky": ("Rocky Linux", "rocky", "/etc/rocky-release"),
}
# Debian's programs that systems of rpm have as well, under names of their own.
INSTALLED = ["chrony", "openssh-server"]
# What a system of rpm has from the start, in the rig from Debian; and what its own repository has, which is a folder in
# the image. Most packages of either are names alone, as the rig's image has the programs anyway. The triggers are those
# of Red Hat's glibc (https://gitlab.com/redhat/centos-stream/rpms/glibc, glibc.spec).
HAS = ["bash", "chrony", "kmod", "openssh-server", "pciutils", "python3", "sudo", "systemd", "xfsprogs"]
LENDS = ["gcc", "gcc-c++", "infiniband-diags", "libibumad", "make"]
RPM_SYSTEM = """Name: simulated-system
Version: {version}
Release: 1.simulated
Summary: Says that there is what Ingot's rig has from Debian
License: Apache-2.0
BuildArch: noarch
AutoReqProv: no
Provides: /bin/sh
Provides: dnf-command(versionlock)
Provides: system-release = {version}
%description
Simulated by Ingot's rig of vendors.
{packages}
%install
if [ -d /simulated/root ]; then cp -a /simulated/root/. %{{buildroot}}/; fi
%transfiletriggerin -- /usr/lib64
ldconfig
%transfiletriggerpostun -- /usr/lib64
ldconfig
%files
"""
RPM_PACKAGE = """%package -n {name}
Summary: Simulated by Ingot's rig of vendors
AutoReqProv: no
%description -n {name}
Simulated by Ingot's rig of vendors.
%files -n {name} {files}
"""
# A file of systems of rpm that says otherwise than Debian's: `LK` where shadow's has `L`, as passwd 0.80 has it
# (https://pagure.io/passwd, pwdb.c).
PASSWD = """#!/bin/sh
# Simulated.
case "$1" in
  -S | --status) /usr/bin/passwd.debian "$@" | sed 's/^\\([^ ]*\\) L /\\1 LK /' ;;
  *) exec /usr/bin/passwd.debian "$@" ;;
esac
"""
# Its own packages are rpm's, and what Debian has installed is no package any more. Debian's dnf brings plugins along
# that others have in packages of their own.
# One of rpm's plugins asks for namespaces, which a container does not get; with it no package's script would run.
# Units have the names of Red Hat's packages. dkms is EPEL's, or in Amazon Linux's own repository.
RPM = """rm /usr/lib/rpm/macros.d/macros.transaction_unshare
units=/usr/lib/systemd/system
sed '/^Alias=/d' $units/ssh.service >$units/sshd.service
sed '/^Alias=/d' $units/chrony.service >$units/chronyd.service
find /etc/systemd/system \\( -name 'ssh*' -o -name 'chrony*' \\) -delete
rm -rf $units/ssh.* $units/ssh@.service $units/chrony.service /etc/init.d/ssh /etc/init.d/chrony
ln -s $units/sshd.service $units/chronyd.service /etc/systemd/system/multi-user.target.wants
mv /usr/bin/passwd /usr/bin/passwd.debian
mv /simulated.passwd /usr/bin/passwd
chmod 755 /usr/bin/passwd
find / -xdev -name resize2fs -delete
mkdir -p /simulated/root
for each in $(dpkg -L dkms); do
  if [ -f "$each" ]; then cp -a --parents "$each" /simulated/root; rm "$each"; fi
done
mkdir -p /simulated/root/usr/share/doc/dkms
touch /simulated/root/usr/share/doc/dkms/simulated
find /simulated/root -type f -printf '/%P\\n' >/simulated/dkms
{keep}
rpm --initdb
rpmbuild -bb --quiet --define '_topdir /simulated' --define 'debug_package %nil' --define '__os_install_post %nil' \\
  /simulated.spec
cd /simulated/RPMS/noarch
rpm --install simulated-system-*.rpm $(for each in {has}; do echo $each-{version}-*.rpm; done)
mkdir -p /usr/share/simulated/system /etc/yum.repos.d
mv $(for each in {lends}; do echo $each-{version}-*.rpm; done) /usr/share/simulated/system
createrepo_c --quiet /usr/share/simulated/system
printf '[simulated-system]\\nname=Simulated\\nbaseurl=file:///usr/share/simulated/system\\ngpgcheck=0\\n' \\
  >/etc/yum.repos.d/simulated-system.repo
cd /usr/lib/python3/dist-packages/dnf-plugins
rm local.py show_leaves.py system_upgrade.py
rm -rf /simulated* /etc/apt /usr/bin/apt* /usr/bin/dpkg* /var/lib/apt /var/lib/dpkg/info /var/lib/dpkg/status*
"""


def _release(row: OperatingSystem) -> str:
    """The version, with a minor release where there are some."""
    return row.version if row.distribution == "Amazon" else f"{row.version}.6"


def _own(row: OperatingSystem) -> list[str]:
    """What the system's own repository has in some systems alone: dkms, where it does not come from EPEL."""
    return [] if "dkms" in row.lacks else ["dkms"]


def files(row: OperatingSystem) -> dict[str, str]:
    """The files by which a Debian 13 presents itself as the system."""
    name, ident, release = REDHATS[row.distribution]
    version = _release(row)
    text = f'NAME="{name}"\nID="{ident}"\nID_LIKE="fedora"\nVERSION="{version}"\nVERSION_ID="{version}"\n'
    # Whatever else a system has, Ansible asks this file whether it is one of Red Hat's family; Amazon Linux has none.
    releases = {release, "/etc/redhat-release"} if ident != "amzn" else {release}
    # Where Red Hat's linker looks anyway.
    made = {
        "/etc/os-release": text,
        "/etc/ld.so.conf.d/lib64.conf": "/usr/lib64\n",
        **dict.fromkeys(sorted(releases), f"{name} release {version}\n"),
    }
    packages = [
        RPM_PACKAGE.format(name=each, files="-f /simulated/dkms" if each == "dkms" else "")
        for each in [*HAS, *LENDS, *_own(row)]
    ]
    made["/simulated.spec"] = RPM_SYSTEM.format(version=version, packages="".join(packages))
    made["/simulated.passwd"] = PASSWD
    return made


def script(row: OperatingSystem) -> str:
    """What makes a Debian 13 with those files the system."""
    has, lends = " ".join(HAS), " ".join([*LENDS, *_own(row)])
    keep = "" if _own(row) else "rm -rf /simulated/root"
    return RPM.format(version=_release(row), has=has, lends=lends, keep=keep)
