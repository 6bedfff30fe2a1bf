"""JSON Schemas of the files that people write, for editors that check and complete YAML."""

from typing import Any

from ingot.catalog.systems import MERGED, OWN
from ingot.errors import UsageError
from ingot.model.advisory import Advisories
from ingot.model.budget import BudgetsFile
from ingot.model.component import Component
from ingot.model.container import Containers
from ingot.model.image import Images
from ingot.model.repository import Repositories
from ingot.model.rule import Pairs
from ingot.model.stack import Stack
from ingot.model.system import BuildersFile, OperatingSystem
from ingot.model.types import Strict
from ingot.yamlfile import nearest

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SHAPES: dict[str, type[Strict]] = {
    "advisories": Advisories,
    "budgets": BudgetsFile,
    "builders": BuildersFile,
    "component": Component,
    "containers": Containers,
    "images": Images,
    "operating-system": OperatingSystem,
    "pairs": Pairs,
    "repositories": Repositories,
    "stack": Stack,
}


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of one kind of file; UsageError with the nearest kind on an unknown one."""
    if kind not in SHAPES:
        raise UsageError(f"unknown kind of file {kind!r}", hint=nearest(kind, SHAPES))
    document = SHAPES[kind].model_json_schema()
    if kind == "operating-system":
        # It may inherit all other keys from the system that it is like, or unset them (~).
        document["required"] = [key for key in document["required"] if key in OWN]
        for key in MERGED:
            table = document["properties"][key]
            table["additionalProperties"] = {"anyOf": [table["additionalProperties"], {"type": "null"}]}
    return {"$schema": DIALECT, **document}
