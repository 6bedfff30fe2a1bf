"""Building blocks of the schemas: strict records, and fields with validation."""

import re
from typing import Annotated, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ingot.paths import collection_module


def _specifier(text: str) -> str:
    if text != "*":
        try:
            SpecifierSet(text)
        except InvalidSpecifier:
            raise ValueError(f"not a version range: {text!r}; write '*' or for example '>=535,<581'") from None
    return text


def _rule_specifier(text: str) -> str:
    _specifier(re.sub(r"\{[a-z_]+\}", "1", text))
    return text


def _version(text: str) -> str:
    try:
        Version(text)
    except InvalidVersion:
        raise ValueError(f"not a version: {text!r}; write for example '580.126.20'") from None
    return text


Spec = Annotated[str, AfterValidator(_specifier)]
# As Spec, with {version} for the version of the component that owns the rule, and {fact} for a fact of it.
RuleSpec = Annotated[str, AfterValidator(_rule_specifier)]
VersionText = Annotated[str, AfterValidator(_version)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Fingerprint = Annotated[str, Field(pattern=r"^[0-9A-F]{40}$")]
Facts = dict[str, str | bool | int]
Arch = Literal["x86_64", "aarch64"]
Accelerator = Literal["nvidia", "neuron", "cpu"]
# The architecture of local images: of the disk, the tools that make it, and QEMU.
LOCAL_ARCH: Arch = "x86_64"
# EC2's names.
EC2_ARCH: dict[Arch, str] = {"x86_64": "x86_64", "aarch64": "arm64"}
Platform = Literal["ec2", "parallelcluster", "eks"]
# How sure a pin is, best first; `plugins/module_utils/grades.py` says what each means.
Grade = Literal["digest", "signature", "base", "unresolved"]
Severity = Literal["error", "warning", "info"]
# The sources of packages that no vendor's repository has.
DISTRIBUTION: str = collection_module("grades").DISTRIBUTION
BASE_IMAGE: str = collection_module("grades").BASE_IMAGE


class Unlocked:
    """Marks a field that no lock depends on: prose that locks do not quote, sources, dates, facts only for people."""


# A field without this mark is part of the digest that makes locks stale (`ingot.catalog.digest`).
UNLOCKED = Unlocked()


class Strict(BaseModel):
    """A frozen record that rejects unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)
