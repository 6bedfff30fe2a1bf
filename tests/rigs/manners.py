"""How vendors publish their repositories of rpm, as far as that differs from one to the other."""

from collections.abc import Iterable
from dataclasses import dataclass

from tests.rigs.packages import Wanted


@dataclass(frozen=True)
class Manner:
    """Whether a vendor signs the index and the packages, and whether the index has module streams."""

    index: bool = True
    packages: bool = True
    streams: bool = False


# What the vendors' own files for dnf say (gpgcheck, repo_gpgcheck): https://nvidia.github.io/libnvidia-container/
# stable/rpm/nvidia-container-toolkit.repo, https://download.docker.com/linux/centos/docker-ce.repo, epel-release's
# epel.repo, and https://github.com/awslabs/amazon-eks-ami at 81fec2e for Neuron's. Of FSx' nothing is known but that
# its page says `rpm --import`. NVIDIA's streams: amazon-eks-ami, install-nvidia-driver.sh.
MANNERS = {
    "cuda_rpm": Manner(streams=True),
    "cuda_rhel9": Manner(streams=True),
    "docker_rpm": Manner(index=False),
    "epel": Manner(index=False),
    "fsx_lustre_rpm": Manner(index=False),
    "fsx_lustre_rpm_9_7": Manner(index=False),
    "neuron_rpm": Manner(index=False),
    "nvidia_container_toolkit_rpm": Manner(packages=False),
}
# What is in a stream of the driver. Its branch has its own version, and the default stream the newest driver that there
# is, which the rig names and does not have.
DRIVER = ("kmod-nvidia", "libnvidia-ml", "nvidia-driver", "nvidia-kmod", "nvidia-open", "nvidia-persistenced")
NEWEST = "999.10.01"
STREAM = """---
document: modulemd
version: 2
data:
  name: nvidia-driver
  stream: "{stream}"
  version: 20261101000000
  context: 0123abcd
  arch: {arch}
  summary: Simulated by Ingot's rig of vendors
  description: Simulated by Ingot's rig of vendors
  license:
    module: [MIT]
  artifacts:
    rpms: [{rpms}]
"""
DEFAULTS = """---
document: modulemd-defaults
version: 1
data:
  module: nvidia-driver
  stream: {stream}
  profiles: {{}}
"""


def modules(packages: Iterable[Wanted]) -> str:
    """NVIDIA's `modules.yaml` for packages: a stream for each branch, and the newest open driver's by default."""
    driver = sorted(
        (each for each in packages if each.name.startswith(DRIVER)), key=lambda each: (each.name, each.version)
    )
    streams: dict[str, list[str]] = {}
    for each in driver:
        epoch, _, rest = each.version.rpartition(":")
        branch = each.upstream.partition(".")[0]
        artifact = f"{each.name}-{epoch or 0}:{rest}.{each.arch}"
        newest = f"{each.name}-{epoch or 0}:{rest.replace(each.upstream, NEWEST)}.{each.arch}"
        if each.name != "kmod-nvidia-latest-dkms":
            streams.setdefault(f"{branch}-open", []).append(artifact)
            streams.setdefault("open-dkms", []).append(newest)
        if "-open" not in each.name:
            streams.setdefault(f"{branch}-dkms", []).append(artifact)
    text = "".join(
        STREAM.format(stream=stream, arch=driver[0].arch, rpms=", ".join(sorted(set(rpms))))
        for stream, rpms in sorted(streams.items())
    )
    return text + (DEFAULTS.format(stream="open-dkms") if streams else "")
