"""A template for Image Builder where AWS is asked: which base image a region has, and what a deployment makes.

moto's CloudFormation has the roles and the instance profile; it does not know AWS::ImageBuilder::Component,
ImageRecipe, InfrastructureConfiguration, DistributionConfiguration and ImagePipeline, which it passes over with a
warning. Whether these are as AWS takes them is for cfn-lint to say.
"""

from typing import Any

import boto3
import pytest
import yaml

from ingot.ami.capacity import Options
from ingot.catalog.read import read_catalog
from ingot.export.image_builder import export
from ingot.lock import select
from ingot.sources.ec2 import Base
from tests.aws.names import REGION
from tests.rigs.emulator import publish_parameter

UNKNOWN = "Component", "ImageRecipe", "InfrastructureConfiguration", "DistributionConfiguration", "ImagePipeline"
GIVEN = {
    "RootDevice": "/dev/xvda",
    "SourceBucket": "bucket",
    "SourceKey": "ingot/source.tar.gz",
    "SourceSha256": "0" * 64,
    "Subnet": "subnet-01234567",
    "SecurityGroup": "sg-01234567",
}


def template(region: str = "") -> str:
    catalog = read_catalog()
    selection = select.image(catalog, catalog.target("2026.11", "debian12", "x86_64"), "ec2-cpu")
    return export(selection, Options(region), catalog, "test")[0]


def test_with_a_region_the_base_image_is_the_one_that_it_has(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingot.sources.ec2.base_image", lambda *_: Base("ami-0123456789abcdef0", "/dev/xvda", 100))
    found = yaml.safe_load(template(REGION))["Parameters"]
    assert (found["ParentImage"]["Type"], found["ParentImage"]["Default"]) == (
        "AWS::EC2::Image::Id",
        "ami-0123456789abcdef0",
    )
    assert found["RootDevice"]["Default"] == "/dev/xvda"
    # An image is not put onto a volume that is smaller than its own.
    assert (found["VolumeGib"]["Default"], found["VolumeGib"]["MinValue"]) == (100, 100)


def deploy(**parameters: str) -> Any:
    client = boto3.client("cloudformation", REGION)
    body = template()
    name = yaml.safe_load(body)["Parameters"]["ParentImage"]["Default"]
    publish_parameter(REGION, name, "ami-01234567")
    listed = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    client.create_stack(StackName="ingot", TemplateBody=body, Parameters=listed, Capabilities=["CAPABILITY_IAM"])
    return client


def statements(document: Any) -> list[dict[str, Any]]:
    """The statements of a policy, which moto gives as text or as data."""
    found: list[dict[str, Any]] = (yaml.safe_load(document) if isinstance(document, str) else document)["Statement"]
    return found


@pytest.mark.filterwarnings("ignore:Tried to parse AWS..ImageBuilder")
def test_a_deployment_makes_roles_that_may_no_more_than_they_need(aws: None) -> None:
    client = deploy(**GIVEN)
    assert client.describe_stacks(StackName="ingot")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
    iam = boto3.client("iam", REGION)
    allowed = {
        policy: [(each["Action"], each["Resource"]) for each in statements(found["PolicyDocument"])]
        for role in iam.list_roles()["Roles"]
        for policy in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
        for found in [iam.get_role_policy(RoleName=role["RoleName"], PolicyName=policy)]
    }
    parameter = "arn:aws:ssm:us-east-1:123456789012:parameter/ingot/candidate/ec2-cpu/debian12/x86_64"
    assert allowed == {
        "source": [("s3:GetObject", "arn:aws:s3:::bucket/ingot/source.tar.gz")],
        "channel": [("ssm:PutParameter", parameter), ("ec2:DescribeImages", "*")],
    }
    (profile,) = iam.list_instance_profiles()["InstanceProfiles"]
    (role,) = profile["Roles"]
    assert statements(role["AssumeRolePolicyDocument"])[0]["Principal"] == {"Service": "ec2.amazonaws.com"}


def test_the_types_that_the_emulator_does_not_know_are_these(aws: None) -> None:
    with pytest.warns(UserWarning, match="Tried to parse AWS::ImageBuilder") as warned:
        deploy(**GIVEN)
    said = {str(each.message).partition("AWS::ImageBuilder::")[2].partition(" ")[0] for each in warned}
    assert said == set(UNKNOWN)


@pytest.mark.parametrize("missing", GIVEN)
def test_a_deployment_without_what_only_the_user_knows_is_refused(aws: None, missing: str) -> None:
    given = {name: value for name, value in GIVEN.items() if name != missing}
    with pytest.raises(Exception, match=missing):
        deploy(**given)
