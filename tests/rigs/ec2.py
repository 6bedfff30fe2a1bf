"""A rig that stands in for EC2: moto's emulator, and behind every instance that it launches a machine that boots.

The base images of the catalog's systems are there, by their owners and names and by their SSM parameters; an image that
is made of an instance is its disk, and other machines start from it. What builds an AMI runs unchanged against it:

    make ec2-rig                                          # prints what to export, until Ctrl-C
    make ami-ec2-cpu OS=debian12 REGION=us-east-1

With a system's name it serves that system's vendors as well, simulated, and says where a catalog of them lies:

    make ec2-rig SIMULATED=ubuntu2404
    make ami REGION=us-east-1

Simulated: EC2's answers, and machines by containers (`machines.py` says how far). Real: Packer, ssh, Ansible, roles,
the suite.
"""

import argparse
import copy
import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from moto.core.responses import BaseResponse
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami, AmiBackend
from moto.ec2.models.instances import Instance, InstanceBackend
from moto.ec2.responses.amis import AmisResponse
from moto.server import ThreadedMotoServer

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.lock import file as locks
from ingot.model.types import EC2_ARCH
from tests.rigs import machines, refusals
from tests.rigs.bases import Base, base_of
from tests.rigs.emulator import mended, publish_parameter
from tests.rigs.machines import FAULTS, MADE, Fault, ami_image, at_boot, base_tag, installed, mounting, root_device
from tests.rigs.own_stack import NAME, commit_image, serving_all
from tests.rigs.systems import docker

REGION = "us-east-1"
# The account of the user, as moto has it, and one of Amazon's that images are of.
ACCOUNT = "123456789012"
AMAZON = "137112412989"


@dataclass
class Rig:
    """What the rig knows beside moto: the system of each AMI, how the image of one that brings components is made and
    which are, which AMIs it has made itself, the address of each instance, what it writes calls to, where tests say
    which calls it refuses, what it writes to how long it took to answer, the archive of the simulated system, and what
    is wrong with the machine that starts next.
    """

    calls: Path
    faults: Path
    seconds: Path
    systems: dict[str, str] = field(default_factory=dict)
    archive: Path | None = None
    bringing: dict[str, Callable[[], str]] = field(default_factory=dict)
    brought: dict[str, str] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    addresses: dict[str, str] = field(default_factory=dict)
    fault: Fault = FAULTS["Fine"]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def base(self, ami: str) -> str:
        """The image of a vendor's AMI; what it brings is made when somebody first asks for it."""
        with self.lock:
            if ami in self.bringing and ami not in self.brought:
                self.brought[ami] = self.bringing[ami]()
        return self.brought.get(ami) or ami_image(self.systems[ami])

    def launch(self, instance: Any) -> None:
        """Start the machine of an instance, with all that EC2 tells it."""
        ami = instance.image_id
        started = f"{MADE}:{ami}" if ami in self.made else self.base(ami)
        keys = instance.ec2_backend.describe_key_pairs([instance.key_name]) if instance.key_name else []
        fault, self.fault = self.fault, FAULTS["Fine"]
        told = _metadata(instance, keys)
        self.addresses[instance.id] = machines.launch(instance.id, started, told, fault, self.archive)

    def terminate(self, ids: list[str]) -> None:
        """Remove the machines of instances."""
        for each in ids:
            if self.addresses.pop(each, None):
                machines.remove(each)

    def keep(self, instance: Any, ami: str) -> None:
        """Make an AMI of an instance's disk."""
        machines.keep(instance.id, f"{MADE}:{ami}")
        self.systems[ami] = self.systems[instance.image_id]
        self.made.add(ami)

    def again(self, ami: Any) -> None:
        """Let the image of an AMI be that of one that was registered from its snapshots as well."""
        docker("tag", f"{MADE}:{ami.registered_from}", f"{MADE}:{ami.id}")
        self.systems[ami.id] = self.systems[ami.registered_from]
        self.made.add(ami.id)

    def forget(self, ami: str) -> None:
        """Remove the image of an AMI that is gone."""
        if ami in self.made:
            self.made.remove(ami)
            docker("rmi", "-f", f"{MADE}:{ami}")

    def close(self) -> None:
        """Remove every machine and image that is left."""
        self.terminate(list(self.addresses))
        for ami in list(self.made):
            self.forget(ami)
        for name in self.brought.values():
            docker("rmi", "-f", name)


def _metadata(instance: Any, keys: list[Any]) -> dict[str, Any]:
    """What EC2 says of an instance, as its metadata service serves it."""
    host = f"ip-{instance.private_ip.replace('.', '-')}.ec2.internal"
    return {
        "ami-id": instance.image_id,
        "hostname": host,
        "instance-id": instance.id,
        "instance-type": instance.instance_type,
        "local-hostname": host,
        "local-ipv4": instance.private_ip,
        "placement": {"availability-zone": f"{REGION}a", "region": REGION},
        "public-keys": {
            str(number): {"name": instance.key_name, "openssh-key": key.material_public.decode()}
            for number, key in enumerate(keys)
        },
    }


def _made(os_name: str, tag: str, lock: Path, base: Base, archive: Path | None) -> str:
    ends = replace(base, script=base.script + at_boot(os_name))
    return commit_image(installed(os_name), tag, lock, ends, *mounting(archive))


def _base_images(rig: Rig, stack: str, own: Path | None) -> None:
    """Register the base images of every system and platform as the locks of a stack name them.

    Those of the system whose vendors are simulated bring what they should; the others are bare.
    """
    ec2 = ec2_backends[ACCOUNT][REGION]
    there = [locks.load(path) for path in sorted((paths.LOCKS / stack).glob("*.yml"))]
    rows = [(lock, platform, row) for lock in there for platform, row in lock.base_images.items()]
    for number, (lock, platform, row) in enumerate(rows):
        name = row.name.replace("*", "2026-11-01") or f"{lock.os}-{platform}-{lock.arch}-2026-11-01"
        ami = Ami(
            ec2, f"ami-{number:017x}", name=name, owner_id=row.owner if row.owner.isdigit() else AMAZON,
            owner_alias=None if row.owner.isdigit() else "amazon", architecture=EC2_ARCH[lock.arch],
            root_device_name=root_device(lock.os), root_device_type="ebs", virtualization_type="hvm", state="available",
            public=True, creation_date=datetime(2026, 11, 1, tzinfo=UTC),
        )  # fmt: skip
        ec2.amis[ami.id] = ami
        rig.systems[ami.id] = lock.os
        if "*" in row.name:
            # What the account offers before a release, newer and by the same pattern; no machine is behind it.
            beta = copy.copy(ami)
            beta.id, beta.name = f"ami-be{number:015x}", row.name.replace("*", "BETA-2026-11-30")
            beta.creation_date = datetime(2026, 11, 30, tzinfo=UTC)
            ec2.amis[beta.id] = beta
        base = base_of(lock.os, platform, list(row.brings))
        if own and base.roles and (mine := own / "locks" / NAME / f"{lock.key}.yml").exists():
            released = own / "bases" / f"{platform}.yml"
            mine = released if released.exists() else mine
            rig.bringing[ami.id] = partial(_made, lock.os, base_tag(lock.os, platform), mine, base, rig.archive)
        if row.ssm:
            publish_parameter(REGION, row.ssm, ami.id)


def _put_behind(rig: Rig) -> None:
    """Put machines behind moto's instances, write down what is asked, and refuse what a test wants refused."""
    run, terminate = InstanceBackend.run_instances, InstanceBackend.terminate_instances
    start, stop = InstanceBackend.start_instances, InstanceBackend.stop_instances
    create, deregister = AmiBackend.create_image, AmiBackend.deregister_image
    register = AmisResponse.register_image
    call = BaseResponse.call_action

    def run_instances(self: Any, *words: Any, **options: Any) -> Any:
        reservation = run(self, *words, **options)
        for instance in reservation.instances:
            rig.launch(instance)
        return reservation

    def terminate_instances(self: Any, instance_ids: list[str]) -> Any:
        rig.terminate(instance_ids)
        return terminate(self, instance_ids)

    def start_instances(self: Any, instance_ids: list[str]) -> Any:
        for each in instance_ids:
            machines.start(each)
        return start(self, instance_ids)

    def stop_instances(self: Any, instance_ids: list[str]) -> Any:
        for each in instance_ids:
            machines.stop(each)
        return stop(self, instance_ids)

    def reboot_instances(self: Any, instance_ids: list[str]) -> Any:
        stop_instances(self, instance_ids)
        return start_instances(self, instance_ids)

    def create_image(self: Any, instance_id: str, *words: Any, **options: Any) -> Any:
        ami = create(self, instance_id, *words, **options)
        rig.keep(self.get_instance(instance_id), ami.id)
        return ami

    def register_image(self: Any) -> Any:
        answer: Any = register(self)
        rig.again(self.ec2_backend.amis[answer._result["ImageId"]])
        return answer

    def deregister_image(self: Any, ami_id: str) -> Any:
        rig.forget(ami_id)
        return deregister(self, ami_id)

    def call_action(self: Any) -> Any:
        action = self._get_action()
        with rig.calls.open("a") as file:
            asked = self._get_params() if self.querystring else {}
            file.write(json.dumps({"action": action, "asked": asked}, default=str) + "\n")
        code = refusals.take(rig.faults, action)
        if code in FAULTS:
            rig.fault = FAULTS[code]
        elif code:
            status, body = refusals.answer(action, code)
            return status, self.response_headers, body
        began = time.monotonic()
        try:
            return call(self)
        finally:
            with rig.seconds.open("a") as file:
                file.write(f"{action} {time.monotonic() - began}\n")

    replaced: list[tuple[Any, str, Any]] = [
        # So that no image but ours is there.
        (AmiBackend, "_load_amis", lambda _: None),
        (InstanceBackend, "run_instances", run_instances),
        (InstanceBackend, "terminate_instances", terminate_instances),
        (InstanceBackend, "stop_instances", stop_instances),
        (InstanceBackend, "start_instances", start_instances),
        (InstanceBackend, "reboot_instances", reboot_instances),
        (AmiBackend, "create_image", create_image),
        (AmiBackend, "deregister_image", deregister_image),
        (AmisResponse, "register_image", register_image),
        (BaseResponse, "call_action", call_action),
    ]
    for owner, name, function in replaced:
        setattr(owner, name, function)
    for name in ("public_ip", "public_ip_address"):
        setattr(Instance, name, property(lambda self: rig.addresses.get(self.id)))


@contextmanager
def ec2_rig(folder: Path, simulated: str = "") -> Iterator[dict[str, str]]:
    """Serve on this machine until the block ends; what to export. `folder` gets calls.jsonl and may have faults.txt.

    `simulated` is the system whose vendors are served as well.
    """
    catalog = read_catalog()
    rig = Rig(folder / "calls.jsonl", folder / "faults.txt", folder / "seconds.txt")
    with ExitStack() as stack:
        stack.callback(rig.close)
        served = stack.enter_context(serving_all(simulated, folder)) if simulated else None
        own, rig.archive = (served.own, served.archive) if served else (None, None)
        stack.enter_context(mended())
        _put_behind(rig)
        _base_images(rig, catalog.newest_stack, own)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        try:
            host, number = server.get_host_and_port()
            words = {"AWS_ACCESS_KEY_ID": "simulated", "AWS_SECRET_ACCESS_KEY": "simulated"}
            catalogs = {"INGOT_CATALOG": str(own)} if own else {}
            yield {"AWS_ENDPOINT_URL": f"http://{host}:{number}", **words, **catalogs}
        finally:
            server.stop()


def main() -> None:
    """Serve until Ctrl-C or SIGTERM; the first line of output says what to export."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--folder", type=Path, help="gets the calls; one that is thrown away")
    parser.add_argument("--simulated", default="", metavar="OS", help="the system whose vendors are served as well")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with (
        tempfile.TemporaryDirectory() as thrown_away,
        ec2_rig(asked.folder or Path(thrown_away), asked.simulated) as exported,
    ):
        print("export", *(f"{name}={value}" for name, value in exported.items()), flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)


if __name__ == "__main__":
    main()
