"""The digest of a lock's inputs: the parsed content that decides it, or that it quotes, and nothing else.

Comments, the layout of files, other systems' offers and fields marked UNLOCKED do not make a lock stale. All other
fields count, so a new field counts until it is marked.
"""

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from ingot.catalog.advisories import deciding
from ingot.catalog.catalog import Catalog
from ingot.catalog.rules import Context, holding
from ingot.model.component import Component, Offer
from ingot.model.rule import Rule, Where
from ingot.model.stack import Pin
from ingot.model.target import Target
from ingot.model.types import UNLOCKED, Arch


def digest_of(catalog: Catalog, target: Target) -> str:
    """SHA-256 of the inputs of a target's lock."""
    stack, system = catalog.stack(target.stack), catalog.operating_system(target.os)
    os_name, arch = target.os, target.arch
    components = [_component(catalog.components[name], os_name, arch) for name in stack.pins]
    inputs = {
        "stack": stack.model_copy(update={"pins": {}}),
        # The resolver decides in this order.
        "pins": [[name, _pin(pin, os_name)] for name, pin in stack.pins.items()],
        "components": components,
        "advisories": [advisory for name in stack.pins for advisory in deciding(catalog.advisories, name)],
        "system": system.model_copy(update={"architectures": [arch]}),
        **_repositories(catalog, components, target),
    }
    text = json.dumps(content(inputs), sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _pin(pin: Pin, os_name: str) -> Pin:
    """A pin without its ranges for other systems."""
    here = pin.on(os_name)
    return pin.model_copy(update={"version": here.version, "why": here.why, "by_os": {}})


def _component(component: Component, os_name: str, arch: Arch) -> Component:
    """A component without its entries for other systems, and without the rules that the resolver ignores."""
    reason = {os_name: component.left_out[os_name]} if os_name in component.left_out else {}
    parts = {part: {os_name: why[os_name]} for part, why in component.parts_left_out.items() if os_name in why}
    rules = holding(component, Context(os_name, arch))
    return component.model_copy(
        update={
            "offers": [] if reason else _offers(component.offers, os_name, arch),
            "rules": [] if reason else [rule.model_copy(update={"where": Where()}) for rule in rules if _obeyed(rule)],
            "left_out": reason,
            "parts_left_out": parts,
        }
    )


def _obeyed(rule: Rule) -> bool:
    return rule.severity == "error" and bool(rule.requires or rule.refuses or rule.forbidden)


def _offers(offers: Iterable[Offer], os_name: str, arch: Arch) -> list[Offer]:
    """The offers for a system, with only its releases and digests."""
    selected = []
    for offer in offers:
        if os_name not in offer.os or arch not in offer.arch:
            continue
        releases = {
            text: release.model_copy(
                update={
                    "os": [],
                    "sha256": {key: digest for key, digest in release.sha256.items() if key in (arch, "any")},
                }
            )
            for text, release in offer.releases.items()
            if not release.os or os_name in release.os
        }
        if bool(releases) == bool(offer.releases):
            selected.append(offer.model_copy(update={"os": [os_name], "arch": [arch], "releases": releases}))
    return selected


def _repositories(catalog: Catalog, components: Iterable[Component], target: Target) -> dict[str, Any]:
    """The vendors' repositories and keys that offers name, each repository with its address for the lock."""
    declared, lock_key = catalog.repositories, target.key
    offers = [offer for component in components for offer in component.offers]
    names = {offer.repository.name for offer in offers if offer.repository}
    names |= set(catalog.operating_system(target.os).lacks.values())
    repositories = {
        name: entry.model_copy(update={"urls": {lock_key: entry.urls[lock_key]} if lock_key in entry.urls else {}})
        for name, entry in declared.repositories.items()
        if name in names
    }
    keys = {entry.key for entry in repositories.values()} | {offer.download.key for offer in offers if offer.download}
    return {"repositories": repositories, "keys": {name: key for name, key in declared.keys.items() if name in keys}}


def sha256_of(value: Any) -> str:
    """SHA-256 of a value's content."""
    return hashlib.sha256(json.dumps(content(value), sort_keys=True, default=str).encode()).hexdigest()


@functools.cache
def decisive(model: type[BaseModel]) -> list[tuple[str, Any]]:
    """The fields of a model that locks depend on, with their defaults."""
    return [(name, field.default) for name, field in model.model_fields.items() if UNLOCKED not in field.metadata]


def content(value: Any) -> Any:
    """A value as JSON, without fields that are not decisive or that have their default."""
    if isinstance(value, BaseModel):
        fields = ((name, getattr(value, name), default) for name, default in decisive(type(value)))
        return {name: content(item) for name, item, default in fields if item != default}
    if isinstance(value, Mapping):
        return {key: content(item) for key, item in value.items()}
    if isinstance(value, list):
        return [content(item) for item in value]
    return value
