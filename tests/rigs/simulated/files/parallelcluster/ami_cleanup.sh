#!/bin/bash
# Simulated: the effects of AWS ParallelCluster's own program, of the same name and place; this one stops at the first
# command that fails. https://github.com/aws/aws-parallelcluster-cookbook at 035bc14,
# cookbooks/aws-parallelcluster-platform/files/ami_cleanup.sh.
set -euo pipefail
if [ "$(id -u)" != 0 ] || [ "$#" != 0 ]; then
  echo 'ami_cleanup.sh: run as root, and without words' >&2
  exit 1
fi
cloud-init clean --seed
rm -rf /var/tmp/* /tmp/*
rm -rf /etc/ssh/ssh_host_*
rm -f /etc/udev/rules.d/70-persistent-net.rules
rm -rf /var/crash/*
# What fixes the release of Amazon Linux's repositories while AWS builds.
if [ -f /opt/parallelcluster/pin_releasesever ]; then
  rm -f /opt/parallelcluster/pin_releasesever /etc/yum/vars/releasever
fi
find /var/log -type f -delete
touch /var/log/lastlog
