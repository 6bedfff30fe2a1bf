"""What no image may keep of the machine that made it, as others say who seal images; it is not the role's own list.

Each is a shell pattern, with the source.
"""

# What tells one machine from another, and is made anew where it is missing.
IDENTITY = {
    "/etc/ssh/ssh_host_*": "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/building-shared-amis.html",
    "/etc/munge/munge.key": "https://github.com/dun/munge/wiki/Installation-Guide#securing-the-installation",
    "/var/lib/systemd/random-seed": "https://systemd.io/BUILDING_IMAGES/",
    "/var/lib/systemd/credential.secret": "https://systemd.io/BUILDING_IMAGES/",
    "/boot/efi/loader/random-seed": "https://systemd.io/BUILDING_IMAGES/, where the ESP is at /boot/efi",
    "/efi/loader/random-seed": "https://systemd.io/BUILDING_IMAGES/, where the ESP is at /efi",
    "/boot/loader/random-seed": "https://systemd.io/BUILDING_IMAGES/, where the ESP is at /boot",
    "/etc/docker/key.json": "https://github.com/moby/moby, defaultTrustKeyFile",
    "/var/lib/docker/engine-id": "https://github.com/moby/moby, daemon/id.go",
    "/var/lib/dkms/mok.key": "https://github.com/dell/dkms, README: the key where none is configured",
    "/var/lib/dkms/mok.pub": "https://github.com/dell/dkms, README",
    "/var/lib/shim-signed/mok/MOK.*": "https://wiki.ubuntu.com/UEFI/SecureBoot/Signing",
    "/var/lib/NetworkManager/secret_key": "https://access.redhat.com/solutions/3553581",
}
# What a person, a network or a program has left.
TRACES = {
    "/root/.*_history": "https://libguestfs.org/virt-sysprep.1.html, bash-history",
    "/home/*/.*_history": "https://libguestfs.org/virt-sysprep.1.html, bash-history",
    "/root/.lesshst": "https://man7.org/linux/man-pages/man1/less.1.html, LESSHISTFILE",
    "/home/*/.lesshst": "https://man7.org/linux/man-pages/man1/less.1.html, LESSHISTFILE",
    "/root/.viminfo": "https://vimhelp.org/starting.txt.html#viminfo",
    "/home/*/.viminfo": "https://vimhelp.org/starting.txt.html#viminfo",
    "/root/.wget-hsts": "https://www.gnu.org/software/wget/manual/wget.html, --hsts-file",
    "/root/.ssh/authorized_keys": "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/building-shared-amis.html",
    "/home/*/.ssh/authorized_keys": "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/building-shared-amis.html",
    "/root/.ansible/tmp/*": "https://docs.ansible.com/ansible/latest/collections/ansible/builtin/sh_shell.html",
    "/home/*/.ansible/tmp/*": "https://docs.ansible.com/ansible/latest/collections/ansible/builtin/sh_shell.html",
    "/root/.cache/*": "https://pip.pypa.io/en/stable/topics/caching/",
    "/var/lib/dhcp/*": "https://libguestfs.org/virt-sysprep.1.html, dhcp-client-state",
    "/var/lib/dhclient/*": "https://libguestfs.org/virt-sysprep.1.html, dhcp-client-state",
    "/var/lib/NetworkManager/*.lease": "https://github.com/canonical/netplan/pull/284",
    "/var/lib/cloud/instances/*": "https://docs.cloud-init.io/en/latest/reference/cli.html#clean",
    "/var/lib/cloud/data/*": "https://docs.cloud-init.io/en/latest/reference/cli.html#clean",
    "/var/crash/*": "https://github.com/aws/aws-parallelcluster-cookbook, ami_cleanup.sh",
    "/var/log/audit/audit.log": "https://github.com/aws/amazon-ecs-ami, scripts/cleanup.sh",
    "/var/log/amazon/ssm/*": "https://github.com/aws/amazon-ecs-ami, scripts/cleanup.sh",
    "/var/lib/rsyslog/imjournal.state": "https://github.com/aws/amazon-ecs-ami, scripts/cleanup.sh",
    "/var/cache/dnf/*": "https://github.com/awslabs/amazon-eks-ami, templates/al2023/provisioners/cleanup.sh",
    "/tmp/*": "https://github.com/aws/amazon-ecs-ami, scripts/cleanup.sh",
    "/var/tmp/*": "https://github.com/aws/amazon-ecs-ami, scripts/cleanup.sh",
}
# A file for each pattern, as a machine might have it.
EXAMPLES = [pattern.replace("*", "x1") for pattern in (*IDENTITY, *TRACES)]
