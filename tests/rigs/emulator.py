"""What moto lacks of EC2, Parameter Store and KMS, added to its own backends: the product's calls stay as they are.

EC2: deprecation; images of instances, with their snapshots' tags, and of snapshots; copies with tags, encryption and
a time in which they are pending; pages of images; which parameters and recipes refer to images; an index of tags, for
moto searches all tags of a region for each resource; the request of a spot instance. Parameter Store: a parameter of
AMIs takes only those there are, and says nothing of others. KMS: a grant that is asked for again by its name is the
same one.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.responses import ActionResult
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import AmiBackend
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.models.spot_requests import SpotInstanceRequest
from moto.ec2.responses.amis import AmisResponse
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix
from moto.kms.models import KmsBackend
from moto.ssm.models import Parameter, ssm_backends
from moto.ssm.responses import SimpleSystemManagerResponse
from moto.ssm.utils import parameter_arn

# How long a copy is pending, in seconds.
copying = 0.0
PAGE = 400
# Recipes of Image Builder, which moto does not have: image and ARN.
recipes: list[tuple[str, str]] = []

_create_image = AmiBackend.create_image
_copy_image = AmisResponse.copy_image
_describe_images = AmisResponse.describe_images
_register_image = AmisResponse.register_image
_launch_instance = SpotInstanceRequest.launch_instance
_put_parameter = SimpleSystemManagerResponse.put_parameter
_create_grant = KmsBackend.create_grant
_process = BotocoreStubber.process_request
# moto's backends are not made for several threads at a time.
_one_at_a_time = threading.RLock()


def _tags(self: Any) -> list[dict[str, str]]:
    kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(self.id), "") if self.id else ""
    found = self.ec2_backend.tags.get(self.id, {}) if self.id else {}
    return [{"resource_id": self.id, "key": key, "value": value, "resource_type": kind} for key, value in found.items()]


def _copied(self: Any) -> Any:
    answer: Any = _copy_image(self)
    ami = self.ec2_backend.amis[answer._result["ImageId"]]
    source = ec2_backends[self.current_account][self._get_param("SourceRegion")].amis[self._get_param("SourceImageId")]
    snapshot = ami.ebs_snapshot
    snapshot.description = f"Copied for DestinationAmi {ami.id} from SourceAmi {source.id} for SourceSnapshot snap-1"
    snapshot.encrypted = self._get_bool_param("Encrypted", False) or source.ebs_snapshot.encrypted
    own = f"arn:aws:kms:{self.region}:{self.current_account}:key/aws-ebs"
    snapshot.kms_key_id = (self._get_param("KmsKeyId") or own) if snapshot.encrypted else None
    tags = self._parse_tag_specification()
    ami.add_tags(tags.get("image", {}))
    snapshot.add_tags(tags.get("snapshot", {}))
    ami.source_image_id, ami.source_image_region = source.id, self._get_param("SourceRegion")
    ami.state, ami.ready = "pending", time.monotonic() + copying
    return answer


def _pages(self: Any) -> Any:
    for ami in self.ec2_backend.amis.values():
        if ami.state == "pending" and time.monotonic() >= ami.ready:
            ami.state = "available"
    answer: Any = _describe_images(self)
    if limit := self._get_int_param("MaxResults"):
        start, size = int(self._get_param("NextToken") or 0), min(limit, PAGE)
        images = answer._result["Images"]
        answer._result["Images"] = images[start : start + size]
        if start + size < len(images):
            answer._result["NextToken"] = str(start + size)
    return answer


def _image_made(self: Any, instance: str, name: str, description: str, tag_specifications: list[Any]) -> Any:
    mine = [each for each in tag_specifications if each["ResourceType"] != "snapshot"]
    ami = _create_image(self, instance, name, description, tag_specifications=mine)
    # moto takes nothing of this over from the instance's own image.
    base = self.amis.get(self.get_instance(instance).image_id)
    ami.root_device_type, ami.root_device_name = "ebs", base.root_device_name if base else "/dev/xvda"
    for each in tag_specifications:
        if each["ResourceType"] == "snapshot":
            ami.ebs_snapshot.add_tags({tag["Key"]: tag["Value"] for tag in each["Tags"]})
    return ami


def _registered(self: Any) -> Any:
    answer: Any = _register_image(self)
    ami = self.ec2_backend.amis[answer._result["ImageId"]]
    # Tests make images by their names alone.
    for device in self._get_param("BlockDeviceMappings", []):
        made, ami.ebs_snapshot = ami.ebs_snapshot, self.ec2_backend.get_snapshot(device["Ebs"]["SnapshotId"])
        made.from_ami = None
        self.ec2_backend.delete_snapshot(made.id)
        ami.registered_from, ami.ebs_snapshot.from_ami = ami.ebs_snapshot.from_ami, ami.id
        ami.root_device_type, ami.root_device_name = "ebs", self._get_param("RootDeviceName")
        ami.architecture, ami.virtualization_type = self._get_param("Architecture"), "hvm"
        ami.boot_mode, ami.uefi = self._get_param("BootMode"), self._get_param("UefiData")
        ami.add_tags(self._parse_tag_specification().get("image", {}))
    return answer


def _bought(self: Any) -> Any:
    instance: Any = _launch_instance(self)
    instance.spot_instance_request_id = self.id
    return instance


def _deprecated(self: Any) -> ActionResult:
    (ami,) = self.ec2_backend.describe_images(ami_ids=[self._get_param("ImageId")])
    ami.deprecation_time = str(self._get_param("DeprecateAt"))
    return ActionResult({"Return": True})


def _referring(self: Any) -> ActionResult:
    ours, kinds = self._get_param("ImageIds"), {each["ResourceType"] for each in self._get_param("ResourceTypes")}
    parameters = ssm_backends[self.current_account][self.region]._parameters.values()
    found = [(each[-1].value, parameter_arn(self.current_account, self.region, each[-1].name)) for each in parameters]
    answer = [("ssm:Parameter", *each) for each in found] + [("imagebuilder:ImageRecipe", *each) for each in recipes]
    listed = [{"ResourceType": kind, "ImageId": image, "Arn": arn} for kind, image, arn in answer if image in ours]
    return ActionResult({"ImageReferences": [each for each in listed if each["ResourceType"] in kinds]})


def _written(self: Any) -> ActionResult:
    images = ec2_backends[self.current_account][self.region].amis
    if self._get_param("DataType") == "aws:ec2:image" and self._get_param("Value") not in images:
        # Parameter Store looks later, and then forgets it.
        return ActionResult({"Version": 1, "Tier": "Standard"})
    return _put_parameter(self)


def _granted(self: Any, key_id: str, grantee_principal: str, operations: list[str], name: str, **more: Any) -> Any:
    for grant in self.list_grants(key_id, None):
        if name and (grant.name, grant.grantee_principal, grant.operations) == (name, grantee_principal, operations):
            return grant.id, grant.token
    return _create_grant(self, key_id, grantee_principal, operations, name, **more)


def _processed(self: Any, request: Any) -> Any:
    with _one_at_a_time:
        return _process(self, request)


# In the place of what moto has.
MENDED: list[tuple[Any, str, Any]] = [
    (TaggedEC2Resource, "get_tags", _tags),
    (AmiBackend, "create_image", _image_made),
    (AmisResponse, "copy_image", _copied),
    (AmisResponse, "describe_images", _pages),
    (AmisResponse, "register_image", _registered),
    (AmisResponse, "describe_image_references", _referring),
    (AmisResponse, "enable_image_deprecation", _deprecated),
    (SpotInstanceRequest, "launch_instance", _bought),
    (SimpleSystemManagerResponse, "put_parameter", _written),
    (KmsBackend, "create_grant", _granted),
    (BotocoreStubber, "process_request", _processed),
]


def publish_parameter(region: str, name: str, value: str) -> None:
    """Make a parameter of AWS's own, which PutParameter lets nobody write."""
    own: Any = Parameter
    parameter = own(DEFAULT_ACCOUNT_ID, name, value, "String", None, None, None, datetime.now(UTC), 1, "text")
    ssm_backends[DEFAULT_ACCOUNT_ID][region]._parameters[name] = [parameter]


@contextmanager
def mended() -> Iterator[None]:
    """moto with what it lacks."""
    with ExitStack() as stack:
        for owner, name, function in MENDED:
            stack.enter_context(patch.object(owner, name, function, create=True))
        yield


@contextmanager
def emulated() -> Iterator[None]:
    """AWS in this process, with nothing in it."""
    recipes.clear()
    with mended(), mock_aws():
        yield
