"""Finds versions for wishes, an instance type and the catalog's rules: `ingot solve` and `ingot plan --set`."""

import re
from collections.abc import Iterable
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from ingot.catalog.catalog import Catalog
from ingot.catalog.instance_types import describe, family_of
from ingot.catalog.rules import Context, Need, broken, undecided
from ingot.errors import UsageError
from ingot.lock.make import archive_of, make, world_of
from ingot.lock.resolve import resolve
from ingot.lock.world import Candidate
from ingot.model.image import Image
from ingot.model.lock import Lock
from ingot.model.target import Target
from ingot.model.types import Facts
from ingot.plan.audit import Subject, judge
from ingot.plan.fit import driver_needs
from ingot.yamlfile import nearest

WANT = "write a component and a range, for example 'nccl==2.27.*' or 'efa>=1.49'"
SET = "write COMPONENT.FACT=VALUE, for example nvidia_driver.module=open, or a component and a range"


def want(text: str, catalog: Catalog, option: str = "--want", hint: str = WANT) -> Need:
    """The need that `nccl>=2.19` states; UsageError if it is malformed or names an unknown component."""
    match = re.fullmatch(r"\s*([A-Za-z0-9_-]+)\s*([<>=!~].*)", text)
    if match is None:
        raise UsageError(f"not a requirement: {text!r}", place=option, hint=hint)
    name, spec = match[1], match[2].strip()
    _require_component(name, catalog, option)
    try:
        SpecifierSet(spec)
    except InvalidSpecifier:
        raise UsageError(f"not a version range: {spec!r}", place=option, hint=hint) from None
    return Need(name, spec, f"{option} {text}")


def setting(text: str, catalog: Catalog) -> Need:
    """The need that `nvidia_driver.module=closed`, or a range as in `want`, states."""
    match = re.fullmatch(r"([a-z0-9_]+)\.([a-z0-9_]+)=([^=].*)", text)
    if match is None:
        return want(text, catalog, "--set", SET)
    name, fact, value = match.groups()
    _require_component(name, catalog, "--set")
    offers = catalog.components[name].offers
    facts: list[Facts] = [offer.facts for offer in offers]
    facts += [release.facts for offer in offers for release in offer.releases.values()]
    values = {str(offered[fact]): offered[fact] for offered in facts if fact in offered}
    if not values:
        hint = nearest(fact, {name for offered in facts for name in offered})
        raise UsageError(f"{name} has no fact {fact!r}", place="--set", hint=hint)
    if value not in values:
        raise UsageError(f"{name} has no {fact} {value!r}", place="--set", hint=nearest(value, values))
    return Need(name, "*", f"--set {text}", facts={fact: values[value]})


def _require_component(name: str, catalog: Catalog, option: str) -> None:
    if name not in catalog.components:
        hint = nearest(name, catalog.components)
        raise UsageError(f"unknown component {name!r}", place=option, hint=hint)


def context_of(os_name: str, arch: str, platform: str = "", accelerator: str = "", instance_type: str = "") -> Context:
    """The context of rules: a system, an image's platform, and the instance type if there is one."""
    if not instance_type:
        return Context(os_name, arch, platform, accelerator)
    facts = describe(instance_type)
    return Context(
        os_name,
        arch,
        platform,
        accelerator=facts["accelerator"],
        generation=facts["generation"],
        family=family_of(instance_type),
        nvswitch=facts["nvswitch"],
        instance_type=facts["name"],
    )


def relock(catalog: Catalog, target: Target, image: Image, settings: Iterable[str], instance_type: str) -> Lock:
    """The stack resolved again with other settings, and for an instance type if one is named; nothing is written."""
    wishes = [setting(text, catalog) for text in settings]
    context = context_of(target.os, target.arch, image.platform, image.accelerator, instance_type)
    wishes += driver_needs(describe(instance_type)) if instance_type and "nvidia_driver" in image.parts else []
    return make(catalog, target, wishes=wishes, context=context).lock


def solve(catalog: Catalog, target: Target, wants: Iterable[str], instance_type: str = "") -> dict[str, Any]:
    """The newest versions of a stack's components that satisfy the wishes and every rule; its pins are ignored.

    Raises IngotError with the chain of reasons and the nearest change if none do.
    """
    needs = [want(text, catalog) for text in wants]
    context = context_of(target.os, target.arch, instance_type=instance_type)
    archive, _ = archive_of(catalog, target)
    world, left_out = world_of(catalog, target, context, archive)
    for need in needs:
        if need.component in left_out:
            raise UsageError(f"{target.os} has no {need.component}: {left_out[need.component]}", place=need.reason)
        if need.component not in world.candidates:
            hint = nearest(need.component, world.candidates)
            raise UsageError(f"stack {target.stack} has no {need.component}", place=need.reason, hint=hint)
    needs += driver_needs(describe(instance_type)) if instance_type and "nvidia_driver" in world.candidates else []
    chosen = resolve(world, needs)
    warnings = [
        problem for problem in broken(chosen.values(), catalog.components, context) if problem.severity != "info"
    ]
    return {
        "stack": target.stack,
        "os": target.os,
        "arch": target.arch,
        "instance_type": instance_type or None,
        "components": {name: _summary(candidate) for name, candidate in chosen.items()},
        "left_out": left_out,
        "advisories": judge(Subject("", [each.thing for each in chosen.values()], target.stack), catalog)["findings"],
        "warnings": [f"{problem.message} [{problem.rule}]" for problem in warnings],
        "unknown": list(undecided(chosen.values(), catalog.components, context)),
    }


def _summary(candidate: Candidate) -> dict[str, Any]:
    release = candidate.release
    source = release.source if release else candidate.offer.source
    checked = release.checked if release else candidate.offer.checked
    return {"version": candidate.text or None, "facts": candidate.facts, "source": source, "checked": checked}
