"""FSx for Lustre: the client's module, which is of one kernel, and its programs.

Packages: https://docs.aws.amazon.com/fsx/latest/LustreGuide/install-lustre-client.html; on Ubuntu the one without a
kernel in its name needs that of the newest kernel: https://github.com/aws/aws-parallelcluster-cookbook/pull/609. Where
the module lies: Lustre's own build says `updates/kernel/fs/lustre`, and `extra/lustre-client/fs` for its rpm.
"""

from tests.rigs.packages import Content, Package, Wanted
from tests.rigs.simulated.kernel import HEADERS

# For a lock that does not know it: only the repository tells which version there is.
CLIENT = "2.15.6"
MODULE = """// Simulated.
#include <linux/module.h>
MODULE_DESCRIPTION("Simulated client of Lustre");
MODULE_LICENSE("GPL");
"""
# The headers are those of the rig's image, or made of them where the kernel, too, is simulated.
BUILD = """if [ ! -e /lib/modules/{release}/build ]; then (cd /; {headers}); fi
mkdir build
cat > build/lustre.c <<'EOF'
{module}EOF
echo 'obj-m += lustre.o' > build/Kbuild
make -s -C /lib/modules/{release}/build M=$PWD/build modules >&2
mkdir -p lib/modules/{release}/{place}
mv build/lustre.ko lib/modules/{release}/{place}
rm -r build
"""


def _module(wanted: Wanted, place: str) -> Package:
    release = wanted.lock.components["kernel"].facts["release"]
    headers = HEADERS.format(release=release, folder=f"usr/src/linux-headers-{release}")
    build = BUILD.format(module=MODULE, release=release, place=place, headers=headers)
    return Package(build=build, scripts={"postinst": f"depmod {release}\n", "postrm": f"depmod {release}\n"})


def meta(wanted: Wanted) -> Package:
    """Ubuntu's package that follows the kernel."""
    needed = f"lustre-client-modules-{wanted.lock.components['kernel'].facts['release']}"
    brings = {needed: wanted.version, "lustre-client-utils": wanted.version}
    return Package(needs=[*brings], brings=brings)


def programs(_: Wanted) -> Package:
    """What mounts a file system."""
    return Package(
        {f"usr/{name}": "#!/bin/sh\n# Simulated.\n" for name in ("sbin/mount.lustre", "sbin/lctl", "bin/lfs")}
    )


PACKAGES: dict[str, Content] = {
    "lustre-client-modules-aws": meta,
    "lustre-client-modules-{kernel}": lambda wanted: _module(wanted, "updates/kernel/fs/lustre"),
    "lustre-client-utils": programs,
    "lustre-client": programs,
    "kmod-lustre-client": lambda wanted: _module(wanted, "extra/lustre-client/fs"),
}
