"""The least permissions of each `ingot ami` command, as IAM policy documents.

EC2's read calls do not support resources; write calls are limited to Ingot's tags and parameters.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from ingot.ami.channels import ROOT
from ingot.ami.share import OPERATIONS
from ingot.errors import UsageError
from ingot.yamlfile import nearest

EC2 = "arn:aws:ec2:*::"
OWN_EC2 = "arn:aws:ec2:*:*:"
IMAGE, SNAPSHOT = f"{EC2}image/*", f"{EC2}snapshot/*"
# Listing parameters below a path needs permission for the path itself: https://docs.aws.amazon.com/systems-manager/latest/userguide/
# sysman-paramstore-access.html
PARAMETERS = (f"arn:aws:ssm:*:*:parameter{ROOT.rstrip('/')}", f"arn:aws:ssm:*:*:parameter{ROOT}*")
OURS = {"Null": {"aws:ResourceTag/ingot:image": "false"}}
LEFT = {"Null": {"aws:ResourceTag/ingot:build": "false"}}
KEY = "arn:aws:kms:*:*:key/*"


@dataclass(frozen=True)
class Allow:
    """Actions on resources under a condition; `calls` is false for actions that AWS checks during another call."""

    actions: tuple[str, ...]
    on: tuple[str, ...] = ("*",)
    only: dict[str, Any] = field(default_factory=dict)
    calls: bool = True

    @property
    def statement(self) -> dict[str, Any]:
        """The statement of a policy."""
        parts: dict[str, Any] = {"Effect": "Allow", "Action": sorted(self.actions), "Resource": list(self.on)}
        return parts | ({"Condition": self.only} if self.only else {})


FIND = Allow(("ec2:DescribeImages",))
SNAPSHOTS = Allow(("ec2:DescribeSnapshots",))
SHARED_WITH = Allow(("ec2:DescribeImageAttribute",), (IMAGE,))
HELD = Allow(("ssm:GetParameters",), PARAMETERS)
HELD_ALL = Allow(("ssm:GetParametersByPath",), PARAMETERS)
HISTORY = Allow(("ssm:GetParameterHistory",), PARAMETERS)
WRITE = Allow(("ssm:PutParameter",), PARAMETERS)
# Restores a channel after a failed write; deletes the parameter if the channel was empty.
PUT_BACK = Allow(("ssm:DeleteParameter",), PARAMETERS)
REFERENCES = (
    Allow(
        (
            "autoscaling:DescribeAutoScalingGroups",
            "autoscaling:DescribeLaunchConfigurations",
            "batch:DescribeComputeEnvironments",
            "ec2:DescribeImageReferences",
            "ec2:DescribeInstances",
            "ec2:DescribeLaunchTemplates",
            "ec2:DescribeLaunchTemplateVersions",
            "eks:ListClusters",
            "eks:ListNodegroups",
            "eks:DescribeNodegroup",
        )
    ),
    HELD_ALL,
    # A launch template may name any parameter instead of an AMI.
    Allow(("ssm:GetParameter",), ("arn:aws:ssm:*:*:parameter/*",)),
)
COPY = (
    SNAPSHOTS,
    Allow(("ec2:CopyImage",), (IMAGE, SNAPSHOT)),
    Allow(("ec2:DeregisterImage",), (IMAGE,), OURS),
    Allow(("ec2:CreateTags",), (IMAGE, SNAPSHOT), {"StringEquals": {"ec2:CreateAction": "CopyImage"}}, calls=False),
    # EBS needs these on behalf of the caller: https://docs.aws.amazon.com/ebs/latest/userguide/
    # ebs-encryption-requirements.html
    Allow(
        (
            "kms:Decrypt",
            "kms:DescribeKey",
            "kms:GenerateDataKeyWithoutPlaintext",
            "kms:ReEncryptFrom",
            "kms:ReEncryptTo",
        ),
        (KEY,),
        {"StringLike": {"kms:ViaService": "ec2.*.amazonaws.com"}},
        calls=False,
    ),
    Allow(("kms:CreateGrant",), (KEY,), {"Bool": {"kms:GrantIsForAWSResource": "true"}}, calls=False),
)


def _own(*kinds: str) -> tuple[str, ...]:
    """The ARNs of all resources of these kinds in the account."""
    return tuple(f"{OWN_EC2}{kind}/*" for kind in kinds)


# What Packer and Ingot call, as a test records it, and what they call on a failure, with a key for modules, or with an
# instance profile: https://developer.hashicorp.com/packer/integrations/hashicorp/amazon#iam-task-or-instance-role
BUILD = (
    FIND,
    Allow(("ssm:GetParameter",), ("arn:aws:ssm:*::parameter/aws/service/*",)),
    Allow(
        (
            "ec2:DescribeInstances",
            "ec2:DescribeInstanceTypeOfferings",
            "ec2:DescribeRegions",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVolumes",
            "ec2:DescribeVpcs",
        )
    ),
    Allow(("ec2:DescribeInstanceStatus", "ec2:DescribeSpotPriceHistory", "ec2:DescribeTags"), calls=False),
    Allow(
        ("ec2:RunInstances", "ec2:CreateFleet"),
        (
            IMAGE,
            SNAPSHOT,
            *_own("fleet", "instance", "key-pair", "launch-template"),
            *_own("network-interface", "security-group", "subnet", "volume"),
        ),
    ),
    Allow(("ec2:CreateKeyPair", "ec2:CreateLaunchTemplate"), _own("key-pair", "launch-template")),
    Allow(("ec2:CreateSecurityGroup",), _own("security-group", "vpc")),
    Allow(
        ("ec2:CreateTags",),
        (IMAGE, SNAPSHOT, f"{OWN_EC2}*/*"),
        {
            "StringEquals": {
                "ec2:CreateAction": [
                    "CreateFleet",
                    "CreateImage",
                    "CreateKeyPair",
                    "CreateLaunchTemplate",
                    "CreateSecurityGroup",
                    "RegisterImage",
                    "RunInstances",
                ]
            }
        },
        calls=False,
    ),
    Allow(
        (
            "ec2:AuthorizeSecurityGroupIngress",
            "ec2:DeleteKeyPair",
            "ec2:DeleteLaunchTemplate",
            "ec2:DeleteSecurityGroup",
            "ec2:StopInstances",
            "ec2:TerminateInstances",
        ),
        _own("instance", "key-pair", "launch-template", "security-group"),
        LEFT,
    ),
    Allow(("ec2:CreateImage",), (IMAGE, SNAPSHOT, *_own("instance"))),
    Allow(
        ("ec2:CreateTags", "ec2:EnableImageDeprecation", "ec2:ModifyImageAttribute"),
        (IMAGE, SNAPSHOT),
        LEFT,
    ),
    Allow(("ec2:DeregisterImage", "ec2:DeleteSnapshot"), (IMAGE, SNAPSHOT), LEFT, calls=False),
    Allow(("ec2:DescribeSnapshots",), calls=False),
    Allow(("ec2:RegisterImage",), (IMAGE, SNAPSHOT), calls=False),
    Allow(("iam:GetInstanceProfile",), ("arn:aws:iam::*:instance-profile/*",), calls=False),
    Allow(
        ("iam:PassRole",),
        ("arn:aws:iam::*:role/*",),
        {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
        calls=False,
    ),
    Allow(
        ("ssm:StartSession", "ssm:TerminateSession"),
        ("arn:aws:ssm:*:*:session/*", "arn:aws:ssm:*:*:document/AWS-StartPortForwardingSession", *_own("instance")),
        calls=False,
    ),
    HELD,
    WRITE,
)

COMMANDS: dict[str, tuple[Allow, ...]] = {
    "build": BUILD,
    "list": (FIND, HELD_ALL),
    "show": (FIND, HELD, SHARED_WITH, *REFERENCES),
    "diff": (FIND, HELD),
    "share": (
        FIND,
        HELD,
        SNAPSHOTS,
        Allow(("ec2:ModifyImageAttribute",), (IMAGE,), OURS),
        Allow(("ec2:ModifySnapshotAttribute",), (SNAPSHOT,), OURS),
        Allow(("kms:DescribeKey", "kms:GetKeyPolicy"), (KEY,)),
        Allow(("kms:CreateGrant",), (KEY,), {"ForAllValues:StringEquals": {"kms:GrantOperations": OPERATIONS}}),
    ),
    "copy": (FIND, HELD, *COPY),
    "promote": (FIND, HELD, WRITE, PUT_BACK, *COPY),
    "publish": (FIND, HELD, WRITE, PUT_BACK),
    "rollback": (FIND, HELD, HISTORY, WRITE),
    "deprecate": (
        FIND,
        HELD,
        *REFERENCES,
        Allow(("ec2:EnableImageDeprecation", "ec2:DisableImage"), (IMAGE,), OURS),
    ),
    "gc": (
        FIND,
        SNAPSHOTS,
        SHARED_WITH,
        HISTORY,
        *REFERENCES,
        Allow(("ec2:DeregisterImage",), (IMAGE,), OURS),
        Allow(("ec2:DeleteSnapshot",), (SNAPSHOT,), OURS),
    ),
    "sweep": (
        FIND,
        SNAPSHOTS,
        *REFERENCES,
        Allow(("ec2:DescribeVolumes", "ec2:DescribeKeyPairs", "ec2:DescribeSecurityGroups")),
        Allow(
            (
                "ec2:TerminateInstances",
                "ec2:DeleteVolume",
                "ec2:DeleteLaunchTemplate",
                "ec2:DeleteKeyPair",
                "ec2:DeleteSecurityGroup",
            ),
            _own("instance", "volume", "launch-template", "key-pair", "security-group"),
            LEFT,
        ),
        Allow(("ec2:DeregisterImage", "ec2:DeleteSnapshot"), (IMAGE, SNAPSHOT), LEFT),
    ),
}


def called(command: str) -> set[str]:
    """The actions that the command calls itself."""
    return {action for allow in _allowed(command) if allow.calls for action in allow.actions}


def document(command: str) -> str:
    """The policy of a command, as JSON."""
    statements = [allow.statement for allow in _allowed(command)]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)


def _allowed(command: str) -> tuple[Allow, ...]:
    if command not in COMMANDS:
        raise UsageError(f"unknown command {command!r}", hint=nearest(command, COMMANDS))
    return COMMANDS[command]
