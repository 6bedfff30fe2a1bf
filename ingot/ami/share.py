"""Shares an AMI, its snapshots and its keys with accounts, organisations and organisational units."""

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
# KMS operations that an account needs to launch and copy:
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
    """The recipients: accounts by number, organisations and units by ARN."""

    accounts: list[str]
    organizations: list[str]
    units: list[str]

    @property
    def permissions(self) -> list[dict[str, str]]:
        """The recipients in EC2's form."""
        kinds = (
            ("UserId", self.accounts),
            ("OrganizationArn", self.organizations),
            ("OrganizationalUnitArn", self.units),
        )
        return [{key: name} for key, names in kinds for name in names]


def whom(accounts: Sequence[str], organizations: Sequence[str], units: Sequence[str]) -> With:
    """The recipients; UsageError if one is malformed, or there are none."""
    for kind, names, pattern, example in (
        ("account", accounts, ACCOUNT, "111122223333, 12 digits"),
        ("organisation", organizations, ORGANIZATION, "arn:aws:organizations::111122223333:organization/o-abcdefghij"),
        ("organisational unit", units, UNIT, "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab12-11111111"),
    ):
        for name in names:
            if not pattern.fullmatch(name):
                raise UsageError(f"not an {kind}: {name!r}", hint=f"for example {example}")
    if not (accounts or organizations or units):
        raise UsageError(
            "no account or organisation", hint="add --account 111122223333, --organization ARN or --ou ARN"
        )
    return With(*(list(dict.fromkeys(names)) for names in (accounts, organizations, units)))


def share(
    regions: Sequence[Region], reference: str, to: With, progress: Progress, *, dry_run: bool = False
) -> list[dict[str, Any]]:
    """Share an AMI in every region, with its snapshots and keys; returns the result per region.

    Checks everything first; adds the launch permission last, after all that a launch needs.
    """
    amis = dict(zip((region.name for region in regions), in_each(regions, reference, "share"), strict=True))
    keys = dict(
        zip(amis, everywhere(regions, "share", lambda region: _keys(region, amis[region.name], to)), strict=True)
    )

    def one(region: Region) -> dict[str, Any]:
        ami = amis[region.name]
        for key in keys[region.name] if not dry_run else []:
            for account in to.accounts:
                # KMS returns an existing grant of the same name and content instead of a new one.
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
        recipients = [next(iter(permission.values())) for permission in to.permissions]
        return {
            "region": region.name,
            "id": ami.id,
            "name": ami.name,
            "shared_with": recipients,
            "keys": keys[region.name],
        }

    with progress.phase(f"share in {', '.join(region.name for region in regions)}"):
        return everywhere(regions, "share", one)


def _keys(region: Region, ami: Ami, to: With) -> list[str]:
    """The keys that encrypt the snapshots; IngotError if one cannot be shared."""
    snapshots = region.all("ec2", "describe_snapshots", "Snapshots", SnapshotIds=ami.snapshots) if ami.snapshots else []
    keys = sorted({snapshot.get("KmsKeyId", "") for snapshot in snapshots if snapshot.get("Encrypted")})
    kms = region.client("kms")
    for key in keys:
        if kms.describe_key(KeyId=key)["KeyMetadata"]["KeyManager"] != "CUSTOMER":
            raise IngotError(
                f"{ami.id} is encrypted with the AWS managed key for EBS, which cannot be shared",
                place=region.name,
                hint=f"run `ingot ami copy {ami.id} --region {region.name} --to ANOTHER_REGION --kms-key alias/KEY` "
                "and share the copy, or build with --kms-key",
            )
    arns = [*to.organizations, *to.units]
    # A grant has one principal; only the key's policy can allow an organisation's accounts.
    organizations = {match[1] for arn in arns if (match := ORGANIZATION.fullmatch(arn) or UNIT.fullmatch(arn))}
    for key in keys if organizations else []:
        policy = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
        if missing := sorted(name for name in organizations if name not in policy):
            raise IngotError(
                f"the policy of {key} does not allow {', '.join(missing)}, whose accounts could not launch {ami.id}",
                place=region.name,
                hint=f"allow kms:{', kms:'.join(OPERATIONS)} in the policy if aws:PrincipalOrgID is {missing[0]}",
            )
    return keys
