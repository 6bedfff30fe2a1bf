"""Channels: the parameters /ingot/CHANNEL/IMAGE/OS/ARCH, each of which holds the AMI that users of it launch next.

A parameter's own history says what a channel held before; what was taken back is marked in its description.
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
# Parameter Store looks whether there is such an AMI after it has answered, and forgets the value where there is none:
# https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-ec2-aliases.html
DATA_TYPE = "aws:ec2:image"
SECONDS_TO_APPEAR = 60.0
POLL_SECONDS = 0.5
TAKEN_BACK = "Taken back to what it held before."
# How many parameters one call reads.
MOST_NAMES = 10


@dataclass(frozen=True)
class Change:
    """What a channel holds in one region, and what it is to hold."""

    region: Region
    before: str
    after: str


def path(channel: str, image: str, os_name: str, arch: str) -> str:
    """The name of the parameter of a channel."""
    if not CHANNEL.fullmatch(channel):
        raise UsageError(f"{channel!r} is no channel", hint=f"{CANDIDATE}, {STABLE}, or another name in small letters")
    return f"{ROOT}{channel}/{image}/{os_name}/{arch}"


def parsed(reference: str) -> tuple[str, str, str, str]:
    """Channel, image, operating system and architecture of CHANNEL:IMAGE/OS/ARCH."""
    channel, _, rest = reference.partition(":")
    parts = rest.split("/")
    if len(parts) != 3 or not all(parts):
        raise UsageError(f"{reference!r} names no channel", hint="stable:parallelcluster/ubuntu2404/x86_64")
    return channel, parts[0], parts[1], parts[2]


def read(region: Region) -> dict[str, str]:
    """What every channel of a region holds, by the parameter's name."""
    asked: dict[str, Any] = {"Path": ROOT, "Recursive": True}
    found = region.all("ssm", "get_parameters_by_path", "Parameters", **asked)
    return {each["Name"]: each["Value"] for each in found}


def holders(held: Mapping[str, str]) -> dict[str, list[str]]:
    """The channels that hold each AMI, as CHANNEL:IMAGE/OS/ARCH."""
    found: dict[str, list[str]] = {}
    for name, ami in sorted(held.items()):
        found.setdefault(ami, []).append(name.removeprefix(ROOT).replace("/", ":", 1))
    return found


def values(region: Region, names: Iterable[str]) -> dict[str, str]:
    """The values of parameters, by name; those there are not are left out."""
    wanted = sorted(set(names))
    parts = [wanted[start : start + MOST_NAMES] for start in range(0, len(wanted), MOST_NAMES)]
    answers = at_once(lambda part: region.client("ssm").get_parameters(Names=part)["Parameters"], parts)
    return {each["Name"]: each["Value"] for answer in answers for each in answer}


def held(region: Region, channel: str, image: str, os_name: str, arch: str) -> str:
    """The id of the AMI that a channel holds; IngotError where it holds none."""
    name = path(channel, image, os_name, arch)
    found = values(region, [name])
    if name not in found:
        raise IngotError(
            f"the channel {channel} holds no AMI of {image} {os_name} {arch}: there is no parameter {name}",
            place=region.name,
            hint=f"`ingot ami promote {image} --os {os_name} --arch {arch}` fills {STABLE}, a build fills {CANDIDATE}",
        )
    return found[name]


def require_tested(tested: bool, ami: str) -> None:
    """IngotError where the suite has not passed on an instance of the AMI."""
    if not tested:
        raise IngotError(
            f"{ami} is untested: it has no tag ingot:suite that says passed",
            hint="build it anew with `make ami-IMAGE`, which runs the suite on an instance of the finished AMI",
        )


def write(name: str, changes: Sequence[Change], why: str, command: str) -> None:
    """Write a parameter in all regions or in none: after a failure, what was written is put back, and the error raised.

    Regions that hold the value already are left alone, so that a second run does what the first one could not.
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
        except IngotError as second:
            where = ", ".join(change.region.name for change in begun)
            raise IngotError(
                f"{error}\n  and {name} could not be put back in all of {where}: {second}",
                hint="run the same command again: it goes on where this one ended",
            ) from None
        raise


def _put(region: Region, name: str, ami: str, why: str) -> None:
    """Write one parameter, and wait until it shows: a value that Parameter Store does not take never does."""
    region.client("ssm").put_parameter(
        Name=name, Value=ami, Type="String", DataType=DATA_TYPE, Overwrite=True, Description=why
    )
    end = time.monotonic() + SECONDS_TO_APPEAR
    while values(region, [name]).get(name) != ami:
        if time.monotonic() > end:
            raise IngotError(
                f"Parameter Store does not take {ami} for {name}",
                place=region.name,
                hint="is the AMI available in this region, and may this account see it?",
            )
        time.sleep(POLL_SECONDS)


def line(region: Region, name: str) -> list[str]:
    """The AMIs that a channel has held, the newest last; what was taken back is no longer among them."""
    found: list[str] = []
    for version in region.all("ssm", "get_parameter_history", "Parameters", Name=name):
        ami = version["Value"]
        if version.get("Description") == TAKEN_BACK and ami in found:
            del found[len(found) - found[::-1].index(ami) :]
        elif found[-1:] != [ami]:
            found.append(ami)
    return found


def previous(region: Region, name: str) -> str:
    """What a channel held before; nothing where it has held only one AMI, or none."""
    return next(iter(line(region, name)[-2:-1]), "")
