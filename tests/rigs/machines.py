"""Machines of the rig's EC2: containers that boot as an instance does, and the images that they start from.

Real: systemd, a persistent journal, rsyslog where the system has it, cloud-init, which makes user, host keys and apt's
sources of what the metadata service says, and the second boot of what a first one has left. Simulated: the kernel is
this machine's, the metadata service is `imds.py`, firmware is one line that cloud-init reads in its place, and what
apt-daily does is to hold apt's lock.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingot.catalog.read import read_catalog
from tests.rigs import imds, redhat_machines
from tests.rigs.systems import BOOT, SYSTEMS, docker, image, made

# How an instance's container is called; beside it is the one that has its network, and its metadata service.
PREFIX, NETWORK = "ingot-ec2-", "ingot-ec2-net-"
# What the images of the rig's own AMIs, and of base images that bring components, are called.
MADE = "ingot/rig-ec2-ami"
METADATA = "169.254.169.254"
# Nobody answers at it: https://www.rfc-editor.org/rfc/rfc5737
NOWHERE = "192.0.2.1"
# How long apt-daily holds the lock after cloud-init has ended, and cloud-init works after ssh has answered, in seconds.
HELD, WORKING = 20, 10
# How long a machine may take to stop, in seconds.
STOPPING = 60
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/device_naming.html; the images themselves say so.
ROOT_DEVICES = {"Amazon": "/dev/xvda", "Debian": "/dev/xvda"}
# What cloud-init calls a distribution, and which of them write /var/log by rsyslog: Debian 12's release notes,
# https://docs.aws.amazon.com/linux/al2023/ug/journald.html
CLOUD_INIT = {"Amazon": "amazon", "Debian": "debian", "RedHat": "rhel", "Rocky": "rocky", "Ubuntu": "ubuntu"}
RSYSLOG = ("RedHat", "Rocky", "Ubuntu")
# What an image of EC2 has.
INSTALL = """export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --yes --no-install-recommends chrony cloud-guest-utils cloud-init dbus {initramfs} iproute2 \\
  openssh-server procps {more} sudo systemd systemd-resolved systemd-sysv zstd >/dev/null
apt-get clean
rm -rf /var/lib/apt/lists/* /var/lib/dbus/machine-id /etc/ssh/ssh_host_*
: >/etc/machine-id
mkdir -p /var/log/journal
echo 'PasswordAuthentication no' >/etc/ssh/sshd_config.d/60-cloudimg-settings.conf
# A container has no firmware to say that it is of EC2.
echo 'datasource: Ec2' >/etc/cloud/ds-identify.cfg
echo 'read_dmi_data = dict.fromkeys(("system-uuid", "system-serial-number"), "{uuid}").get' \\
  >>/usr/lib/python3/dist-packages/cloudinit/dmi.py
cat >/etc/cloud/cloud.cfg.d/01_rig.cfg <<'END'
# Docker has given the machine its network, no udevd runs in a container, and locales are not installed.
network: {{config: disabled}}
updates: {{network: {{when: [boot-new-instance]}}}}
locale: C.UTF-8
preserve_hostname: {hostname}
system_info:
  distro: {distro}
  default_user: {{name: {login}, lock_passwd: true, groups: [], sudo: ['ALL=(ALL) NOPASSWD:ALL'], shell: /bin/bash}}
END
# It would set this machine's clock.
sed -i 's/-F 1/-F 1 -x/' /etc/default/chrony
mkdir -p /etc/systemd/system/{clock}.service.d /etc/systemd/system/cloud-config.service.d
printf '[Unit]\\nConditionCapability=\\n' >/etc/systemd/system/{clock}.service.d/rig.conf
printf '[Service]\\nExecStartPre=/bin/sleep {working}\\n' >/etc/systemd/system/cloud-config.service.d/rig.conf
"""
UUID = "ec2e1916-9099-7caf-fd21-012345abcdef"
# What apt's lists come from is written at the first boot, and apt-daily runs at every boot: its service waits for
# cloud-init's, as both are packaged.
APT = r"""{ echo 'apt:'; echo '  preserve_sources_list: false'; echo '  sources_list: |'
  sed 's/^/    /' /etc/apt/sources.list; } >/etc/cloud/cloud.cfg.d/02_rig.cfg
echo 'deb http://before-cloud-init.invalid/ stale main' >/etc/apt/sources.list
cat >/usr/lib/apt/apt.systemd.daily <<'END'
#!/usr/bin/python3
import fcntl, os, time
files = [open(path, "a") for path in ("/var/lib/apt/lists/lock", "/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock")]
for file in files:
    fcntl.lockf(file, fcntl.LOCK_EX)
time.sleep(float(os.environ.get("RIG_HELD", {held})))
END
mkdir -p /etc/systemd/system/apt-daily.service.d /etc/systemd/system/apt-daily.timer.d
printf '[Service]\nPassEnvironment=RIG_HELD\nExecStartPre=\n' >/etc/systemd/system/apt-daily.service.d/rig.conf
printf '[Timer]\nOnCalendar=\nOnBootSec=0\nRandomizedDelaySec=0\n' >/etc/systemd/system/apt-daily.timer.d/rig.conf
"""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a machine: its user data, variables of its systemd, and whether it has a network at all."""

    user_data: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    network: bool = True


FAULTS = {
    "Fine": Fault(),
    "NoNetwork": Fault(network=False),
    "LockHeld": Fault(variables={"RIG_HELD": "600"}),
    "UnitFails": Fault(user_data="#!/bin/sh\nsystemd-run --unit=broken-by-the-rig --wait false\ntrue\n"),
    "CloudInitFails": Fault(user_data="#!/bin/sh\nexit 7\n"),
}


def installed(system: str) -> str:
    """The image of what a system's AMI has installed, before it is made one."""
    row = read_catalog().operating_systems[system]
    words = {"uuid": UUID, "login": row.login, "distro": CLOUD_INIT[row.distribution], "working": WORKING}
    # Those of Red Hat ask hostnamed, which cannot change a container's.
    words["hostname"] = "false" if SYSTEMS[system].kind == "apt" else "true"
    words["more"] = "rsyslog" if row.distribution in RSYSLOG else ""
    words["clock"] = "chrony" if SYSTEMS[system].kind == "apt" else redhat_machines.CLOCK
    if SYSTEMS[system].kind == "apt":
        return made(image(system), INSTALL.format(initramfs="initramfs-tools", **words), f"ec2-{system}")
    # It has no apt any more.
    presenting = image(system, before=INSTALL.format(initramfs="dracut", **words))
    return made(presenting, redhat_machines.script(row), f"ec2-{system}")


def at_boot(system: str) -> str:
    """The script that makes the image of what is installed an AMI's, which is ready some time after it has booted."""
    return APT.replace("{held}", str(HELD)) if SYSTEMS[system].kind == "apt" else ""


def ami_image(system: str) -> str:
    """The image of a system's AMI."""
    script = at_boot(system)
    return made(installed(system), script, f"ec2-{system}-ami") if script else installed(system)


def base_tag(system: str, platform: str) -> str:
    """What the image of a system's base image that brings components is called."""
    return f"{MADE}:{system}-{platform}"


def root_device(system: str) -> str:
    """The name of the root device of a system's AMIs."""
    return ROOT_DEVICES.get(read_catalog().operating_systems[system].distribution, "/dev/sda1")


def mounting(archive: Path | None) -> list[str]:
    """The options of a machine whose system has a folder as its archive."""
    return [f"--volume={archive}:{redhat_machines.ARCHIVE}:ro"] if archive else []


def launch(
    ident: str, started: str, metadata: dict[str, Any], fault: Fault = FAULTS["Fine"], archive: Path | None = None
) -> str:
    """Start an instance of an image; its address."""
    tree: dict[str, Any] = {
        "meta-data": metadata,
        "dynamic": {"instance-identity": {"document": json.dumps(metadata["placement"])}},
    }
    tree |= {"user-data": fault.user_data} if fault.user_data else {}
    # The machine itself cannot change its network, so that nothing leads around the metadata service.
    serve = f'ip address add {METADATA}/32 dev lo && exec python3 /imds.py {METADATA} "$0"'
    docker(
        "run", "-d", "--name", f"{NETWORK}{ident}", "--label=ingot=1", "--cap-add=NET_ADMIN",
        f"--network={'bridge' if fault.network else 'none'}", "--volume", f"{Path(imds.__file__)}:/imds.py:ro",
        started, "sh", "-c", serve, json.dumps(tree),
    )  # fmt: skip
    variables = [f"--env={name}={value}" for name, value in fault.variables.items()]
    docker(
        "run", "-d", "--name", f"{PREFIX}{ident}", "--label=ingot=1", f"--network=container:{NETWORK}{ident}",
        "--restart=always", "--stop-signal=SIGRTMIN+3", *BOOT, *variables, *mounting(archive), started,
        "/lib/systemd/systemd",
    )  # fmt: skip
    shape = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return docker("inspect", "--format", shape, f"{NETWORK}{ident}").strip() or NOWHERE


def stop(ident: str) -> None:
    """Shut an instance down."""
    docker("stop", f"--time={STOPPING}", f"{PREFIX}{ident}")


def start(ident: str) -> None:
    """Boot an instance that was shut down."""
    docker("start", f"{PREFIX}{ident}")


def keep(ident: str, tag: str) -> None:
    """Make an image of an instance's disk; one that runs is shut down for it, and boots again."""
    running = docker("inspect", "--format", "{{.State.Running}}", f"{PREFIX}{ident}").strip() == "true"
    if running:
        stop(ident)
    docker("commit", f"{PREFIX}{ident}", tag)
    if running:
        start(ident)


def remove(ident: str) -> None:
    """Remove an instance."""
    for name in (f"{PREFIX}{ident}", f"{NETWORK}{ident}"):
        docker("rm", "-f", "-v", name)
