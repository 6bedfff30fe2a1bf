"""EPEL's dkms: Debian's, which is the same program, below the paths that both have.

https://src.fedoraproject.org/rpms/dkms, dkms.spec: /usr/sbin/dkms, /usr/lib/dkms, /etc/dkms; and what it needs.
"""

from tests.rigs.packages import Content, Package, Wanted

COPY = """for each in $(dpkg -L dkms); do
  if [ -f "$each" ]; then cp -a --parents "$each" .; fi
done
"""


def dkms(_: Wanted) -> Package:
    """`dkms`."""
    return Package(build=COPY, needs=["gcc", "kmod", "make"])


PACKAGES: dict[str, Content] = {"dkms": dkms}
