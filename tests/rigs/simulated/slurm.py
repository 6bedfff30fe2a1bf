"""Slurm's source, and what starts its jobs in containers: Enroot as a package of its own, and the source of pyxis."""

from collections.abc import Callable
from pathlib import Path

from ingot.model.lock import Lock, LockedComponent
from tests.rigs.packages import Artifact, Package, Wanted, package_file, tarball

FILES = Path(__file__).parent / "files"
# slurm/slurm_version.h.in of https://github.com/SchedMD/slurm; the version as text is in config.h, which stays behind.
VERSION = """#define SLURM_VERSION_NUMBER 0x{number}
#define SLURM_VERSION_NUM(a,b,c) (((a) << 16) + ((b) << 8) + (c))
"""
# https://github.com/NVIDIA/enroot/blob/master/Makefile, and pkg/deb/rules and pkg/rpm/SPECS/enroot.spec beside it
ENROOT = {
    "usr/bin/enroot": '#!/bin/sh\n# Simulated.\nset -eu\ntest "${{1-}}" = version\necho {version}\n',
    "usr/bin/enroot-aufs2ovlfs": "#!/bin/sh\n# Simulated.\n",
    "usr/bin/enroot-mksquashovlfs": "#!/bin/sh\n# Simulated.\n",
    "usr/bin/enroot-mount": "#!/bin/sh\n# Simulated.\n",
    "usr/bin/enroot-nsenter": "#!/bin/sh\n# Simulated.\n",
    "usr/bin/enroot-switchroot": "#!/bin/sh\n# Simulated.\n",
    "usr/bin/enroot-makeself": "#!/bin/sh\n# Simulated.\n",
    "usr/lib/enroot/common.sh": "# Simulated.\n",
    "etc/enroot/enroot.conf": "# Simulated.\n",
    "etc/enroot/enroot.conf.d/README": "Simulated.\n",
    "etc/enroot/hooks.d/98-nvidia.sh": "#!/bin/sh\n# Simulated.\n",
    # HOOKS_EXTRA of the Makefile: there, and not where enroot looks.
    "usr/share/enroot/hooks.d/50-mig-config.sh": "#!/bin/sh\n# Simulated.\n",
    "usr/share/enroot/hooks.d/50-sharp.sh": "#!/bin/sh\n# Simulated.\n",
    "usr/share/enroot/hooks.d/50-slurm-pmi.sh": "#!/bin/sh\n# Simulated.\n",
    "usr/share/enroot/hooks.d/50-slurm-pytorch.sh": "#!/bin/sh\n# Simulated.\n",
}
APPARMOR = {"etc/apparmor.d/enroot": "# Simulated.\n"}
NEEDS = {
    "apt": ["bash (>= 4.2)", "curl", "gawk | mawk", "jq (>= 1.5)", "parallel", "passwd", "squashfs-tools", "zstd"],
    "rpm": [],
}


def _slurm(entry: LockedComponent, _: Lock, file: Path, run: Callable[[str, Path], None]) -> None:
    """The archive that GitHub makes of a tag."""
    major, minor, micro = (int(part) for part in entry.version.split("."))
    version = VERSION.format(number=f"{major:02x}{minor:02x}{micro:02x}")
    files = {each.name: each.read_text() for each in (FILES / "slurm").iterdir() if each.suffix != ".h"}
    files["config.h"] = f'#define SLURM_VERSION_STRING "{entry.version}"\n'
    headers = {
        "spank.h": (FILES / "slurm" / "spank.h").read_text(), "slurm_version.h": version, "slurm_errno.h": "",
    }  # fmt: skip
    tarball(file, files | {f"include/slurm/{name}": text for name, text in headers.items()})


def _pyxis(_: LockedComponent, __: Lock, file: Path, ___: Callable[[str, Path], None]) -> None:
    """The archive that GitHub makes of a tag."""
    tarball(file, {each.name: each.read_text() for each in (FILES / "pyxis").iterdir()})


def _enroot(entry: LockedComponent, lock: Lock, file: Path, run: Callable[[str, Path], None]) -> None:
    """One package for Debian's family; another, of Enterprise Linux 8, for Red Hat's."""
    wanted = (
        Wanted("enroot", f"{entry.version}-1", "apt", lock)
        if file.suffix == ".deb"
        else Wanted("enroot", f"{entry.version}-1.el8", "rpm", lock)
    )
    files = {path: text.format(version=entry.version) for path, text in ENROOT.items()}
    files |= APPARMOR if wanted.kind == "apt" else {}
    package_file(wanted, Package(files, needs=NEEDS[wanted.kind]), file, run)


ARTIFACTS: dict[str, Artifact] = {"slurm": _slurm, "pyxis": _pyxis, "enroot": _enroot}
