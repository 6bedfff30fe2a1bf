"""What vendors' base images have beside components, as scripts for root in a container; simulated, and as strict."""

from pathlib import Path

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
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo "could not find NodeConfig within UserData" >&2; exit 1'
[Install]
WantedBy=multi-user.target
EOF
systemctl daemon-reload
"""
EKS = "".join(TREE.format(tree=tree, version=version, gdrdrv=GDRDRV) for tree, version in TREES.items()) + NODEADM
# What else a platform's base image has.
ADDED = {"parallelcluster": PARALLELCLUSTER}
