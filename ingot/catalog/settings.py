"""Turns `catalog/settings.yml` into checked rules about environment variables; loads the engine that applies them."""

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from ingot import paths
from ingot.errors import IngotError
from ingot.model.types import Strict
from ingot.yamlfile import load, read

FILE = paths.CATALOG / "settings.yml"


def engine() -> Any:
    """The module that applies the rules."""
    return paths.collection_module("settings_rules")


def _range(text: str) -> str:
    engine().parse_range(text)
    return text


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {text!r}: {error}") from None
    return text


Range = Annotated[str, AfterValidator(_range)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Accelerator = Literal["nvidia", "neuron", "cpu"]
Feature = Literal["nvidia", "neuron", "efa", "rdma", "nvlink"]
Url = Annotated[str, Field(pattern=r"^https://[^\s/]+/\S+$")]


class When(Strict):
    """The conditions of a rule, all of which must hold; in `any_version` one version is enough.

    `has` names features of the machine; without an instance type they are assumed to be there.
    """

    has: list[Feature] = Field(default_factory=list)
    versions: dict[str, Range] = Field(default_factory=dict)
    any_version: dict[str, Range] = Field(default_factory=dict)
    instance_types: list[str] = Field(default_factory=list)
    accelerator: Accelerator | None = None


class Example(Strict):
    """An environment on some machine, as an example for a rule."""

    env: dict[str, str]
    versions: dict[str, str] = Field(default_factory=dict)
    instance_type: str | None = None
    accelerator: Accelerator | None = None


class Examples(Strict):
    """Examples that a rule must find or pass; a test runs all of them."""

    finds: list[Example] = Field(min_length=1)
    passes: list[Example] = Field(min_length=1)


class SettingRule(Strict):
    """One rule about the variables that match one of `variables` (names or globs).

    It has one of `never` (do not set), `never_values` and `only_values` (regular expressions for the whole value,
    ignoring case) and `must` (set it to this).
    """

    id: str
    variables: list[str] = Field(min_length=1)
    never: bool = False
    never_values: list[Pattern] = Field(default_factory=list)
    only_values: list[Pattern] = Field(default_factory=list)
    must: str = ""
    when: When = When()
    severity: Literal["error", "warning", "info"]
    reason: str
    fix: str
    source: Url
    checked: date
    examples: Examples

    @model_validator(mode="after")
    def _judges_one_thing(self) -> "SettingRule":
        given = [name for name in ("never", "never_values", "only_values", "must") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError("a rule needs exactly one of 'never', 'never_values', 'only_values' and 'must'")
        if self.must and (len(self.variables) != 1 or set(self.variables[0]) & set("*?[")):
            raise ValueError("'must' needs exactly one variable, without a glob")
        return self


class Settings(Strict):
    """The file `settings.yml`."""

    rules: list[SettingRule]


def read_settings(path: Path = FILE) -> list[SettingRule]:
    """The rules in `path`; IngotError if one is malformed or its id is not unique."""
    rules = load(path, Settings).rules
    seen: set[str] = set()
    for number, rule in enumerate(rules):
        if rule.id in seen:
            place = f"{path}:{read(path)[1][('rules', number, 'id')]}"
            raise IngotError(f"duplicate rule {rule.id!r}", place=place, hint="give it another id")
        seen.add(rule.id)
    return rules


def features(facts: Mapping[str, Any]) -> dict[str, bool]:
    """Which features an instance type has, with `facts` from `describe`; a feature that nobody knows is left out.

    `rdma`: its EFA reads remote memory, which GPUDirect RDMA needs; `nvlink`: its GPUs have an NVSwitch.
    """
    known = {"efa": bool(facts["efa"]), "nvlink": bool(facts["nvswitch"])}
    known |= {accelerator: facts["accelerator"] == accelerator for accelerator in ("nvidia", "neuron")}
    read = (facts["efa_device"] or {}).get("read") if facts["efa"] else False
    return known if read is None else {**known, "rdma": read}


def plain(rules: list[SettingRule]) -> list[dict[str, Any]]:
    """The rules in the engine's format."""
    return [rule.model_dump(mode="json", exclude={"examples"}) for rule in rules]
