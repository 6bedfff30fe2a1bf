"""A rig that stands in for EC2: moto's emulator, and behind every instance that it launches a container with sshd.

The base images of the catalog's systems are there, by their owners and names and by their SSM parameters; an image that
is made of an instance is its container, committed. What builds an AMI runs unchanged against it:

    make ec2-rig                                          # prints the address, until Ctrl-C
    make ami-ec2-cpu OS=debian12 AWS_ENDPOINT_URL=ADDRESS

Simulated: EC2's answers, and machines by containers (no kernel of their own, no init). Real: Packer, ssh, Ansible, the
roles, the suite. Of moto 5.2 it mends what Packer calls and moto lacks: tags of snapshots in CreateImage,
EnableImageDeprecation, and what an image says of IMDS.
"""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moto.core.responses import ActionResult, BaseResponse
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami, AmiBackend
from moto.ec2.models.instances import Instance, InstanceBackend
from moto.ec2.responses import EC2Response
from moto.server import ThreadedMotoServer
from moto.ssm.models import Parameter, ssm_backends
from systems import SYSTEMS, _made, docker, image

from ingot.catalog import read_catalog
from ingot.models import EC2_ARCH

REGION = "us-east-1"
ACCOUNT = "123456789012"
# What an image of EC2 has beside its packages: a user who may do everything, and sshd.
LOGIN = """export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --yes --no-install-recommends iproute2 openssh-server procps sudo systemd >/dev/null
apt-get clean
rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_*
useradd --create-home --shell /bin/bash {user}
echo '{user} ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/90-cloud-init-users
"""
# What cloud-init does at the first boot.
BOOT = """mkdir -p /run/sshd
ssh-keygen -A >/dev/null
install -d -m 0700 -o {user} -g {user} /home/{user}/.ssh
cat > /home/{user}/.ssh/authorized_keys
chown {user}: /home/{user}/.ssh/authorized_keys
rm -f /run/nologin
/usr/sbin/sshd
"""


@dataclass
class Rig:
    """What the rig knows beside moto: the image of each AMI, the container of each instance, and what it was asked."""

    calls: Path
    user: dict[str, str] = field(default_factory=dict)
    images: dict[str, Callable[[], str]] = field(default_factory=dict)
    containers: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    # Names of actions that are refused, once for each entry, with EC2's code.
    faults: Path = Path(os.devnull)

    def launch(self, instance: Any) -> None:
        """Start the container of an instance, and let the instance's key in."""
        ami = instance.image_id
        if ami not in self.images:
            return
        keys = instance.ec2_backend.describe_key_pairs([instance.key_name]) if instance.key_name else []
        name = f"ingot-ec2-{instance.id}"
        docker("run", "-d", "--name", name, "--label", "ingot=1", self.images[ami](), "sleep", "infinity")
        self.containers[instance.id] = name
        public = "".join(each.material_public.decode() + "\n" for each in keys)
        docker("exec", "-i", name, "sh", "-eu", "-c", BOOT.format(user=self.user[ami]), stdin=public)
        shown = docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name)
        self.addresses[instance.id] = shown.strip()

    def terminate(self, ids: list[str]) -> None:
        """Remove the containers of instances."""
        for each in ids:
            if name := self.containers.pop(each, None):
                docker("rm", "-f", "-v", name)

    def keep(self, instance: str, ami: str) -> None:
        """Commit an instance's container as the image of an AMI."""
        tag = f"ingot/rig-ec2-ami:{ami}"
        docker("commit", self.containers[instance], tag)
        self.images[ami] = lambda: tag
        self.user[ami] = self.user[ec2_backends[ACCOUNT][REGION].get_instance(instance).image_id]

    def forget(self, ami: str) -> None:
        """Remove the image of an AMI that is gone."""
        if (made := self.images.pop(ami, None)) and made().startswith("ingot/rig-ec2-ami:"):
            docker("rmi", "-f", made())

    def close(self) -> None:
        """Remove every container and image that is left."""
        self.terminate(list(self.containers))
        for ami in list(self.images):
            if ami not in BASES:
                self.forget(ami)


BASES: set[str] = set()


def _base_images(rig: Rig) -> None:
    """Register the base images of every system and platform as the catalog looks for them."""
    catalog = read_catalog()
    lock = {"parallelcluster": "3.16.3", "eks": "1.35", "kernel": "6.12"}
    ec2, ssm = ec2_backends[ACCOUNT][REGION], ssm_backends[ACCOUNT][REGION]
    for number, (system, platform, arch) in enumerate(
        (system, platform, arch)
        for system, row in catalog.operating_systems.items()
        for platform in row.base_images
        for arch in row.architectures
    ):
        row = catalog.operating_systems[system].base_images[platform]
        words = {**lock, "arch": EC2_ARCH[arch], "deb_arch": {"x86_64": "amd64", "aarch64": "arm64"}[arch]}
        name = row.name.format(**words).replace("*", "2026-11-01") or f"{system}-{platform}-{arch}-2026-11-01"
        ami = Ami(
            ec2, f"ami-{number:017x}", name=name, owner_id=row.owner if row.owner.isdigit() else "137112412989",
            owner_alias=None if row.owner.isdigit() else "amazon", architecture=EC2_ARCH[arch],
            root_device_name="/dev/xvda", root_device_type="ebs", virtualization_type="hvm", state="available",
            public=True, creation_date=datetime(2026, 11, 1, tzinfo=UTC),
        )  # fmt: skip
        ec2.amis[ami.id] = ami
        BASES.add(ami.id)
        login = catalog.builders.logins[system]
        rig.user[ami.id] = login
        rig.images[ami.id] = lambda system=system, login=login: machine(system, login)
        if row.ssm:
            # Not by PutParameter, which lets nobody write AWS's own.
            path = row.ssm.format(**words)
            ssm._parameters[path] = [
                Parameter(ACCOUNT, path, ami.id, "String", None, None, None, datetime.now(UTC), 1, "text")
            ]


def machine(system: str, login: str) -> str:
    """The image of a system's instances."""
    assert system in SYSTEMS
    return str(_made(image(system), LOGIN.format(user=login), f"ec2-{system}"))


def _mend(rig: Rig) -> None:
    """Put containers behind moto's instances, and mend what it lacks."""
    run, terminate = InstanceBackend.run_instances, InstanceBackend.terminate_instances
    create, deregister = AmiBackend.create_image, AmiBackend.deregister_image
    call = BaseResponse.call_action

    def run_instances(self: Any, *words: Any, **options: Any) -> Any:
        reservation = run(self, *words, **options)
        for instance in reservation.instances:
            rig.launch(instance)
        return reservation

    def terminate_instances(self: Any, instance_ids: list[str]) -> Any:
        rig.terminate(instance_ids)
        return terminate(self, instance_ids)

    def create_image(self: Any, instance_id: str, name: str, description: str, tag_specifications: list[Any]) -> Any:
        mine = [each for each in tag_specifications if each["ResourceType"] == "image"]
        ami = create(self, instance_id, name, description, tag_specifications=mine)
        for each in tag_specifications:
            if each["ResourceType"] == "snapshot":
                self.create_tags([ami.ebs_snapshot.id], {tag["Key"]: tag["Value"] for tag in each["Tags"]})
        # moto takes nothing of this over from the instance's own image.
        ami.root_device_type, ami.root_device_name = "ebs", "/dev/xvda"
        rig.keep(instance_id, ami.id)
        return ami

    def deregister_image(self: Any, ami_id: str) -> Any:
        rig.forget(ami_id)
        return deregister(self, ami_id)

    def enable_image_deprecation(self: Any) -> ActionResult:
        self.ec2_backend.amis[self._get_param("ImageId")].deprecation_time = self._get_param("DeprecateAt")
        return ActionResult({"Return": True})

    def call_action(self: Any) -> Any:
        action = self._get_action()
        with rig.calls.open("a") as file:
            file.write(
                json.dumps({"action": action, "asked": self._get_params() if self.querystring else {}}, default=str)
                + "\n"
            )
        waiting = rig.faults.read_text().splitlines() if rig.faults.exists() else []
        for number, line in enumerate(waiting):
            name, _, code = line.partition(" ")
            if name == action:
                rig.faults.write_text("\n".join(waiting[:number] + waiting[number + 1 :]))
                body = f"<Response><Errors><Error><Code>{code}</Code><Message>rig</Message></Error></Errors></Response>"
                return 400, self.response_headers, body
        return call(self)

    # So that no image but ours is there.
    AmiBackend._load_amis = lambda _: None
    InstanceBackend.run_instances = run_instances
    InstanceBackend.terminate_instances = terminate_instances
    AmiBackend.create_image = create_image
    AmiBackend.deregister_image = deregister_image
    EC2Response.enable_image_deprecation = enable_image_deprecation
    BaseResponse.call_action = call_action
    for name in ("public_ip", "public_ip_address"):
        setattr(Instance, name, property(lambda self: rig.addresses.get(self.id)))


@contextmanager
def ec2_rig(folder: Path, port: int = 0) -> Iterator[str]:
    """Serve on this machine until the block ends; the address. `folder` gets calls.jsonl and may have faults.txt."""
    rig = Rig(folder / "calls.jsonl", faults=folder / "faults.txt")
    _mend(rig)
    _base_images(rig)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    try:
        host, number = server.get_host_and_port()
        yield f"http://{host}:{number}"
    finally:
        server.stop()
        rig.close()


def main() -> None:
    """Serve until Ctrl-C or SIGTERM; the address is the first line of output."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="ingot-ec2-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ec2_rig(folder) as url:
        print(url, flush=True)
        print(f"calls are written to {folder / 'calls.jsonl'}", file=sys.stderr)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)


if __name__ == "__main__":
    main()
