"""Ways to get an instance to build on: spot first, then each type on demand."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ingot.ami import uefi
from ingot.catalog.catalog import Catalog
from ingot.console import Progress
from ingot.errors import IngotError
from ingot.image.packer import PackerError, packer_build
from ingot.model.target import ImageSelection
from ingot.sources.aws import Region, everywhere, regions

# Errors of EC2 after which another instance type, subnet or purchase option may have capacity. RunInstances has codes:
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
# CreateFleet, which buys spot, answers HTTP 200 with a list of errors, of which Packer prints the messages alone, with
# nothing between them (packer-plugin-amazon 1.8.1, common/step_run_spot_instance.go). Each as it was reported:
# https://github.com/hashicorp/packer/issues/8740, https://github.com/NixOS/nixops-aws/issues/41,
# https://github.com/fedora-copr/copr/issues/3279 (the last two).
NO_CAPACITY = re.compile(
    r"InsufficientInstanceCapacity|InsufficientHostCapacity|InsufficientCapacityOnOutpost|UnfulfillableCapacity"
    r"|SpotMaxPriceTooLow|MaxSpotInstanceCountExceeded|InstanceLimitExceeded|VcpuLimitExceeded"
    r"|Unsupported: |InvalidFleetConfiguration"
    r"|There is no Spot capacity available that matches your request"
    r"|Max spot instance count exceeded"
    r"|We currently do not have sufficient \S+ capacity"
    r"|Your requested instance type \(\S+\) is not supported in your requested Availability Zone"
)

# Where EC2 refuses the call CreateFleet itself, that version reads an answer that does not exist (line 442), crashes,
# and neither prints the reason nor deletes the launch template.
SPOT_CRASHED = "common.(*StepRunSpotInstance).Run.func"


@dataclass(frozen=True)
class Options:
    """Options of a build; empty ones use the defaults of the catalog or the account."""

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
    """One way to get an instance: spot of any of `types`, or on demand of its only type."""

    spot: bool
    types: list[str]
    subnet: str

    def __str__(self) -> str:
        where = f" in {self.subnet}" if self.subnet else ""
        return f"{'spot' if self.spot else 'on demand'}: {', '.join(self.types)}{where}"

    @property
    def variables(self) -> dict[str, str]:
        """Packer's variables for it."""
        spot = json.dumps(self.types if self.spot else [])
        return {"instance_type": self.types[0], "spot_instance_types": spot, "subnet": self.subnet}


def attempts(selection: ImageSelection, options: Options, catalog: Catalog) -> Iterator[Attempt]:
    """Every way to get an instance, cheapest first."""
    types = options.instance_types or catalog.builders.instance_types[selection.target.arch]
    subnets = options.subnets or [""]
    if not options.on_demand:
        yield from (Attempt(True, types, subnet) for subnet in subnets)
    yield from (Attempt(False, [name], subnet) for name in types for subnet in subnets)


def first_that_runs(
    ways: list[Attempt], source: str, variables: Mapping[str, str], options: Options, progress: Progress, log: Path
) -> Attempt:
    """Run Packer with the first way that has capacity; returns it. IngotError with all reasons if none has."""
    reasons: list[str] = []
    for number, way in enumerate(ways):
        try:
            packer_build(source, {**variables, **way.variables}, log=log, options=options.packer_options)
        except PackerError as error:
            shortage = _shortage(error.said)
            if SPOT_CRASHED in error.said:
                _delete_templates(options.region, variables["build_id"], progress)
            if not shortage:
                raise
            reasons.append(f"{way}: {shortage}")
            if number + 1 < len(ways):
                progress.note(f"{reasons[-1]}; trying {ways[number + 1]}")
        else:
            return way
    raise IngotError(
        "no instance to build on\n  " + "\n  ".join(reasons),
        place=options.region,
        hint=f"run it again later, or add --instance-type, or --subnet for another zone; full log: {log}",
    )


def _shortage(said: str) -> str:
    """Why no instance was available, from the output of Packer; empty if it failed for another reason."""
    if SPOT_CRASHED in said:
        return "EC2 refused CreateFleet, and Packer's plugin does not print why"
    match = NO_CAPACITY.search(said)
    return match[0].rstrip(": ") if match else ""


def _delete_templates(region: str, build: str, progress: Progress) -> None:
    """Delete the launch templates of a build; a failure is only noted, as the next way may work."""
    ours = [{"Name": "tag:ingot:build", "Values": [build]}]

    def delete(home: Region) -> None:
        for template in home.all("ec2", "describe_launch_templates", "LaunchTemplates", Filters=ours):
            home.ec2.delete_launch_template(LaunchTemplateId=template["LaunchTemplateId"])

    try:
        everywhere(regions([region], "build"), "build", delete)
    except IngotError as failure:
        progress.note(f"cannot delete the build's launch template, `ingot ami sweep` will: {failure.message}")
