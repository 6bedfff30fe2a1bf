"""Looks EC2's instance types up: what the API says of them, and what people know of their families.

Facts of the API are generated (`instance_recording`); others (generation, module, services) are maintained by hand in
`catalog/accelerators.yml`, as are types that the API's response lacks.
"""

import functools
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ingot import paths
from ingot.errors import IngotError, UsageError
from ingot.model.component import Component
from ingot.model.instance import Families, Family, InstanceType, InstanceTypes
from ingot.yamlfile import load, nearest, place

TYPES = "instance_types.json"
FAMILIES = "accelerators.yml"
# SageMaker's names of EC2's types begin with this.
SAGEMAKER = "ml."
# What the names of families with accelerators begin with; other new families are taken for ordinary ones.
ACCELERATED = ("p", "g", "trn", "inf", "dl", "f", "vt")


def plain_name(name: str) -> str:
    """`p5.48xlarge` of `ml.p5.48xlarge`, as SageMaker has it."""
    return name.removeprefix(SAGEMAKER)


def family_of(name: str) -> str:
    """`p5` of `p5.48xlarge` and of `ml.p5.48xlarge`."""
    return plain_name(name).partition(".")[0]


def read_families(catalog: Path = paths.CATALOG) -> Families:
    """The hand-written facts, each with a source from the file's list."""
    path = catalog / FAMILIES
    families = load(path, Families)
    named: list[tuple[tuple[str | int, ...], str]] = []
    for kind, rows in (("families", families.families), ("types", families.types)):
        for name, row in rows.items():
            named += [((kind, name, "from", number), source) for number, source in enumerate(row.from_)]
    for name, floors in families.floors.items():
        named += [(("floors", name, source), source) for source in floors]
    for where, source in named:
        if source not in families.sources:
            message = f"unknown source {source!r} of {where[1]}"
            raise IngotError(message, place=place(path, *where), hint=nearest(source, families.sources))
    ordinary = families.ordinary()
    for kind, names in (("left_out", list(families.left_out)), ("cpu", list(ordinary))):
        for name in names:
            if name in families.families or (kind == "cpu" and name in families.left_out):
                hint = f"remove it from {kind}, or from the other list"
                raise IngotError(f"the family {name} is in two lists", place=place(path, kind), hint=hint)
    return families


@functools.lru_cache(maxsize=16)
def _recorded(path: Path, text: str) -> InstanceTypes:
    """The generated file: what all types of a family share, and each type's own facts."""
    try:
        data = json.loads(text)
        rows = {
            f"{family}.{size}": InstanceType.model_validate({**entry["all"], **facts})
            for family, entry in data["families"].items()
            for size, facts in entry["sizes"].items()
        }
        return InstanceTypes(recorded=data["recorded"], types=rows)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"invalid {error.errors()[0]['loc']}" if isinstance(error, ValidationError) else str(error)
        hint = "restore it, or make it again by `ingot catalog instance-types`"
        raise IngotError(f"not the generated file: {reason}", place=str(path), hint=hint) from None


def read_recorded(catalog: Path = paths.CATALOG) -> InstanceTypes:
    """The generated types, without those written by hand."""
    path = catalog / TYPES
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise IngotError("there is no such file", place=str(path)) from None
    return _recorded(path, text)


def read_types(catalog: Path = paths.CATALOG) -> InstanceTypes:
    """All types: the generated ones, with what `accelerators.yml` says of single types on top."""
    recorded, families, path = read_recorded(catalog), read_families(catalog), catalog / FAMILIES
    types = dict(recorded.types)
    for name, row in families.types.items():
        base = types[name].model_dump() if name in types else {}
        try:
            types[name] = InstanceType.model_validate({**base, **row.facts, **dict.fromkeys(row.unknown)})
        except ValidationError as error:
            problem = error.errors()[0]
            where = place(path, "types", name)
            raise IngotError(f"{name}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}", place=where) from None
    for name in families.floors:
        if name not in types:
            where, hint = place(path, "floors", name), nearest(name, types)
            raise IngotError(f"unknown instance type {name!r}", place=where, hint=hint)
    return InstanceTypes(recorded=recorded.recorded, types=types)


def family(name: str, catalog: Path = paths.CATALOG) -> Family:
    """The facts of a type's family; those of a family without accelerator and EFA are the recording's alone."""
    families, key = read_families(catalog), family_of(name)
    if key in families.families:
        return families.families[key]
    efa = families.ordinary().get(key)
    return Family.model_validate(
        {"accelerator": "cpu", "efa": efa, "confidence": "A", "from": ["ec2"] if efa else ["api"]}
    )


def is_unknown_cpu(name: str, catalog: Path = paths.CATALOG) -> bool:
    """Whether a type is of a family that nobody knows, by whose name it has no accelerator."""
    families, key = read_families(catalog), family_of(name)
    known = {*families.families, *families.left_out, *(family_of(each) for each in read_types(catalog).types)}
    return "." in plain_name(name) and key not in known and not key.startswith(ACCELERATED)


def check_name(name: str, catalog: Path = paths.CATALOG) -> None:
    """UsageError with the nearest names on an unknown type, with the reason on one that is left out."""
    types, families, key = read_types(catalog).types, read_families(catalog), family_of(name)
    if key in families.left_out:
        raise UsageError(f"{name}: {families.left_out[key].why}", hint="use a type of another family: `ingot list`")
    if plain_name(name) not in types:
        # Names that differ in one letter may be of another kind of machine: first the family, then those of our images.
        close = [each for each in types if family_of(each) == key]
        close = close or [each for each in types if family_of(each) in families.families]
        raise UsageError(f"unknown instance type {name!r}", hint=nearest(plain_name(name), close))


def summaries(types: InstanceTypes) -> dict[str, str]:
    """A line for each family with an accelerator or EFA: its device and its types, of an ordinary family those with
    EFA."""
    sizes: dict[str, list[str]] = {}
    for name, entry in types.types.items():
        if entry.device or entry.efa or entry.efa is None:
            sizes.setdefault(family_of(name), []).append(name)
    return {
        family: f"{types.types[names[0]].device or 'EFA'}: {', '.join(n.partition('.')[2] for n in names)}"
        for family, names in sizes.items()
    }


def unknown_facts(catalog: Path = paths.CATALOG) -> dict[str, str]:
    """By type, and by family, the facts that no source has."""
    families = read_families(catalog)
    rows = [(name, row.unknown) for name, row in families.families.items()]
    rows += [(name, row.unknown) for name, row in families.types.items()]
    return {name: ", ".join(unknown) for name, unknown in rows if unknown}


def services(nvswitch: str, family: str, catalog: Path = paths.CATALOG) -> list[str]:
    """The services that the driver needs for this kind of NVSwitch or on this family, by the driver's rules."""
    rules = load(catalog / "components" / "nvidia_driver.yml", Component).rules
    here = [rule for rule in rules if nvswitch in rule.where.nvswitch or family in rule.where.family]
    return [service for rule in here for service in rule.needs]


def describe(name: str, catalog: Path = paths.CATALOG) -> dict[str, Any]:
    """All facts of a type: from the API, of its family, and the services that it needs.

    `unknown` names the facts that no source has.
    """
    check_name(name, catalog)
    name = plain_name(name)
    families, known, types = read_families(catalog), family(name, catalog), read_types(catalog)
    entry, own = types.types[name], families.types.get(name)
    facts = known.model_dump(exclude={"from_", "efa", "unknown", "cores_per_logical"})
    if entry.devices is not None and entry.devices <= 1:
        # A single GPU has no switch.
        facts |= {"nvswitch": "", "switch_pci": []}
    device = known.efa.model_dump() if known.efa and entry.efa != 0 else None
    floors = families.floors.get(name, {})
    keys = dict.fromkeys([*(own.from_ if own else []), *known.from_, *floors])
    sources = [types.recorded if key == "api" else families.sources[key] for key in keys]
    unknown = [*(own.unknown if own else []), *known.unknown]
    if device and device["generation"] is None:
        unknown.append("efa_device")
    if entry.devices is None and entry.cores:
        unknown.append("logical_cores")
    notes = [note for note in (known.note, own.note if own else "") if note]
    return {
        "name": name, **entry.model_dump(), **facts, "note": " ".join(notes),
        "logical_cores": None if entry.devices is None else entry.devices * entry.cores // known.cores_per_logical,
        "services": services(facts["nvswitch"], family_of(name), catalog), "efa_device": device, "floors": floors,
        "unknown": unknown, "sources": sources, "checked": families.checked,
    }  # fmt: skip
