"""AMIs of Ingot in EC2: finds them by id, name or channel; lists and compares them by tags."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingot.ami import channels
from ingot.errors import IngotError
from ingot.lock.diff import State
from ingot.sources.aws import Region, everywhere

TAG = "ingot:"
# Tags of the AMI itself; all other tags of Ingot are versions of components.
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
# The beginning of the tag `suite` of a tested AMI, which ends with the id of that AMI. EC2 Image Builder tests the AMI
# that it tags, and writes tags that are written before the AMI has an id.
PASSED = "passed "
BY_IMAGE_BUILDER = "passed in EC2 Image Builder"
# EC2's limit per resource, without its own tags: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html
MOST_TAGS = 50
# Limits of values per filter, and of entries per page of most listings.
MOST_VALUES = PAGE = 200
MOST_IMAGES = 1000


@dataclass(frozen=True)
class Ami:
    """One AMI in one region; `shown` is EC2's full description."""

    id: str
    region: str
    name: str
    state: str
    created: str
    tags: Mapping[str, str]
    snapshots: list[str]
    shown: Mapping[str, Any]

    def tag(self, name: str) -> str:
        """The value of the tag ingot:`name`; empty if there is none."""
        return self.tags.get(TAG + name, "")

    @property
    def row(self) -> tuple[str, str, str]:
        """Image, operating system and architecture, which a channel is for."""
        return self.tag("image"), self.tag("os"), self.tag("arch")

    @property
    def origin(self) -> str:
        """The id of the AMI that this one was copied from, or its own."""
        return self.tag("copied_from") or self.id

    @property
    def tested(self) -> bool:
        """Whether the suite has passed on an instance of it, or of the AMI that it was copied from."""
        outcome = self.tag("suite")
        return outcome == BY_IMAGE_BUILDER or (
            outcome.startswith(PASSED) and outcome.rpartition(" on ")[2] in (self.id, self.origin)
        )

    @property
    def components(self) -> dict[str, str]:
        """The version of each component in the tags."""
        names = {key.removeprefix(TAG): value for key, value in self.tags.items() if key.startswith(TAG)}
        return {name: value for name, value in sorted(names.items()) if name not in OWN}

    @property
    def summary(self) -> dict[str, Any]:
        """The entry of a list."""
        row = {key: self.tag(key) for key in ("image", "os", "arch", "stack", "suite", "finished")}
        later = {"deprecation": self.shown.get("DeprecationTime"), "last_launched": self.shown.get("LastLaunchedTime")}
        facts = {"id": self.id, "name": self.name, "region": self.region, "state": self.state, "tested": self.tested}
        return {**facts, **row, **later}


def of(shown: Mapping[str, Any], region: str) -> Ami:
    """The AMI of EC2's description `shown`."""
    disks = [device.get("Ebs", {}) for device in shown.get("BlockDeviceMappings", [])]
    return Ami(
        id=shown["ImageId"],
        region=region,
        name=shown.get("Name", ""),
        state=shown["State"],
        created=str(shown.get("CreationDate", "")),
        tags={tag["Key"]: tag["Value"] for tag in shown.get("Tags", []) if not tag["Key"].startswith("aws:")},
        snapshots=[disk["SnapshotId"] for disk in disks if disk.get("SnapshotId")],
        shown=shown,
    )


def filters(**values: str | Sequence[str]) -> list[dict[str, Any]]:
    """Filters in EC2's form: `tag_os` is the tag ingot:os; in other names, underscores become dashes."""
    names = {
        f"tag:{TAG}{name.removeprefix('tag_')}" if name.startswith("tag_") else name.replace("_", "-"): value
        for name, value in values.items()
        if value
    }
    return [
        {"Name": name, "Values": [value] if isinstance(value, str) else list(value)} for name, value in names.items()
    ]


def described(region: Region, **values: str | Sequence[str]) -> list[Ami]:
    """The account's own AMIs that match the filters, newest first."""
    # Without IncludeDisabled, EC2 omits disabled AMIs.
    query: dict[str, Any] = {"Owners": ["self"], "Filters": filters(**values), "IncludeDisabled": True}
    images = region.all("ec2", "describe_images", "Images", page=MOST_IMAGES, **query)
    return sorted(
        (of(image, region.name) for image in images), key=lambda ami: (ami.created, ami.name, ami.id), reverse=True
    )


def listed(regions: Sequence[Region], image: str, os_name: str, arch: str) -> list[dict[str, Any]]:
    """The AMIs of Ingot in `regions`, newest first, each with the channels that hold it."""

    def one(region: Region) -> list[dict[str, Any]]:
        channels_of = channels.holders(channels.read(region))
        amis = described(region, tag_image=image or "*", tag_os=os_name, tag_arch=arch)
        return [{**ami.summary, "channels": channels_of.get(ami.id, [])} for ami in amis]

    return [row for rows in everywhere(regions, "list", one) for row in rows]


def find(region: Region, reference: str) -> Ami:
    """The AMI of Ingot with the id, name or CHANNEL:IMAGE/OS/ARCH `reference`."""
    if reference.startswith("ami-"):
        answer = region.ec2.describe_images(ImageIds=[reference], IncludeDisabled=True)
        amis = [of(image, region.name) for image in answer["Images"]]
    elif ":" in reference:
        return find(region, channels.held(region, *channels.parsed(reference)))
    else:
        amis = described(region, name=reference)
    if not amis:
        raise IngotError(
            f"no AMI {reference}",
            place=region.name,
            hint="give an id, a name, or CHANNEL:IMAGE/OS/ARCH; `ingot ami list` lists AMIs",
        )
    if not amis[0].tag("image"):
        raise IngotError(
            f"{reference} is not an AMI of Ingot: it has no tag ingot:image",
            place=region.name,
            hint="`ingot ami list` lists AMIs of Ingot",
        )
    return amis[0]


def copy_in(region: Region, ami: Ami) -> Ami | None:
    """`ami` itself if it is in `region`, else its copy there, if any."""
    return next((copy for copy in described(region, name=ami.name) if copy.origin == ami.origin), None)


def in_each(regions: Sequence[Region], reference: str, command: str) -> list[Ami]:
    """The AMI `reference` of the first region, and its copy in each other region; IngotError if one is missing."""
    (first,) = everywhere(regions[:1], command, lambda region: find(region, reference))

    def one(region: Region) -> Ami:
        if copy := copy_in(region, first):
            return copy
        raise IngotError(
            f"no copy of {first.name}",
            place=region.name,
            hint=f"run `ingot ami copy {first.id} --region {first.region} --to {region.name}`",
        )

    return [first, *everywhere(regions[1:], command, one)] if len(regions) > 1 else [first]


def launch_permissions(region: Region, ami: str) -> list[dict[str, str]]:
    """The launch permissions of an AMI: an account, organisation, unit or group each."""
    answer = region.ec2.describe_image_attribute(ImageId=ami, Attribute="launchPermission")
    permissions: list[dict[str, str]] = answer.get("LaunchPermissions", [])
    return permissions


def state(ami: Ami) -> State:
    """The versions in the tags of an AMI, for a comparison."""
    base = {"base AMI": ami.tag("base_ami")} if ami.tag("base_ami") else {}
    return State(f"{ami.name} ({ami.id})", {**base, **ami.components}, {}, {})


def compared(region: Region, references: Sequence[str]) -> list[State]:
    """The states of the AMIs `references`."""
    return everywhere([region], "diff", lambda region: [state(find(region, reference)) for reference in references])[0]
