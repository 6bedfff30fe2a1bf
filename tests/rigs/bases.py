"""What vendors' base images are made of: roles, and scripts for root in a container; simulated, and as strict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CLEANUP = Path(__file__).parent / "simulated" / "files" / "parallelcluster" / "ami_cleanup.sh"
PROGRAM = "/usr/local/sbin/ami_cleanup.sh"
# Of ParallelCluster's image: the program, and what it alone takes away. Slurm's daemons are enabled on nodes of a
# cluster only: https://github.com/aws/aws-parallelcluster-cookbook, config_head_node.rb and config_compute.rb.
PARALLELCLUSTER = f"""cat > {PROGRAM} <<'EOF'
{CLEANUP.read_text()}EOF
chmod 0755 {PROGRAM}
mkdir -p /opt/parallelcluster /etc/yum/vars /var/crash
systemctl disable --quiet ingot-munge-key munge ingot-slurm-node slurmctld slurmd
touch /opt/parallelcluster/pin_releasesever /etc/yum/vars/releasever /var/crash/1.crash
"""
# Of EKS' image of Amazon Linux with NVIDIA's driver: two drivers for the image's kernel, gdrdrv with each, no source,
# and a unit that asks for a NodeConfig. https://github.com/awslabs/amazon-eks-ami/pull/2819, and at 81fec2e
# templates/al2023/runtime/rootfs/etc/systemd/system/nodeadm-config.service.
TREES = {"lts": "580.159.03", "pb": "595.91.07"}
GDRDRV = "2.5.2"
TREE = """at=/opt/nvidia/{tree}/flavors/open/lib/modules/$(uname -r)/extra
mkdir -p $at
echo {version} > /opt/nvidia/{tree}/.version
touch /opt/nvidia/{tree}/.tree-{tree}
printf '\\177ELF\\0version={version}\\0vermagic=%s SMP\\0' $(uname -r) > $at/nvidia.ko
printf '\\177ELF\\0version={gdrdrv}\\0vermagic=%s SMP\\0' $(uname -r) > $at/gdrdrv.ko
"""
NODEADM = """cat > /etc/systemd/system/nodeadm-config.service <<'EOF'
[Unit]
Before=cloud-init.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo "could not find NodeConfig within UserData" >&2; exit 1'
[Install]
WantedBy=multi-user.target
EOF
cat > /etc/systemd/system/nodeadm-run.service <<'EOF'
[Unit]
After=nodeadm-config.service cloud-final.service
Requires=nodeadm-config.service
[Service]
Type=oneshot
ExecStart=/bin/false
[Install]
WantedBy=multi-user.target
EOF
systemctl enable --quiet nodeadm-config.service nodeadm-run.service
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
"""
EKS = "".join(TREE.format(tree=tree, version=version, gdrdrv=GDRDRV) for tree, version in TREES.items()) + NODEADM
# What AWS does to both images with a driver, and what it does not install of Neuron: at 81fec2e, both scripts
# install-*-driver.sh of templates/al2023/provisioners.
LOCKED = """dnf -q -y install kernel6.12-devel dkms
dnf -q versionlock add 'kernel*'
"""
DRIVER_ALONE = "rpm -e aws-neuronx-collectives aws-neuronx-oci-hook aws-neuronx-runtime-lib\n"


@dataclass(frozen=True)
class Base:
    """How a base image is made of its system's own: roles, with variables, and then a script for root."""

    roles: Sequence[str]
    facts: Mapping[str, Any] = field(default_factory=dict)
    script: str = ""


# By the system and the lock's name for the base image.
MINIMAL = {"efa_minimal": True}
BASES = {
    ("al2023", "eks"): Base(["nvlsm", "nvidia_container_toolkit", "efa"], MINIMAL, LOCKED + EKS),
    ("al2023", "eks-neuron"): Base(["neuron", "efa"], MINIMAL, LOCKED + DRIVER_ALONE + NODEADM),
    ("al2023", "eks-cpu"): Base(["efa"], MINIMAL, NODEADM),
}
# What else a platform's base image has.
ADDED = {"parallelcluster": PARALLELCLUSTER}


def base_of(os_name: str, platform: str, brings: Sequence[str]) -> Base:
    """How the base image of a system and platform is made; in general, of the components that it brings."""
    roles = [name for name in brings if name not in ("base", "kernel")]
    return BASES.get((os_name, platform), Base(roles, script=ADDED.get(platform, "")))
