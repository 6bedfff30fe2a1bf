"""AMIs of Ingot as EC2 has them: found by id, by name or by channel; listed, shown and compared by their tags."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingot.ami import channels
from ingot.errors import IngotError
from ingot.lock.diff import State
from ingot.sources.aws import Region, everywhere

TAG = "ingot:"
# The tags that say something of the AMI itself; every other one of Ingot's is a component's version.
OWN = frozenset(
    {
        "image",
        "os",
        "arch",
        "stack",
        "lock_sha256",
        "git_commit",
        "base_ami",
        "suite",
        "manifest_sha256",
        "build",
        "secure_boot",
        "finished",
        "copied_from",
    }
)
# What EC2 allows on one resource, without its own: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html
MOST_TAGS = 50
# How many values a filter takes, and how many entries a page of most listings.
MOST_VALUES = PAGE = 200
MOST_IMAGES = 1000


@dataclass(frozen=True)
class Ami:
    """One AMI in one region; `shown` is all that EC2 says of it."""

    id: str
    region: str
    name: str
    state: str
    created: str
    tags: Mapping[str, str]
    snapshots: list[str]
    shown: Mapping[str, Any]

    def tag(self, name: str) -> str:
        """The value of the tag ingot:`name`; nothing where there is none."""
        return self.tags.get(TAG + name, "")

    @property
    def row(self) -> tuple[str, str, str]:
        """Image, operating system and architecture: what a channel holds one AMI of."""
        return self.tag("image"), self.tag("os"), self.tag("arch")

    @property
    def origin(self) -> str:
        """The AMI that this one is a copy of, or itself."""
        return self.tag("copied_from") or self.id

    @property
    def tested(self) -> bool:
        """Whether the suite has passed on an instance of it."""
        return self.tag("suite").startswith("passed ")

    @property
    def components(self) -> dict[str, str]:
        """The version of each component that the tags name."""
        names = {key.removeprefix(TAG): value for key, value in self.tags.items() if key.startswith(TAG)}
        return {name: value for name, value in sorted(names.items()) if name not in OWN}

    @property
    def summary(self) -> dict[str, Any]:
        """What a list says of it."""
        row = {key: self.tag(key) for key in ("image", "os", "arch", "stack", "suite", "finished")}
        later = {"deprecation": self.shown.get("DeprecationTime"), "last_launched": self.shown.get("LastLaunchedTime")}
        return {"id": self.id, "name": self.name, "region": self.region, "state": self.state, **row, **later}


def of(shown: Mapping[str, Any], region: str) -> Ami:
    """The AMI that EC2 describes by `shown`."""
    disks = [each.get("Ebs", {}) for each in shown.get("BlockDeviceMappings", [])]
    return Ami(
        id=shown["ImageId"],
        region=region,
        name=shown.get("Name", ""),
        state=shown["State"],
        created=str(shown.get("CreationDate", "")),
        tags={each["Key"]: each["Value"] for each in shown.get("Tags", []) if not each["Key"].startswith("aws:")},
        snapshots=[disk["SnapshotId"] for disk in disks if disk.get("SnapshotId")],
        shown=shown,
    )


def filters(**values: str | Sequence[str]) -> list[dict[str, Any]]:
    """Filters in EC2's form; `tag_os` means the tag ingot:os, any other name has its underscores as dashes."""
    named = {
        f"tag:{TAG}{name.removeprefix('tag_')}" if name.startswith("tag_") else name.replace("_", "-"): value
        for name, value in values.items()
        if value
    }
    return [{"Name": name, "Values": [each] if isinstance(each, str) else list(each)} for name, each in named.items()]


def described(region: Region, **values: str | Sequence[str]) -> list[Ami]:
    """This account's own AMIs that fit the filters, the newest first."""
    # Disabled ones are left out unless they are asked for.
    asked: dict[str, Any] = {"Owners": ["self"], "Filters": filters(**values), "IncludeDisabled": True}
    found = [
        of(each, region.name) for each in region.all("ec2", "describe_images", "Images", page=MOST_IMAGES, **asked)
    ]
    return sorted(found, key=lambda ami: (ami.created, ami.name, ami.id), reverse=True)


def listed(regions: Sequence[Region], image: str, os_name: str, arch: str) -> list[dict[str, Any]]:
    """The AMIs of Ingot in `regions`, the newest first, each with the channels that hold it."""

    def one(region: Region) -> list[dict[str, Any]]:
        held = channels.holders(channels.read(region))
        amis = described(region, tag_image=image or "*", tag_os=os_name, tag_arch=arch)
        return [{**ami.summary, "channels": held.get(ami.id, [])} for ami in amis]

    return [row for rows in everywhere(regions, "list", one) for row in rows]


def find(region: Region, reference: str) -> Ami:
    """The AMI of Ingot that `reference` names: its id, its name, or CHANNEL:IMAGE/OS/ARCH."""
    if reference.startswith("ami-"):
        answer = region.ec2.describe_images(ImageIds=[reference], IncludeDisabled=True)
        found = [of(each, region.name) for each in answer["Images"]]
    elif ":" in reference:
        return find(region, channels.held(region, *channels.parsed(reference)))
    else:
        found = described(region, name=reference)
    if not found:
        raise IngotError(
            f"there is no AMI {reference}",
            place=region.name,
            hint="name its id, its name, or CHANNEL:IMAGE/OS/ARCH; `ingot ami list` names those there are",
        )
    if not found[0].tag("image"):
        raise IngotError(f"{reference} is no AMI of Ingot: it has no tag ingot:image", place=region.name)
    return found[0]


def copy_in(region: Region, ami: Ami) -> Ami | None:
    """What `region` has of `ami`: itself, or the copy of the same name that says that it is one."""
    return next((each for each in described(region, name=ami.name) if each.origin == ami.origin), None)


def in_each(regions: Sequence[Region], reference: str, command: str) -> list[Ami]:
    """The AMI that `reference` names in the first region, and its copy in each other; IngotError where one lacks it."""
    (first,) = everywhere(regions[:1], command, lambda region: find(region, reference))

    def one(region: Region) -> Ami:
        if found := copy_in(region, first):
            return found
        raise IngotError(
            f"there is no copy of {first.name}",
            place=region.name,
            hint=f"ingot ami copy {first.id} --region {first.region} --to {region.name}",
        )

    return [first, *everywhere(regions[1:], command, one)] if len(regions) > 1 else [first]


def launch_permissions(region: Region, ami: str) -> list[dict[str, str]]:
    """Whom an AMI may be launched by besides its owner; the account, organisation, unit or group of each."""
    answer = region.ec2.describe_image_attribute(ImageId=ami, Attribute="launchPermission")
    permissions: list[dict[str, str]] = answer.get("LaunchPermissions", [])
    return permissions


def state(ami: Ami) -> State:
    """What the tags of an AMI say that it holds, for a comparison."""
    base = {"base AMI": ami.tag("base_ami")} if ami.tag("base_ami") else {}
    return State(f"{ami.name} ({ami.id})", {**base, **ami.components}, {}, {})


def compared(region: Region, references: Sequence[str]) -> list[State]:
    """The states of the AMIs that `references` name."""
    return everywhere([region], "diff", lambda region: [state(find(region, each)) for each in references])[0]
