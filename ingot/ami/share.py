"""Lets others use an AMI: accounts, organisations and their units; also its snapshots, and the keys they need."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ingot.ami.ami import Ami, in_each
from ingot.console import Progress
from ingot.errors import IngotError, UsageError
from ingot.sources.aws import Region, everywhere

ACCOUNT = re.compile(r"[0-9]{12}")
# https://docs.aws.amazon.com/organizations/latest/APIReference/API_Organization.html
ORGANIZATION = re.compile(r"arn:aws[a-z-]*:organizations::[0-9]{12}:organization/(o-[a-z0-9]{10,32})")
UNIT = re.compile(r"arn:aws[a-z-]*:organizations::[0-9]{12}:ou/(o-[a-z0-9]{10,32})/ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}")
# What an account needs of the key to launch and to copy:
# https://docs.aws.amazon.com/ebs/latest/userguide/share-kms-key.html
OPERATIONS = [
    "CreateGrant",
    "Decrypt",
    "DescribeKey",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
]


@dataclass(frozen=True)
class With:
    """Whom to share with: accounts by number, organisations and units by ARN."""

    accounts: list[str]
    organizations: list[str]
    units: list[str]

    @property
    def permissions(self) -> list[dict[str, str]]:
        """The same in EC2's form."""
        kinds = (
            ("UserId", self.accounts),
            ("OrganizationArn", self.organizations),
            ("OrganizationalUnitArn", self.units),
        )
        return [{key: each} for key, names in kinds for each in names]


def whom(accounts: Sequence[str], organizations: Sequence[str], units: Sequence[str]) -> With:
    """Whom to share with; UsageError where one of them is malformed, or there is nobody."""
    for kind, names, pattern, example in (
        ("account", accounts, ACCOUNT, "12 digits: 111122223333"),
        ("organisation", organizations, ORGANIZATION, "arn:aws:organizations::111122223333:organization/o-abcdefghij"),
        ("unit", units, UNIT, "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab12-11111111"),
    ):
        for name in names:
            if not pattern.fullmatch(name):
                raise UsageError(f"{name!r} is no {kind}", hint=example)
    if not (accounts or organizations or units):
        raise UsageError("nobody is named to share with", hint="--account 111122223333, --organization ARN or --ou ARN")
    return With(*(list(dict.fromkeys(names)) for names in (accounts, organizations, units)))


def share(
    regions: Sequence[Region], reference: str, to: With, progress: Progress, *, dry_run: bool = False
) -> list[dict[str, Any]]:
    """Share an AMI, in every region, with its snapshots and keys; what was shared in each.

    Everything is checked first; the permission to launch comes last, when all that a launch needs is there.
    """
    amis = dict(zip((region.name for region in regions), in_each(regions, reference, "share"), strict=True))
    keys = dict(
        zip(amis, everywhere(regions, "share", lambda region: _keys(region, amis[region.name], to)), strict=True)
    )

    def one(region: Region) -> dict[str, Any]:
        ami = amis[region.name]
        for key in keys[region.name] if not dry_run else []:
            for account in to.accounts:
                # A grant of the same name and content is the one there is: a second run makes no second grant.
                principal = f"arn:{key.split(':')[1]}:iam::{account}:root"
                region.client("kms").create_grant(
                    KeyId=key, GranteePrincipal=principal, Operations=OPERATIONS, Name=f"ingot-{account}"
                )
        for snapshot in ami.snapshots if to.accounts and not dry_run else []:
            region.ec2.modify_snapshot_attribute(
                SnapshotId=snapshot,
                Attribute="createVolumePermission",
                OperationType="add",
                UserIds=to.accounts,
            )
        if not dry_run:
            region.ec2.modify_image_attribute(ImageId=ami.id, LaunchPermission={"Add": to.permissions})
        named = [next(iter(each.values())) for each in to.permissions]
        return {"region": region.name, "id": ami.id, "name": ami.name, "shared_with": named, "keys": keys[region.name]}

    with progress.phase(f"share in {', '.join(region.name for region in regions)}"):
        return everywhere(regions, "share", one)


def _keys(region: Region, ami: Ami, to: With) -> list[str]:
    """The keys that its snapshots are encrypted with; IngotError where one of them cannot be shared."""
    found = region.all("ec2", "describe_snapshots", "Snapshots", SnapshotIds=ami.snapshots) if ami.snapshots else []
    keys = sorted({each.get("KmsKeyId", "") for each in found if each.get("Encrypted")})
    kms = region.client("kms")
    for key in keys:
        if kms.describe_key(KeyId=key)["KeyMetadata"]["KeyManager"] != "CUSTOMER":
            raise IngotError(
                f"{ami.id} is encrypted with AWS's own key for EBS, which cannot be shared",
                place=region.name,
                hint=f"ingot ami copy {ami.id} --region {region.name} --to ANOTHER_REGION --kms-key alias/KEY, "
                "and share that copy; or build with --kms-key",
            )
    arns = [*to.organizations, *to.units]
    # A grant is for one principal; an organisation's accounts are let in by the key's policy alone.
    organizations = {match[1] for arn in arns if (match := ORGANIZATION.fullmatch(arn) or UNIT.fullmatch(arn))}
    for key in keys if organizations else []:
        policy = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
        if lacking := sorted(name for name in organizations if name not in policy):
            raise IngotError(
                f"the policy of {key} does not let in {', '.join(lacking)}, whose accounts could not launch {ami.id}",
                place=region.name,
                hint=f"allow kms:{', kms:'.join(OPERATIONS)} in it where aws:PrincipalOrgID is {lacking[0]}",
            )
    return keys
