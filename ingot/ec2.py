"""Asks EC2 which instance types there are; the only module that talks to AWS, and boto3 is imported only here."""

from importlib import import_module
from typing import Any

from ingot.errors import IngotError, UsageError
from ingot.yamlfile import nearest

INSTEAD = "or take a file: aws ec2 describe-instance-types --output json > FILE"
RENEW = "renew the credentials, for example with `aws sso login`"
# By the error's code, or by its class where AWS was not reached.
HINTS = {
    "NoCredentialsError": f"set AWS_PROFILE, or log in with `aws sso login`, {INSTEAD}",
    "ExpiredToken": RENEW,
    "ExpiredTokenException": RENEW,
    "RequestExpired": RENEW,
    "AuthFailure": "the credentials are not valid in this region: it may have to be enabled for the account",
    "UnauthorizedOperation": "allow ec2:DescribeInstanceTypes",
    "EndpointConnectionError": f"is there a network? {INSTEAD}",
}


def instance_types(regions: list[str]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Each type's entry by name, from all `regions` together (else the profile's own), and the regions asked."""
    try:
        boto3, exceptions = import_module("boto3"), import_module("botocore.exceptions")
    except ImportError:
        raise IngotError("boto3 is not installed", hint=f"pip install boto3, {INSTEAD}") from None
    found: dict[str, dict[str, Any]] = {}
    try:
        session = boto3.Session()
        regions = regions or [session.region_name or ""]
        known = {
            region
            for partition in session.get_available_partitions()
            for region in session.get_available_regions("ec2", partition)
        }
        for region in regions:
            if region not in known:
                what = f"unknown region {region!r}" if region else "no region is set"
                raise UsageError(what, hint=f"--region: {nearest(region, known)}")
        for region in regions:
            client = session.client("ec2", region_name=region)
            for page in client.get_paginator("describe_instance_types").paginate():
                found.update((entry["InstanceType"], entry) for entry in page["InstanceTypes"])
    except (exceptions.BotoCoreError, exceptions.ClientError) as error:
        name = getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__)
        raise IngotError(f"EC2 did not answer: {error}", place=", ".join(regions), hint=HINTS.get(name, "")) from None
    return found, regions
