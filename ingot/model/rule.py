"""The schemas of rules: which versions work together, in one image or between a host and a container."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ingot.model.types import (
    UNLOCKED,
    Accelerator,
    Arch,
    Facts,
    Platform,
    RuleSpec,
    Severity,
    Spec,
    Strict,
    VersionText,
)


class Where(Strict):
    """The scope of a rule; a missing key means everywhere.

    `os`, `arch` and `platform` are an image's; the others are an instance type's (`ingot instance-type`).
    """

    os: list[str] = []
    arch: list[Arch] = []
    platform: list[Platform] = []
    accelerator: list[Accelerator] = []
    generation: list[str] = []
    family: list[str] = []
    instance_type: list[str] = []
    nvswitch: list[Literal["host", "bridge"]] = []


class Example(Strict):
    """A set of versions that a rule rejects or passes; `facts` are those of the component that owns the rule."""

    versions: dict[str, VersionText]
    facts: Facts = {}
    where: dict[str, str] = {}


class Examples(Strict):
    """Examples that a rule must reject and pass; a test runs all of them."""

    finds: list[Example] = Field(min_length=1)
    passes: list[Example] = Field(min_length=1)


class Rule(Strict):
    """A fact about versions that do or do not work together.

    A range may name a fact of the version (`>={bundled_driver}`); it does not apply to versions without that fact.
    `when` and `facts` select versions of the component that owns it, `where` the systems. The resolver obeys rules of
    severity `error`; plan and check show the others. `needs` names components that must be present too; `forbidden`
    means that the version cannot be used at all.
    """

    id: str
    when: Spec = "*"
    facts: Facts = {}
    where: Where = Where()
    requires: dict[str, RuleSpec] = {}
    refuses: dict[str, RuleSpec] = {}
    needs: list[str] = []
    forbidden: bool = False
    severity: Severity = "error"
    reason: str
    source: Annotated[str, UNLOCKED] = Field(min_length=1)
    checked: Annotated[date, UNLOCKED]
    examples: Annotated[Examples, UNLOCKED]

    @model_validator(mode="after")
    def _says_something(self) -> "Rule":
        if not (self.requires or self.refuses or self.needs or self.forbidden):
            raise ValueError("a rule needs 'requires', 'refuses', 'needs' or 'forbidden'")
        return self


class Pair(Strict):
    """Something that a host and a container share while a job runs: where its version is, and the compatible ranges.

    In `host`, {container} is the container's version.
    """

    fact: str = ""
    packages: list[str] = []
    host: RuleSpec = "*"
    container: Spec = "*"
    reason: str
    source: str = Field(min_length=1)
    checked: date


class Pairs(Strict):
    """The file `pairs.yml`."""

    pairs: dict[str, Pair]
