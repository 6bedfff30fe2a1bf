"""References to AMIs in a region: channels and other parameters, launch templates, auto scaling groups, node groups,
compute environments of AWS Batch, recipes of Image Builder, instances, accounts.

A reference is text that says where it is, for the reasons to keep an AMI.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingot.ami import channels
from ingot.ami.ami import MOST_IMAGES, MOST_VALUES, PAGE, filters, launch_permissions
from ingot.sources.aws import Region, at_once, tolerated

SSM = "resolve:ssm:"
LIVES = ["pending", "running", "stopping", "stopped"]
# What EC2 is asked for, and its name for people. It knows launch templates and instances as well, but no more of those
# than is read here: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-ami-references.html
ASKED = {
    "ssm:Parameter": "parameter",
    "imagebuilder:ImageRecipe": "Image Builder recipe",
    "imagebuilder:ContainerRecipe": "Image Builder container recipe",
}


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
        # EC2 Auto Scaling, EKS and AWS Batch each write the keys in a way of their own.
        said = {key.lower().removeprefix("launchtemplate"): value for key, value in specification.items()}
        name = said.get("name") or ""
        key = said.get("id") or ids.get(name, "")
        version = str(said.get("version") or "$Default")
        number = {"$Default": self.defaults.get(key), "$Latest": self.latest.get(key)}.get(version, version)
        return self.images.get((key, int(number)), "") if number else ""


def references(region: Region, amis: Sequence[str], *, without: Collection[str] = ()) -> dict[str, list[str]]:
    """The references to each of `amis` that has some; instances and templates in `without` do not count.

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
        lambda: region.all("batch", "describe_compute_environments", "computeEnvironments"),
        lambda: _instances(region, amis),
        lambda: _asked(region, amis),
    ]
    answers = at_once(lambda part: part(), parts)
    channels_of, launch_templates, groups, configurations, nodes, environments, instances, asked = answers

    def note(image: str, reference: str) -> None:
        if image in ours and reference not in references_of.setdefault(image, []):
            references_of[image].append(reference)

    for image, names in channels_of.items():
        for name in names:
            note(image, f"channel {name}")
    images = [*launch_templates.images.values(), *(configuration["ImageId"] for configuration in configurations)]
    images += [image for group in groups for image in _overrides(group)]
    images += [image for environment in environments for image in _of_batch(environment, launch_templates)]
    resolved = aliases(region, images)
    for (key, number), image in launch_templates.images.items():
        if key in without:
            continue
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
    for environment in environments:
        for image in _of_batch(environment, launch_templates):
            note(
                resolved.get(image, image), f"compute environment {environment['computeEnvironmentName']} of AWS Batch"
            )
    for answer in asked:
        kind, name = answer["ResourceType"], _name(answer["Arn"])
        # Channels are parameters too, and have been named.
        if not name.startswith(channels.ROOT):
            note(answer["ImageId"], f"{ASKED.get(kind, kind)} {name}")
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


def _asked(region: Region, amis: Sequence[str]) -> list[dict[str, str]]:
    """What EC2 itself knows to refer to `amis`, of the kinds in ASKED."""
    parts = [list(amis[start : start + MOST_VALUES]) for start in range(0, len(amis), MOST_VALUES)]
    kinds = [{"ResourceType": kind} for kind in ASKED]
    answers = at_once(
        lambda part: region.all(
            "ec2", "describe_image_references", "ImageReferences", ImageIds=part, ResourceTypes=kinds
        ),
        parts,
    )
    return [answer for part in answers for answer in part]


def _name(arn: str) -> str:
    """`/team/ami` of a parameter's ARN, `ami` of one without folders, `train/1.0.0` of a recipe's."""
    kind, slash, name = arn.split(":", 5)[-1].partition("/")
    return f"/{name}" if kind == "parameter" and "/" in name else name if slash else kind


def _of_batch(environment: Mapping[str, Any], launch_templates: Templates) -> list[str]:
    """The images of a compute environment: its own, those of its kinds of images, and those of its launch templates."""
    resources: Mapping[str, Any] = environment.get("computeResources") or {}
    template = resources.get("launchTemplate") or {}
    images = [
        resources.get("imageId"),
        *(kind.get("imageIdOverride") for kind in resources.get("ec2Configuration", [])),
    ]
    images += [launch_templates.image(each) for each in (template, *template.get("overrides", [])) if each]
    return [image for image in images if image]


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
