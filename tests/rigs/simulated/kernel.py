"""A kernel of the distribution's archive: nothing boots it, but modules are built by its headers.

They are those of the kernel that the rig's image has, under another release. File lists and scripts:
https://salsa.debian.org/kernel-team/linux, debian/templates, and https://gitlab.com/redhat/centos-stream/rpms/kernel,
kernel.spec, whose release is `version-release.arch` of its packages, and whose kernel-core makes an initramfs when all
is in place.
"""

from tests.rigs.packages import Content, Package, Wanted

HEADERS = """there=$(basename /lib/modules/*)
mkdir -p {folder} usr/lib/modules/{release}
cp -a /usr/src/linux-headers-$there/. {folder}
for each in $(find {folder} -maxdepth 1 -type l -printf '%f '); do
  ln -sfn $(readlink -f /usr/src/linux-headers-$there/$each) {folder}/$each
done
grep -rlF $there {folder} | xargs sed -i "s|$there|{release}|g"
ln -s /{folder} usr/lib/modules/{release}/build
"""
# What depmod and the makers of an initramfs ask a kernel for, and one module: DKMS takes a kernel without any for one
# that has been removed.
IMAGE = """there=$(basename /lib/modules/*)
mkdir -p boot usr/lib/modules/{release}/kernel
echo 'int simulated;' | $CC -c -x c - -o usr/lib/modules/{release}/kernel/simulated.ko
cp /lib/modules/$there/modules.builtin* /lib/modules/$there/modules.order usr/lib/modules/{release}
rm usr/lib/modules/{release}/modules.builtin*.bin
cp /boot/config-$there boot/config-{release}
echo simulated > boot/vmlinuz-{release}
"""
# What depmod has made goes as well.
GONE = "rm -rf /usr/lib/modules/{release}\n"
HOOKS = "if [ -d {folder} ]; then run-parts --arg={release} {folder}; fi\n"
DRACUT = """#!/bin/sh
# Simulated: an image that is a note.
set -eu
kernel=
while [ $# -gt 0 ]; do
  if [ "$1" = --kver ]; then kernel=$2; shift; fi
  shift
done
echo simulated > /boot/initramfs-$kernel.img
"""


def _release(wanted: Wanted) -> str:
    return str(wanted.lock.components["kernel"].facts["release"])


def deb_image(wanted: Wanted) -> Package:
    """`linux-image-RELEASE`."""
    release = _release(wanted)
    scripts = {"postinst": f"depmod {release}\n", "prerm": GONE.format(release=release)}
    return Package(build=IMAGE.format(release=release), scripts=scripts)


def deb_meta(wanted: Wanted) -> Package:
    """`linux-image-aws`, which draws in the newest kernel: https://packages.ubuntu.com/noble/linux-image-aws."""
    image = f"linux-image-{_release(wanted)}"
    return Package(needs=[image], brings={image: wanted.version})


def deb_headers(wanted: Wanted) -> Package:
    """`linux-headers-RELEASE`, which lets DKMS build."""
    release = _release(wanted)
    build = HEADERS.format(release=release, folder=f"usr/src/linux-headers-{release}")
    hooks = HOOKS.format(release=release, folder="/etc/kernel/header_postinst.d")
    return Package(build=build, scripts={"postinst": f'if [ "$1" = configure ]; then {hooks.strip()}; fi\n'})


def rpm_core(wanted: Wanted) -> Package:
    """`kernel-core`, of which there may be several."""
    release = _release(wanted)
    scripts = {
        "posttrans": f"depmod {release}\ndracut --force --kver {release}\n",
        "prerm": GONE.format(release=release),
    }
    provides = ["installonlypkg(kernel)"]
    return Package(build=IMAGE.format(release=release), needs=["dracut"], provides=provides, scripts=scripts,
                   brings={"dracut": "1.0-1"})  # fmt: skip


def rpm_devel(wanted: Wanted) -> Package:
    """`kernel-devel`."""
    release = _release(wanted)
    return Package(build=HEADERS.format(release=release, folder=f"usr/src/kernels/{release}"))


PACKAGES: dict[str, Content] = {
    "linux-image-{kernel}": deb_image,
    "linux-headers-{kernel}": deb_headers,
    "linux-image-aws": deb_meta,
    "kernel-core": rpm_core,
    "kernel-devel": rpm_devel,
    # Amazon Linux 2023 has no package of that name's core.
    "kernel6.12": rpm_core,
    "kernel6.12-devel": rpm_devel,
    "dracut": lambda _: Package({"usr/bin/dracut": DRACUT}),
}
