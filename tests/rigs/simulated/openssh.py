"""A system's own openssh-server, as far as a role meets it: the folder of its settings.

https://packages.debian.org/trixie/amd64/openssh-server/filelist; Ubuntu's is made of the same sources.
"""

from tests.rigs.packages import Content, Package, Wanted


def server(_: Wanted) -> Package:
    """`openssh-server`."""
    return Package(build="mkdir -p etc/ssh/sshd_config.d\n")


PACKAGES: dict[str, Content] = {"openssh-server": server}
