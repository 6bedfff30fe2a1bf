"""The tags of an AMI: its contents, and that it is finished."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from ingot.ami import ami as amis
from ingot.ami.capacity import Options
from ingot.image.inputs import git_commit
from ingot.model.target import ImageSelection
from ingot.sources.aws import Region, everywhere, regions


def tags_of(selection: ImageSelection, options: Options, base: str) -> dict[str, str]:
    """The tags of an AMI; versions of components up to EC2's limit."""
    target = selection.target
    tags = {
        "Name": f"ingot {selection.name} {target.os} {target.arch} {target.stack}",
        "ingot:image": selection.name,
        "ingot:os": target.os,
        "ingot:arch": target.arch,
        "ingot:stack": target.stack,
        "ingot:lock_sha256": hashlib.sha256(selection.lock_path.read_bytes()).hexdigest(),
        "ingot:git_commit": git_commit(),
        "ingot:base_ami": base,
    }
    if options.signing:
        tags["ingot:secure_boot"] = options.signing.fingerprint
    versions = {f"ingot:{name}": entry.version for name, entry in selection.lock.components.items() if entry.version}
    # Leaves room for the build's id and the three tags of a finished image.
    room = amis.MOST_TAGS - len(tags) - 4
    return tags | dict(list(versions.items())[:room])


def finish(ami: str, region: str, passed: int, manifest: bytes, lock: Path) -> None:
    """Tag an image and its snapshots as finished, after the suite has passed on an instance of it."""
    facts = {
        # The build itself may have added what the base image's package manager said.
        "ingot:lock_sha256": hashlib.sha256(lock.read_bytes()).hexdigest(),
        # With the AMI, as EC2 can copy tags to an image that was never tested.
        "ingot:suite": f"{amis.PASSED}{passed} on {ami}",
        "ingot:manifest_sha256": hashlib.sha256(manifest).hexdigest(),
        "ingot:finished": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }

    def tag(home: Region) -> None:
        image = amis.find(home, ami)
        tags = [{"Key": key, "Value": value} for key, value in facts.items()]
        home.ec2.create_tags(Resources=[ami, *image.snapshots], Tags=tags)

    everywhere(regions([region], "build"), "build", tag)
