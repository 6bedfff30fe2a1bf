"""References to AMIs in a region: channels, launch templates, auto scaling groups, node groups, instances, accounts.

A reference is text that says where it is, for the reasons to keep an AMI.
"""

from collections import Counter
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
    """The launch templates of a region: images by id and version; names, default and latest versions by id."""

    images: dict[tuple[str, int], str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    defaults: dict[str, int] = field(default_factory=dict)
    latest: dict[str, int] = field(default_factory=dict)

    def image(self, specification: Mapping[str, Any]) -> str:
        """The image of a specified version; empty if there is no such version."""
        ids = {name: key for key, name in self.names.items()}
        name = specification.get("LaunchTemplateName") or specification.get("name") or ""
        key = specification.get("LaunchTemplateId") or specification.get("id") or ids.get(name, "")
        version = str(specification.get("Version") or specification.get("version") or "$Default")
        number = {"$Default": self.defaults.get(key), "$Latest": self.latest.get(key)}.get(version, version)
        return self.images.get((key, int(number)), "") if number else ""


def references(region: Region, amis: Sequence[str], *, without: Iterable[str] = ()) -> dict[str, list[str]]:
    """The references to each of `amis`, without those that have none; instances in `without` do not count.

    Takes a few calls per region for any number of AMIs; sharing, which needs one call per AMI, is in `shared`.
    """
    ours = set(amis)
    references_of: dict[str, list[str]] = {}
    parts: list[Callable[[], Any]] = [
        lambda: channels.holders(channels.read(region)),
        lambda: templates(region),
        lambda: region.all("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups"),
        lambda: region.all("autoscaling", "describe_launch_configurations", "LaunchConfigurations"),
        lambda: node_groups(region),
        lambda: _instances(region, amis),
    ]
    channels_of, launch_templates, groups, configurations, nodes, instances = at_once(lambda part: part(), parts)

    def note(image: str, reference: str) -> None:
        if image in ours and reference not in references_of.setdefault(image, []):
            references_of[image].append(reference)

    for image, names in channels_of.items():
        for name in names:
            note(image, f"channel {name}")
    images = [*launch_templates.images.values(), *(configuration["ImageId"] for configuration in configurations)]
    images += [image for group in groups for image in _overrides(group)]
    resolved = aliases(region, images)
    for (key, number), image in launch_templates.images.items():
        note(resolved.get(image, image), f"launch template {launch_templates.names[key]} version {number}")
    by_name = {configuration["LaunchConfigurationName"]: configuration["ImageId"] for configuration in configurations}
    for name, image in by_name.items():
        note(resolved.get(image, image), f"launch configuration {name}")
    for group in groups:
        group_images = [by_name.get(group.get("LaunchConfigurationName", ""), ""), *_overrides(group)]
        for image in group_images + [launch_templates.image(version) for version in _specifications(group)]:
            note(resolved.get(image, image), f"auto scaling group {group['AutoScalingGroupName']}")
    for node in nodes:
        # The release version of a node group with a custom AMI is that AMI.
        for image in (launch_templates.image(node.get("launchTemplate") or {}), node.get("releaseVersion", "")):
            note(resolved.get(image, image), f"EKS node group {node['clusterName']}/{node['nodegroupName']}")
    for instance in instances:
        if instance["InstanceId"] not in without:
            note(instance["ImageId"], f"instance {instance['InstanceId']}, {instance['State']['Name']}")
    return references_of


def shared(region: Region, amis: Sequence[str]) -> dict[str, list[str]]:
    """The accounts and organisations that `amis` are shared with, as references; one call per AMI."""
    answers = at_once(lambda ami: launch_permissions(region, ami), amis)
    return {
        ami: [f"shared with {next(iter(permission.values()))}" for permission in permissions]
        for ami, permissions in zip(amis, answers, strict=True)
        if permissions
    }


def templates(region: Region) -> Templates:
    """Every version of every launch template; latest and default by one query, templates with others by one each."""
    result = Templates()
    latest: dict[str, int] = {}
    for template in region.all("ec2", "describe_launch_templates", "LaunchTemplates", page=PAGE):
        key = template["LaunchTemplateId"]
        result.names[key] = template["LaunchTemplateName"]
        result.defaults[key], result.latest[key] = template["DefaultVersionNumber"], template["LatestVersionNumber"]
        latest[key] = template["LatestVersionNumber"]
    if not latest:
        return result

    def take(versions: Iterable[Mapping[str, Any]]) -> None:
        for template in versions:
            key = template["LaunchTemplateId"]
            result.names.setdefault(key, template.get("LaunchTemplateName", key))
            result.images[key, template["VersionNumber"]] = template["LaunchTemplateData"].get("ImageId", "")

    kind, key = "describe_launch_template_versions", "LaunchTemplateVersions"
    take(region.all("ec2", kind, key, page=PAGE, Versions=["$Latest", "$Default"]))
    counts = Counter(template for template, _ in result.images)
    older = [template for template, number in latest.items() if number > counts[template]]
    for versions in at_once(lambda template: region.all("ec2", kind, key, page=PAGE, LaunchTemplateId=template), older):
        take(versions)
    return result


def aliases(region: Region, images: Iterable[str]) -> dict[str, str]:
    """The current AMIs of `resolve:ssm:PARAMETER` aliases, by alias, without dangling ones."""
    resolved: dict[str, str] = {}

    def one(image: str) -> None:
        # One by one: a response for several does not repeat the requested name, version or ARN.
        with tolerated([]):
            answer = region.client("ssm").get_parameter(Name=image.removeprefix(SSM))
            resolved[image] = answer["Parameter"]["Value"]

    at_once(one, sorted({image for image in images if image.startswith(SSM)}))
    return resolved


def node_groups(region: Region) -> list[dict[str, Any]]:
    """The node groups of every EKS cluster."""
    eks = region.client("eks")
    clusters = region.all("eks", "list_clusters", "clusters")
    names_by_cluster = at_once(
        lambda name: region.all("eks", "list_nodegroups", "nodegroups", clusterName=name), clusters
    )
    pairs = [(cluster, name) for cluster, names in zip(clusters, names_by_cluster, strict=True) for name in names]

    def one(pair: tuple[str, str]) -> dict[str, Any]:
        answer: dict[str, Any] = eks.describe_nodegroup(clusterName=pair[0], nodegroupName=pair[1])["nodegroup"]
        return answer

    return at_once(one, pairs)


def _instances(region: Region, amis: Sequence[str]) -> list[dict[str, Any]]:
    parts = [list(amis[start : start + MOST_VALUES]) for start in range(0, len(amis), MOST_VALUES)]

    def one(part: list[str]) -> list[dict[str, Any]]:
        query = filters(image_id=part, instance_state_name=LIVES)
        reservations = region.all("ec2", "describe_instances", "Reservations", page=MOST_IMAGES, Filters=query)
        return [instance for reservation in reservations for instance in reservation["Instances"]]

    return [instance for part in at_once(one, parts) for instance in part]


def _mixed(group: Mapping[str, Any]) -> Mapping[str, Any]:
    mixed: Mapping[str, Any] = (group.get("MixedInstancesPolicy") or {}).get("LaunchTemplate") or {}
    return mixed


def _overrides(group: Mapping[str, Any]) -> list[str]:
    """The images of an auto scaling group's overrides for instance types."""
    return [override["ImageId"] for override in _mixed(group).get("Overrides", []) if override.get("ImageId")]


def _specifications(group: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The launch templates of an auto scaling group: its own, its mixed policy's, its overrides' and its instances'."""
    mixed = _mixed(group)
    specifications = [group.get("LaunchTemplate"), mixed.get("LaunchTemplateSpecification")]
    specifications += [override.get("LaunchTemplateSpecification") for override in mixed.get("Overrides", [])]
    # Instances that are not replaced yet keep their old template.
    specifications += [instance.get("LaunchTemplate") for instance in group.get("Instances", [])]
    return [specification for specification in specifications if specification]
