"""The tags by which an AMI says what it holds and that it is finished."""

import hashlib
from datetime import UTC, datetime

from ingot.ami import ami as amis
from ingot.ami.capacity import Options
from ingot.image.build import git_commit
from ingot.model.target import ImageSelection
from ingot.sources.aws import Region, everywhere, regions


def tags_of(selection: ImageSelection, options: Options, base: str) -> dict[str, str]:
    """What the AMI says of itself; versions of components as far as there is room."""
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
    # The build's id, and three more when the image is finished.
    room = amis.MOST_TAGS - len(tags) - 4
    return tags | dict(list(versions.items())[:room])


def finish(ami: str, region: str, passed: int, manifest: bytes) -> None:
    """Tag an image and its snapshots as finished: the suite has passed on an instance of it."""
    said = {
        "ingot:suite": f"passed {passed}",
        "ingot:manifest_sha256": hashlib.sha256(manifest).hexdigest(),
        "ingot:finished": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }

    def tag(there: Region) -> None:
        found = amis.find(there, ami)
        tags = [{"Key": key, "Value": value} for key, value in said.items()]
        there.ec2.create_tags(Resources=[ami, *found.snapshots], Tags=tags)

    everywhere(regions([region], "build"), "build", tag)
