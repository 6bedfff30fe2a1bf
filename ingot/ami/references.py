"""What refers to AMIs in a region: channels, launch templates, auto scaling groups, node groups, instances, accounts.

Each reference is a sentence, so that whoever reads why an AMI is kept knows where to look.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingot.ami import channels
from ingot.ami.ami import MOST_IMAGES, MOST_VALUES, PAGE, filters, launch_permissions
from ingot.sources.aws import Region, at_once, tolerated

SSM = "resolve:ssm:"
LIVES = ["pending", "running", "stopping", "stopped"]


@dataclass
class Templates:
    """The launch templates of a region: what image each version names, by id and number; ids by name; aliases."""

    images: dict[tuple[str, int], str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    defaults: dict[str, int] = field(default_factory=dict)
    latest: dict[str, int] = field(default_factory=dict)

    def image(self, specification: Mapping[str, Any]) -> str:
        """What the version that is specified names; nothing where there is no such version."""
        ids = {name: key for key, name in self.names.items()}
        named = specification.get("LaunchTemplateName") or specification.get("name") or ""
        key = specification.get("LaunchTemplateId") or specification.get("id") or ids.get(named, "")
        version = str(specification.get("Version") or specification.get("version") or "$Default")
        number = {"$Default": self.defaults.get(key), "$Latest": self.latest.get(key)}.get(version, version)
        return self.images.get((key, int(number)), "") if number else ""


def references(region: Region, amis: Sequence[str], *, without: Iterable[str] = ()) -> dict[str, list[str]]:
    """What refers to each of `amis`, which is nobody's where it is not in the answer; instances `without` do not count.

    A few calls for the whole region, however many AMIs: only whom an AMI is shared with is asked for one by one.
    """
    ours = set(amis)
    found: dict[str, list[str]] = {}
    parts: list[Callable[[], Any]] = [
        lambda: channels.holders(channels.read(region)),
        lambda: templates(region),
        lambda: region.all("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups"),
        lambda: region.all("autoscaling", "describe_launch_configurations", "LaunchConfigurations"),
        lambda: node_groups(region),
        lambda: _instances(region, amis),
    ]
    held, known, groups, configurations, nodes, instances = at_once(lambda part: part(), parts)

    def note(image: str, what: str) -> None:
        if image in ours and what not in found.setdefault(image, []):
            found[image].append(what)

    for image, names in held.items():
        for name in names:
            note(image, f"channel {name}")
    images = [*known.images.values(), *(each["ImageId"] for each in configurations)]
    images += [image for group in groups for image in _overrides(group)]
    resolved = aliases(region, images)
    for (key, number), image in known.images.items():
        note(resolved.get(image, image), f"launch template {known.names[key]} version {number}")
    by_name = {each["LaunchConfigurationName"]: each["ImageId"] for each in configurations}
    for name, image in by_name.items():
        note(resolved.get(image, image), f"launch configuration {name}")
    for group in groups:
        named = [by_name.get(group.get("LaunchConfigurationName", ""), ""), *_overrides(group)]
        for image in named + [known.image(each) for each in _specifications(group)]:
            note(resolved.get(image, image), f"auto scaling group {group['AutoScalingGroupName']}")
    for node in nodes:
        # The release of a node group with an AMI of one's own is that AMI.
        for image in (known.image(node.get("launchTemplate") or {}), node.get("releaseVersion", "")):
            note(resolved.get(image, image), f"EKS node group {node['clusterName']}/{node['nodegroupName']}")
    for instance in instances:
        if instance["InstanceId"] not in without:
            note(instance["ImageId"], f"instance {instance['InstanceId']}, {instance['State']['Name']}")
    return found


def shared(region: Region, amis: Sequence[str]) -> dict[str, list[str]]:
    """Whom each of `amis` is shared with, as references; EC2 tells it of one AMI a call."""
    answers = at_once(lambda ami: launch_permissions(region, ami), amis)
    return {
        ami: [f"shared with {next(iter(each.values()))}" for each in permissions]
        for ami, permissions in zip(amis, answers, strict=True)
        if permissions
    }


def templates(region: Region) -> Templates:
    """Every version of every launch template; those of which two calls for all templates do not tell, by one each."""
    known = Templates()
    latest: dict[str, int] = {}
    for each in region.all("ec2", "describe_launch_templates", "LaunchTemplates", page=PAGE):
        key = each["LaunchTemplateId"]
        known.names[key] = each["LaunchTemplateName"]
        known.defaults[key], known.latest[key] = each["DefaultVersionNumber"], each["LatestVersionNumber"]
        latest[key] = each["LatestVersionNumber"]
    if not latest:
        return known

    def take(versions: Iterable[Mapping[str, Any]]) -> None:
        for each in versions:
            key = each["LaunchTemplateId"]
            known.names.setdefault(key, each.get("LaunchTemplateName", key))
            known.images[key, each["VersionNumber"]] = each["LaunchTemplateData"].get("ImageId", "")

    kind, key = "describe_launch_template_versions", "LaunchTemplateVersions"
    take(region.all("ec2", kind, key, page=PAGE, Versions=["$Latest", "$Default"]))
    seen = {each: sum(1 for template, _ in known.images if template == each) for each in latest}
    older = [each for each, number in latest.items() if number > seen[each]]
    for versions in at_once(lambda each: region.all("ec2", kind, key, page=PAGE, LaunchTemplateId=each), older):
        take(versions)
    return known


def aliases(region: Region, images: Iterable[str]) -> dict[str, str]:
    """The AMIs that `resolve:ssm:PARAMETER` stands for just now, by the whole alias; those that lead nowhere not."""
    found: dict[str, str] = {}

    def one(image: str) -> None:
        # One by one, for an answer for several does not say which name, version or ARN it is for.
        with tolerated([]):
            answer = region.client("ssm").get_parameter(Name=image.removeprefix(SSM))
            found[image] = answer["Parameter"]["Value"]

    at_once(one, sorted({image for image in images if image.startswith(SSM)}))
    return found


def node_groups(region: Region) -> list[dict[str, Any]]:
    """The node groups of every EKS cluster."""
    eks = region.client("eks")
    clusters = region.all("eks", "list_clusters", "clusters")
    listed = at_once(lambda name: region.all("eks", "list_nodegroups", "nodegroups", clusterName=name), clusters)
    pairs = [(cluster, name) for cluster, names in zip(clusters, listed, strict=True) for name in names]

    def one(pair: tuple[str, str]) -> dict[str, Any]:
        answer: dict[str, Any] = eks.describe_nodegroup(clusterName=pair[0], nodegroupName=pair[1])["nodegroup"]
        return answer

    return at_once(one, pairs)


def _instances(region: Region, amis: Sequence[str]) -> list[dict[str, Any]]:
    parts = [list(amis[start : start + MOST_VALUES]) for start in range(0, len(amis), MOST_VALUES)]

    def one(part: list[str]) -> list[dict[str, Any]]:
        asked = filters(image_id=part, instance_state_name=LIVES)
        found = region.all("ec2", "describe_instances", "Reservations", page=MOST_IMAGES, Filters=asked)
        return [instance for each in found for instance in each["Instances"]]

    return [instance for part in at_once(one, parts) for instance in part]


def _mixed(group: Mapping[str, Any]) -> Mapping[str, Any]:
    mixed: Mapping[str, Any] = (group.get("MixedInstancesPolicy") or {}).get("LaunchTemplate") or {}
    return mixed


def _overrides(group: Mapping[str, Any]) -> list[str]:
    """The images that an auto scaling group names itself, for some of its instance types."""
    return [each["ImageId"] for each in _mixed(group).get("Overrides", []) if each.get("ImageId")]


def _specifications(group: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The launch templates that an auto scaling group names: its own, that of its mix, and those of instance types."""
    mixed = _mixed(group)
    named = [group.get("LaunchTemplate"), mixed.get("LaunchTemplateSpecification")]
    named += [each.get("LaunchTemplateSpecification") for each in mixed.get("Overrides", [])]
    # Instances that have not been replaced yet run what they were launched from.
    named += [each.get("LaunchTemplate") for each in group.get("Instances", [])]
    return [each for each in named if each]
