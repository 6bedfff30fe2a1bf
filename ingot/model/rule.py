"""The shapes of rules: which versions go together, in one image or between a host and a container."""

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
    """What a rule is confined to; a key that is not there holds everywhere.

    `os`, `arch` and `platform` are those of an image; the others those of an instance type (`ingot instance-type`).
    """

    os: list[str] = []
    arch: list[Arch] = []
    platform: list[Platform] = []
    accelerator: list[Accelerator] = []
    generation: list[str] = []
    family: list[str] = []
    nvswitch: list[Literal["host", "bridge"]] = []


class Example(Strict):
    """A set of versions that a rule finds fault with or lets pass; `facts` are of the component that owns the rule."""

    versions: dict[str, VersionText]
    facts: Facts = {}
    where: dict[str, str] = {}


class Examples(Strict):
    """What a rule must say of what; a test runs all of them."""

    finds: list[Example] = Field(min_length=1)
    passes: list[Example] = Field(min_length=1)


class Rule(Strict):
    """A fact about versions that do or do not go together.

    A range may name a fact of the version (`>={bundled_driver}`); of versions without it the range asks nothing.
    `when` and `facts` select versions of the component that owns it, `where` the systems. The resolver obeys rules of
    severity `error`; plan and check show the others. `needs` names components that must be there too; `forbidden` says
    that there is no use for the version at all.
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
    """What a host and a container share while a job runs: where its version stands, and the ranges that go together.

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
