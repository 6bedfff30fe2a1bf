"""What Packer says of EC2 becomes one error that says what to do."""

import pytest

from ingot.ami.failures import explained
from ingot.image.packer import PackerError

# As EC2 words it, and as SDKs for Go of both versions print it:
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/security_iam_troubleshoot.html
UNAUTHORIZED = "UnauthorizedOperation: You are not authorized to perform this operation."
NAMED = f"{UNAUTHORIZED} User: arn:aws:iam::1:user/a is not authorized to perform: ec2:CreateKeyPair on resource: b"
SECOND = f"operation error EC2: CreateKeyPair, https response error StatusCode: 403, api error {UNAUTHORIZED}"
POLICY = "allow what `ingot ami policy build` prints; full log: build.log"


def failing(said: str) -> PackerError:
    error = PackerError("Packer failed (exit 1)", hint="full log: build.log")
    error.said = f"==> rig.amazon-ebs.image: Launching a source AWS instance...\n==> rig.amazon-ebs.image: {said}\n"
    return error


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        (NAMED, "AWS refused ec2:CreateKeyPair", POLICY),
        (SECOND, "AWS refused ec2:CreateKeyPair", POLICY),
        (UNAUTHORIZED, "AWS refused a call", POLICY),
        ("Timeout waiting for SSH.", "the builder never answered by ssh", "--instance-profile; full log: build.log"),
        (
            "not ready: apt's lock is still held after 600 s by unattended-upgr (process 812)",
            "the builder never became ready: apt's lock is still held after 600 s by unattended-upgr (process 812)",
            "full log: build.log",
        ),
    ],
)
def test_an_error_names_what_is_wrong_the_region_and_what_to_do(said: str, message: str, hint: str) -> None:
    error = explained(failing(said), "us-east-1")
    assert (error.message, error.place) == (message, "us-east-1")
    assert error.hint.endswith(hint)


def test_what_is_not_known_stays_as_packer_says_it() -> None:
    error = failing("Error creating AMI: InternalError: An internal error has occurred")
    assert explained(error, "us-east-1") is error
