"""What the image has is for everybody who logs in to it: an ordinary user can read it and run it, not root alone."""

from collections.abc import Callable

# What roles make, where nothing is secret.
FOLDERS = (
    "/opt/amazon/efa*", "/opt/amazon/ofi-nccl", "/opt/amazon/openmpi*", "/opt/gdrcopy", "/opt/ingot", "/opt/nccl-tests",
    "/opt/slurm/bin", "/opt/slurm/lib", "/opt/slurm/sbin", "/usr/lib/ingot", "/usr/local/bin", "/usr/local/cuda*",
    "/usr/local/lib", "/usr/share/ingot", "/etc/enroot", "/etc/ld.so.conf.d", "/etc/modprobe.d", "/etc/profile.d",
)  # fmt: skip
CLOSED = "-type d ! -executable -o ! -type l ! -readable -o -type f -perm -u+x ! -executable"


def test_every_file_is_open_to_every_user(as_user: Callable[[str], str]) -> None:
    assert as_user(f"for each in {' '.join(FOLDERS)}; do ! test -e $each || find $each {CLOSED}; done") == ""


def test_every_library_is_open_to_every_user(as_user: Callable[[str], str]) -> None:
    libraries = "PATH=/usr/sbin:/sbin:$PATH ldconfig --print-cache | sed -n 's/.* => //p' | sort -u"
    assert as_user(f"{libraries} | while read -r file; do test -r $file || echo $file; done") == ""
    assert as_user(f"{libraries} | head -n 1") != ""
