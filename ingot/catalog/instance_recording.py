"""Turns the EC2 API's response about instance types into `catalog/instance_types.json`: one line per type, without what
all types of its family have in common."""

import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ingot.catalog.instance_types import FAMILIES, family_of
from ingot.errors import IngotError
from ingot.model.instance import Families, InstanceType, InstanceTypes
from ingot.model.types import EC2_ARCH, Arch
from ingot.yamlfile import place

ARCHITECTURES: dict[str, Arch] = {theirs: ours for ours, theirs in EC2_ARCH.items()}
ACCELERATED = ("GpuInfo", "NeuronInfo", "InferenceAcceleratorInfo", "FpgaInfo", "MediaAcceleratorInfo")


def check_complete(types: InstanceTypes, families: Families, where: Path) -> None:
    """IngotError if a family of the file at `where` has no type: the response may be from a region without it."""
    own = {family_of(name) for name, row in families.types.items() if "arch" in row.facts}
    has = {family_of(name) for name in types.types} | own
    for name in [*families.families, *families.ordinary()]:
        if name not in has:
            hint = "use a response from more regions, or write its types down under `types`"
            raise IngotError(
                f"the family {name} has no instance types", place=place(where, "families", name), hint=hint
            )


def read_answer(path: Path) -> dict[str, dict[str, Any]]:
    """The entries of a DescribeInstanceTypes response by name; JSON, plain or gzipped."""
    try:
        raw = path.read_bytes()
        data = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    except (OSError, ValueError, EOFError, RecursionError, zlib.error) as error:
        raise IngotError(f"not a response of the EC2 API: {error}", place=str(path)) from None
    listed = data.get("InstanceTypes", list(data.values())) if isinstance(data, dict) else data
    if not isinstance(listed, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("InstanceType"), str) for entry in listed
    ):
        hint = "make one with `aws ec2 describe-instance-types --output json > FILE`"
        raise IngotError("not a response of DescribeInstanceTypes", place=str(path), hint=hint)
    return {entry["InstanceType"]: entry for entry in listed}


def _cards(name: str, network: Mapping[str, Any]) -> int:
    """The first network card with EFA; those after it must have it too."""
    kinds = {
        card["NetworkCardIndex"]: "efa" in card.get("InterfaceTypes", []) for card in network.get("NetworkCards", [])
    }
    with_efa = sorted(index for index, has in kinds.items() if has)
    if with_efa and with_efa != list(range(with_efa[0], len(kinds))):
        raise IngotError(f"{name} has EFA on the network cards {with_efa} of {len(kinds)}, which have a gap")
    return with_efa[0] if with_efa and network.get("EfaInfo") else 0


def _one(name: str, entry: Mapping[str, Any], arch: Arch, families: Families) -> InstanceType:
    gpus = entry.get("GpuInfo", {}).get("Gpus", [])
    devices = gpus or entry.get("NeuronInfo", {}).get("NeuronDevices", [])
    if len(devices) > 1:
        raise IngotError(f"{name} has {len(devices)} kinds of devices instead of one")
    device = devices[0] if devices else {}
    actual = device["Manufacturer"].lower() if gpus else "neuron" if devices else "cpu"
    row = families.families.get(family_of(name))
    expected = row.accelerator if row else "cpu"
    own = families.types.get(name)
    if actual != expected and not (own and "device" in own.facts):
        hint = f"correct the family {family_of(name)} in {FAMILIES}"
        raise IngotError(f"{name} has the accelerator {actual}, its family has {expected}", hint=hint)
    network, storage = entry["NetworkInfo"], entry.get("InstanceStorageInfo", {})
    facts = {
        "vcpus": entry["VCpuInfo"]["DefaultVCpus"],
        "memory_mib": entry["MemoryInfo"]["SizeInMiB"],
        "arch": arch,
        "device": device.get("Name", ""),
        "devices": device.get("Count", 0),
        "device_memory_mib": device.get("MemoryInfo", {}).get("SizeInMiB", 0),
        "cores": device.get("CoreInfo", {}).get("Count", 0),
        "efa": network.get("EfaInfo", {}).get("MaximumEfaInterfaces", 0),
        "network_cards": network["MaximumNetworkCards"],
        "first_efa_card": _cards(name, network),
        "network": network["NetworkPerformance"],
        "storage_gb": storage.get("TotalSizeInGB", 0),
        "disks": sum(disk["Count"] for disk in storage.get("Disks", [])),
        "usage": sorted(entry["SupportedUsageClasses"]),
    }
    # Only people may leave something unknown.
    wrong = [key for key, value in facts.items() if value is None]
    try:
        made = InstanceType.model_validate(facts)
    except ValidationError as error:
        wrong += [str(problem["loc"][0]) for problem in error.errors()]
    if wrong:
        listed = ", ".join(key for key in facts if key in wrong)
        raise IngotError(f"invalid {listed} in the response for {name}")
    return made


def from_answer(answer: Mapping[str, Mapping[str, Any]], families: Families, recorded: str) -> InstanceTypes:
    """The types that run Linux on our architectures. IngotError if a family with an accelerator or EFA is in no list of
    the file."""
    types, ordinary = {}, families.ordinary()
    for name, entry in sorted(answer.items()):
        family = family_of(name)
        if family in families.left_out:
            continue
        try:
            supported = entry["ProcessorInfo"]["SupportedArchitectures"]
            architectures = [ARCHITECTURES[each] for each in supported if each in ARCHITECTURES]
            if not architectures:
                continue
            if family not in families.families and any(key in entry for key in ACCELERATED):
                hint = f"add {family} to {FAMILIES}: under families with its facts, or under left_out with a reason"
                raise IngotError(f"{name} has an accelerator, but its family is unknown", place=recorded, hint=hint)
            types[name] = one = _one(name, entry, architectures[0], families)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise IngotError(f"missing or invalid value in the response for {name}: {error}", place=recorded) from None
        if one.efa and family not in families.families and family not in ordinary:
            hint = f"add {family} to {FAMILIES}: under cpu, with the generation of its device"
            raise IngotError(f"{name} has EFA, but its family is unknown", place=recorded, hint=hint)
    return InstanceTypes(recorded=recorded, types=types)


def dump(types: InstanceTypes) -> str:
    """The file's text, the same bytes for the same response: of each family what all its types share, and each type."""
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for name, entry in sorted(types.types.items()):
        family, _, size = name.partition(".")
        rows.setdefault(family, {})[size] = entry.model_dump(exclude_defaults=True)
    blocks = []
    for family, sizes in rows.items():
        first = next(iter(sizes.values()))
        # A fact that one type lacks has its default there, so that it is not shared.
        shared = {key: value for key, value in first.items() if all(row.get(key) == value for row in sizes.values())}
        lines = [
            f"  {json.dumps(size)}: {json.dumps({key: value for key, value in row.items() if key not in shared})}"
            for size, row in sizes.items()
        ]
        blocks.append(f'{json.dumps(family)}: {{"all": {json.dumps(shared)}, "sizes": {{\n' + ",\n".join(lines) + "}}")
    families = ",\n".join(blocks)
    return f'{{"recorded": {json.dumps(types.recorded)},\n"families": {{\n{families}\n}}}}\n'


def changes(old: InstanceTypes, new: InstanceTypes) -> list[str]:
    """One line per type that is added, removed or changed, with the differences."""
    lines = []
    for name in sorted({*old.types, *new.types}):
        before, after = old.types.get(name), new.types.get(name)
        if before is None or after is None:
            lines.append(f"{name} {'added' if before is None else 'removed'}")
        elif before != after:
            pairs = zip(before, after, strict=True)
            differs = ", ".join(f"{key} {was} -> {now}" for (key, was), (_, now) in pairs if was != now)
            lines.append(f"{name} changed: {differs}")
    return lines
