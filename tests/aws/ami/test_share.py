"""What is shared can be used: the AMI, its snapshots and its keys; what could not be is refused before anything is."""

import json

import pytest
from moto.kms.models import kms_backends

from tests.aws.names import ACCOUNT, OTHER, REGION
from tests.aws.world import ami, answer, calls, client, refusing, second_disk, snapshots, with_disks
from tests.commandline import ingot

pytestmark = pytest.mark.usefixtures("aws")
ORGANIZATION = "arn:aws:organizations::111122223333:organization/o-abcdefghij"
UNIT = "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab12-11111111"


def permissions(made: str, region: str = REGION) -> list[dict[str, str]]:
    found: list[dict[str, str]] = client("ec2", region).describe_image_attribute(
        ImageId=made, Attribute="launchPermission"
    )["LaunchPermissions"]
    return found


def test_accounts_organisations_and_units_may_launch_it_and_accounts_may_copy_its_snapshots() -> None:
    made = ami()
    rows = answer(
        ingot("ami", "share", made, "--account", "111122223333", "--organization", ORGANIZATION, "--ou", UNIT, "--json")
    )
    assert permissions(made) == [
        {"UserId": "111122223333"},
        {"OrganizationArn": ORGANIZATION},
        {"OrganizationalUnitArn": UNIT},
    ]
    (snapshot,) = snapshots(made)
    allowed = client("ec2").describe_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission")
    assert allowed["CreateVolumePermissions"] == [{"UserId": "111122223333"}]
    assert rows[0]["shared_with"] == ["111122223333", ORGANIZATION, UNIT]


def test_every_account_may_copy_every_snapshot() -> None:
    made = ami()
    second_disk(made)
    accounts = ["111122223333", "444455556666"]
    words = [word for account in accounts for word in ("--account", account)]
    assert ingot("ami", "share", made, *words).returncode == 0
    assert [permission["UserId"] for permission in permissions(made)] == accounts
    assert len(snapshots(made)) == 2
    for snapshot in snapshots(made):
        allowed = client("ec2").describe_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission")
        assert sorted(permission["UserId"] for permission in allowed["CreateVolumePermissions"]) == accounts


def test_an_ami_without_snapshots_asks_for_those_of_no_other() -> None:
    """EC2 takes an empty list of snapshots for all that there are."""
    made = ami()
    ami(key=client("kms").create_key()["KeyMetadata"]["Arn"])
    with_disks(made, [])
    with calls() as noted:
        assert ingot("ami", "share", made, "--account", "111122223333").returncode == 0
    assert {"DescribeSnapshots", "CreateGrant", "ModifySnapshotAttribute"}.isdisjoint(noted.names())


def test_an_encrypted_ami_is_shared_with_its_key_and_a_second_time_with_no_second_grant() -> None:
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    made = ami(key=key)
    for _ in range(2):
        assert ingot("ami", "share", made, "--account", "111122223333", "--account", "444455556666").returncode == 0
    grants = client("kms").list_grants(KeyId=key)["Grants"]
    assert sorted(grant["GranteePrincipal"] for grant in grants) == [
        "arn:aws:iam::111122223333:root",
        "arn:aws:iam::444455556666:root",
    ]
    assert {"Decrypt", "CreateGrant", "DescribeKey", "ReEncryptFrom"} <= set(grants[0]["Operations"])


def test_what_aws_own_key_encrypts_is_refused_with_the_way_out() -> None:
    key = client("kms").create_key()["KeyMetadata"]
    kms_backends[ACCOUNT][REGION].keys[key["KeyId"]].key_manager = "AWS"
    made = ami(key=key["Arn"])
    with calls() as noted:
        done = ingot("ami", "share", made, "--account", "111122223333")
    assert done.returncode == 1
    assert "cannot be shared" in done.stderr
    assert f"ingot ami copy {made}" in done.stderr
    assert not [name for name in noted.names() if name.startswith(("Modify", "Create"))]


def test_an_organisation_needs_the_policy_of_the_key_to_let_it_in() -> None:
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    made = ami(key=key)
    done = ingot("ami", "share", made, "--organization", ORGANIZATION)
    assert done.returncode == 1
    assert "aws:PrincipalOrgID is o-abcdefghij" in done.stderr
    assert permissions(made) == []
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": "*",
                "Action": "kms:*",
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-abcdefghij"}},
            }
        ],
    }
    client("kms").put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))
    assert ingot("ami", "share", made, "--organization", ORGANIZATION).returncode == 0
    assert permissions(made) == [{"OrganizationArn": ORGANIZATION}]


@pytest.mark.parametrize(
    "words",
    [
        ("--account", "11112222333"),
        ("--account", "1111-2222-3333"),
        ("--account", "111122223333", "--account", "me"),
        ("--account", "١١١١٢٢٢٢٣٣٣٣"),
        ("--organization", "o-abcdefghij"),
        ("--ou", ORGANIZATION),
        (),
    ],
)
def test_whom_there_cannot_be_is_refused_before_aws_is_asked(words: tuple[str, ...]) -> None:
    with calls() as made:
        done = ingot("ami", "share", "ami-1", *words)
    assert done.returncode == 2
    assert "hint: " in done.stderr
    assert made.made == []


def test_copies_are_shared_too_and_a_region_without_one_is_named_before_anything_is_shared() -> None:
    made = ami()
    words = ["ami", "share", made, "--account", "111122223333", "--region", REGION, "--region", OTHER]
    done = ingot(*words)
    assert done.returncode == 1
    assert f"ingot ami copy {made} --region {REGION} --to {OTHER}" in done.stderr
    assert permissions(made) == []
    copied = answer(ingot("ami", "copy", made, "--to", OTHER, "--json"))[0]["id"]
    assert ingot(*words).returncode == 0
    assert permissions(copied, OTHER) == [{"UserId": "111122223333"}]


def test_a_key_that_is_denied_is_an_error_and_nobody_may_launch_what_they_could_not_read() -> None:
    made = ami(key=client("kms").create_key()["KeyMetadata"]["Arn"])
    with calls(refusing("CreateGrant", "AccessDeniedException")):
        done = ingot("ami", "share", made, "--account", "111122223333")
    assert done.returncode == 1
    assert "a key's own policy has to allow its part as well" in done.stderr
    assert permissions(made) == []


def test_a_dry_run_changes_nothing() -> None:
    made = ami()
    done = ingot("ami", "share", made, "--account", "111122223333", "--dry-run")
    assert (done.returncode, permissions(made)) == (0, [])
    assert "would be shared with 111122223333" in done.stdout
