#!/bin/bash
# The other side of the benchmark: what the roles of an image do, as a person would write it down in bare commands.
# Runs as root in a container of the base. In its environment are facts of the lock: PACKAGES and HELD (name=version ...),
# RELEASE of the kernel, and DKMS, DRIVER and ALTERNATIVE of the NVIDIA driver; /etc/apt/preferences.d/ingot is there.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive INITRD=No SYSTEMD_OFFLINE=1
read -ra to_install <<<"$PACKAGES"
read -ra to_hold <<<"$HELD"

apt-get update -qq
mkdir -p /etc/dkms/framework.conf.d
printf 'parallel_jobs=%s\nsign_file=/nonexistent\n' "$(nproc)" >/etc/dkms/framework.conf.d/ingot.conf
touch /etc/dkms/no-autoinstall
apt-get install -qq --yes --no-install-recommends -o Dpkg::Options::=--force-unsafe-io "${to_install[@]}"
apt-mark hold "${to_hold[@]%%=*}"
rm /etc/dkms/no-autoinstall /etc/apt/preferences.d/ingot

dkms install -m "$DKMS" -v "$DRIVER" -k "$RELEASE"
update-alternatives --set nvidia "$ALTERNATIVE"
dpkg-trigger --by-package=glx-alternative-nvidia register-glx-alternative-nvidia
dpkg --configure --pending
: >"$(readlink -f /etc/nvidia/nvidia-load.conf)"
printf 'blacklist nouveau\noptions nouveau modeset=0\n' >/etc/modprobe.d/ingot-nouveau.conf
mkdir -p /etc/systemd/system/nvidia-persistenced.service.d
printf '[Service]\nExecCondition=/bin/sh -c "grep -qsx 0x10de /sys/bus/pci/devices/*/vendor"\n' \
  >/etc/systemd/system/nvidia-persistenced.service.d/ingot.conf
[[ "$(modinfo -k "$RELEASE" -F vermagic "$DKMS")" == "$RELEASE "* ]]

mkdir -p /usr/local/cuda
ln -sfn /usr/bin /usr/local/cuda/bin
ln -sfn /usr/include /usr/local/cuda/include
ln -sfn "/usr/lib/$(uname -m)-linux-gnu" /usr/local/cuda/lib64
ln -sfn /usr/lib/cuda/nvvm /usr/local/cuda/nvvm
echo /usr/local/cuda/lib64 >/etc/ld.so.conf.d/ingot-cuda.conf
ldconfig

printf 'PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n' \
  >/etc/ssh/sshd_config.d/10-ingot.conf
printf '* soft nofile 1048576\n* hard nofile 1048576\n' >/etc/security/limits.d/90-ingot.conf
printf '* soft memlock unlimited\n* hard memlock unlimited\n' >/etc/security/limits.d/91-efa.conf
echo 'kernel.yama.ptrace_scope = 0' >/etc/sysctl.d/91-efa.conf
printf '[Match]\nName=e*\n\n[Network]\nDHCP=yes\n' >/etc/systemd/network/80-ingot.network
printf 'datasource_list: [NoCloud, Ec2, None]\nnetwork:\n  config: disabled\n' >/etc/cloud/cloud.cfg.d/90-ingot.cfg

mkdir -p /etc/slurm /usr/lib/ingot /etc/docker
printf 'ClusterName=ingot\nAuthType=auth/munge\nSlurmUser=slurm\ninclude node.conf\n' >/etc/slurm/slurm.conf
printf '#!/bin/sh\nslurmd -C >/etc/slurm/node.conf\n' >/usr/lib/ingot/slurm-node
chmod 0755 /usr/lib/ingot/slurm-node
for unit in ingot-munge-key ingot-slurm-node; do
  printf '[Service]\nType=oneshot\nExecStart=/bin/true\n[Install]\nRequiredBy=slurmd.service\n' \
    >"/etc/systemd/system/$unit.service"
done
echo '{"live-restore": true, "log-driver": "json-file"}' >/etc/docker/daemon.json
printf '[Service]\nExecStart=/usr/bin/ingot-efa-exporter\n[Install]\nWantedBy=multi-user.target\n' \
  >/etc/systemd/system/ingot-efa-exporter.service
systemctl enable -q ingot-efa-exporter systemd-networkd systemd-resolved ssh chrony docker prometheus-node-exporter \
  nvidia-persistenced munge slurmctld slurmd ingot-munge-key ingot-slurm-node

update-initramfs -c -k "$RELEASE"
mkdir -p /usr/share/ingot
dpkg-query --show >/usr/share/ingot/packages
rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_* /etc/munge/munge.key /var/lib/systemd/random-seed /var/lib/dbus/machine-id
rm -rf "/var/lib/dkms/$DKMS/$DRIVER/build" /var/lib/cloud/* /root/.cache
find /var/log -type f -delete
find /var/lib/dkms -name '*.log' -delete
: >/etc/machine-id
