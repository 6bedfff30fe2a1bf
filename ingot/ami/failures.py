"""Failures of a build in EC2 that Packer reports in its own words, as errors that say what to do."""

import re

from ingot.errors import IngotError
from ingot.image.packer import PackerError
from ingot.sources.aws import ALLOW, needs

# What packer/ready.sh prints.
NOT_READY = re.compile(r"not ready: (.+)$", re.MULTILINE)
# Packer's own words: internal/communicator/step_connect_ssh.go of packer-plugin-sdk.
NO_LOGIN = re.compile(r"Timeout waiting for SSH|Error waiting for SSH: \S.*$", re.MULTILINE)
# EC2 names the action in its message, or the SDK before it, or nobody:
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/security_iam_troubleshoot.html
DENIED = re.compile(r"\b(?:UnauthorizedOperation|AccessDenied)\b")
ACTION = re.compile(r"is not authorized to perform: ([\w:-]+)")
OPERATION = re.compile(r"operation error (\w+): (\w+),[^\n]*\b(?:UnauthorizedOperation|AccessDenied)\b")


def explained(error: PackerError, region: str) -> IngotError:
    """The error behind Packer's, or Packer's own."""
    if match := NOT_READY.search(error.said):
        return IngotError(f"the builder never became ready: {match[1]}", place=region, hint=error.hint)
    if DENIED.search(error.said):
        hint = f"{ALLOW.format(needs=needs('build'))}; {error.hint}"
        return IngotError(f"AWS refused {_action(error.said)}", place=region, hint=hint)
    if NO_LOGIN.search(error.said):
        return IngotError(
            "the builder never answered by ssh",
            place=region,
            hint="its subnet needs a route to the internet and public addresses: use another --subnet, or log in by "
            f"Session Manager with --instance-profile; {error.hint}",
        )
    return error


def _action(said: str) -> str:
    """The action that the credentials do not allow, as policies name it."""
    if match := ACTION.search(said):
        return match[1]
    if match := OPERATION.search(said):
        return f"{match[1].lower()}:{match[2]}"
    return "a call"
