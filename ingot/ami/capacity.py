"""The ways to get an instance to build on: spot first, then each type on demand."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ingot.ami import uefi
from ingot.catalog.catalog import Catalog
from ingot.console import Progress
from ingot.errors import UsageError
from ingot.image.packer import PackerError, packer_build
from ingot.model.target import ImageSelection

# What EC2 says where another instance type, subnet or way of buying may still be had:
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
NO_CAPACITY = re.compile(
    r"InsufficientInstanceCapacity|InsufficientHostCapacity|InsufficientCapacityOnOutpost|UnfulfillableCapacity"
    r"|SpotMaxPriceTooLow|MaxSpotInstanceCountExceeded|InstanceLimitExceeded|VcpuLimitExceeded"
    r"|Unsupported: |InvalidFleetConfiguration"
)


@dataclass(frozen=True)
class Options:
    """Where an AMI is built, and by what means; what is empty is decided by the catalog or by the account."""

    region: str
    instance_types: list[str] = field(default_factory=list)
    subnets: list[str] = field(default_factory=list)
    on_demand: bool = False
    instance_profile: str = ""
    kms_key: str = ""
    packer_options: list[str] = field(default_factory=list)
    signing: uefi.SigningKey | None = None


@dataclass(frozen=True)
class Attempt:
    """One way to get an instance: spot of any of `types`, or on demand of the one that is in it."""

    spot: bool
    types: list[str]
    subnet: str

    def __str__(self) -> str:
        where = f" in {self.subnet}" if self.subnet else ""
        return f"{'spot' if self.spot else 'on demand'}: {', '.join(self.types)}{where}"

    @property
    def variables(self) -> dict[str, str]:
        """What Packer is told of it."""
        spot = json.dumps(self.types if self.spot else [])
        return {"instance_type": self.types[0], "spot_instance_types": spot, "subnet": self.subnet}


def attempts(selection: ImageSelection, options: Options, catalog: Catalog) -> Iterator[Attempt]:
    """Every way to get an instance, the cheapest first."""
    types = options.instance_types or catalog.builders.instance_types[selection.target.arch]
    subnets = options.subnets or [""]
    if not options.on_demand:
        yield from (Attempt(True, types, subnet) for subnet in subnets)
    yield from (Attempt(False, [each], subnet) for each in types for subnet in subnets)


def first_that_runs(
    ways: list[Attempt], source: str, variables: Mapping[str, str], options: Options, progress: Progress, log: Path
) -> Attempt:
    """Run Packer by the first way that there is an instance for, and say which it was."""
    for number, way in enumerate(ways):
        try:
            packer_build(source, {**variables, **way.variables}, log=log, options=options.packer_options)
        except PackerError as error:
            lacking = NO_CAPACITY.search(error.said)
            if not lacking or number + 1 == len(ways):
                raise
            progress.note(f"{way}: {lacking[0].rstrip(': ')}; trying {ways[number + 1]}")
        else:
            return way
    raise UsageError("there is no instance type to build on", hint="name one with --instance-type")
