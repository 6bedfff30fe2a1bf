"""Channels: parameters /ingot/CHANNEL/IMAGE/OS/ARCH, each with the id of the AMI to launch next.

The parameter's history has a channel's previous AMIs; rolled back versions are marked in their description.
"""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingot.errors import IngotError, UsageError
from ingot.sources.aws import Region, at_once, everywhere, tolerated

ROOT = "/ingot/"
CANDIDATE, STABLE = "candidate", "stable"
CHANNEL = re.compile(r"[a-z][a-z0-9-]*")
# Parameter Store checks the AMI after it has responded, and drops a value without an AMI:
# https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-ec2-aliases.html
DATA_TYPE = "aws:ec2:image"
SECONDS_TO_APPEAR = 60.0
POLL_SECONDS = 0.5
TAKEN_BACK = "Taken back to what it held before."
# Limit of parameters per call.
MOST_NAMES = 10


@dataclass(frozen=True)
class Change:
    """The current and the new AMI of a channel in one region."""

    region: Region
    before: str
    after: str


def path(channel: str, image: str, os_name: str, arch: str) -> str:
    """The name of the parameter of a channel."""
    if not CHANNEL.fullmatch(channel):
        raise UsageError(
            f"not a channel name: {channel!r}", hint=f"use {CANDIDATE}, {STABLE}, or another name in lower case"
        )
    return f"{ROOT}{channel}/{image}/{os_name}/{arch}"


def parsed(reference: str) -> tuple[str, str, str, str]:
    """Channel, image, operating system and architecture of CHANNEL:IMAGE/OS/ARCH."""
    channel, _, rest = reference.partition(":")
    parts = rest.split("/")
    if len(parts) != 3 or not all(parts):
        raise UsageError(
            f"not CHANNEL:IMAGE/OS/ARCH: {reference!r}", hint="for example stable:parallelcluster/ubuntu2404/x86_64"
        )
    return channel, parts[0], parts[1], parts[2]


def read(region: Region) -> dict[str, str]:
    """The AMI of every channel of a region, by parameter name."""
    query: dict[str, Any] = {"Path": ROOT, "Recursive": True}
    parameters = region.all("ssm", "get_parameters_by_path", "Parameters", **query)
    return {parameter["Name"]: parameter["Value"] for parameter in parameters}


def holders(values: Mapping[str, str]) -> dict[str, list[str]]:
    """The channels that hold each AMI, as CHANNEL:IMAGE/OS/ARCH."""
    channels: dict[str, list[str]] = {}
    for name, ami in sorted(values.items()):
        channels.setdefault(ami, []).append(name.removeprefix(ROOT).replace("/", ":", 1))
    return channels


def values(region: Region, names: Iterable[str]) -> dict[str, str]:
    """The values of parameters by name, without missing ones."""
    wanted = sorted(set(names))
    parts = [wanted[start : start + MOST_NAMES] for start in range(0, len(wanted), MOST_NAMES)]
    answers = at_once(lambda part: region.client("ssm").get_parameters(Names=part)["Parameters"], parts)
    return {parameter["Name"]: parameter["Value"] for answer in answers for parameter in answer}


def held(region: Region, channel: str, image: str, os_name: str, arch: str) -> str:
    """The id of a channel's AMI; IngotError if the channel is empty."""
    name = path(channel, image, os_name, arch)
    ids = values(region, [name])
    if name not in ids:
        raise IngotError(
            f"the channel {channel} has no AMI of {image} {os_name} {arch}: no parameter {name}",
            place=region.name,
            hint=f"`ingot ami promote {image} --os {os_name} --arch {arch}` fills {STABLE}, a build fills {CANDIDATE}",
        )
    return ids[name]


def require_tested(tested: bool, ami: str) -> None:
    """IngotError if no instance of the AMI has passed the suite."""
    if not tested:
        raise IngotError(
            f"{ami} is untested: its tag ingot:suite does not say that it passed",
            hint="build it again with `make ami-IMAGE`, which runs the suite on an instance of the AMI",
        )


def write(name: str, changes: Sequence[Change], why: str, command: str) -> None:
    """Write a parameter in every region or none: a failure restores the previous values and is raised.

    Skips regions that already have the value, so that a second run completes the first.
    """
    needed = [change for change in changes if change.before != change.after]
    begun: list[Change] = []

    def put(change: Change) -> None:
        begun.append(change)
        _put(change.region, name, change.after, why)

    def put_back(change: Change) -> None:
        if change.before:
            _put(change.region, name, change.before, TAKEN_BACK)
        else:
            with tolerated([]):
                change.region.client("ssm").delete_parameter(Name=name)

    by_region = {change.region: change for change in needed}
    if not needed:
        return
    try:
        everywhere(list(by_region), command, lambda region: put(by_region[region]))
    except BaseException as error:
        try:
            everywhere([change.region for change in begun], command, lambda region: put_back(by_region[region]))
        except IngotError as failure:
            where = ", ".join(change.region.name for change in begun)
            raise IngotError(
                f"{error}\n  and {name} could not be restored in all of {where}: {failure}",
                hint="run the same command again to continue",
            ) from None
        raise


def _put(region: Region, name: str, ami: str, why: str) -> None:
    """Write one parameter and wait until it is visible; a value that Parameter Store rejects never is."""
    region.client("ssm").put_parameter(
        Name=name, Value=ami, Type="String", DataType=DATA_TYPE, Overwrite=True, Description=why
    )
    end = time.monotonic() + SECONDS_TO_APPEAR
    while values(region, [name]).get(name) != ami:
        if time.monotonic() > end:
            raise IngotError(
                f"Parameter Store rejects {ami} for {name}",
                place=region.name,
                hint="check that the AMI is available in this region and visible to this account",
            )
        time.sleep(POLL_SECONDS)


def line(region: Region, name: str) -> list[str]:
    """The history of a channel's AMIs, newest last, without rolled back ones."""
    history: list[str] = []
    for version in region.all("ssm", "get_parameter_history", "Parameters", Name=name):
        ami = version["Value"]
        if version.get("Description") == TAKEN_BACK and ami in history:
            del history[len(history) - history[::-1].index(ami) :]
        elif history[-1:] != [ami]:
            history.append(ami)
    return history


def previous(region: Region, name: str) -> str:
    """The previous AMI of a channel; empty if it has had at most one."""
    return next(iter(line(region, name)[-2:-1]), "")
