"""Turns a stack into a lock: one version of each component, and the exact packages that bring it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.version import Version

from ingot.catalog.advisories import deciding, plain, require_current
from ingot.catalog.catalog import Catalog
from ingot.catalog.digest import digest_of
from ingot.catalog.rules import Context, Need, contains
from ingot.catalog.systems import FOLDER, incomplete, unoffered
from ingot.errors import IngotError
from ingot.lock import vendor
from ingot.lock.resolve import rejections, resolve
from ingot.lock.world import Candidate, Rejected, World
from ingot.model.component import Component, Offer
from ingot.model.lock import Lock, LockedComponent, Package, Repository
from ingot.model.stack import Stack
from ingot.model.system import ContainerImage, LockedSystem, OperatingSystem
from ingot.model.target import Target
from ingot.model.types import Arch
from ingot.sources import pypi
from ingot.sources.apt import DEB_ARCH, Archive, Wanted, upstream


@dataclass(frozen=True)
class Resolution:
    """A lock, and the newer versions that were rejected."""

    lock: Lock
    rejected: dict[str, list[Rejected]]


def offers_of(component: Component, target: Target) -> list[Offer]:
    """The offers of a component on a system, with the package names of its architecture."""
    return [
        offer.model_copy(update={"apt": offer.apt.named(DEB_ARCH[target.arch])}) if offer.apt else offer
        for offer in component.offers
        if target.os in offer.os and target.arch in offer.arch
    ]


def _candidates(name: str, offers: list[Offer], target: Target, archive: Archive | None) -> list[Candidate]:
    """Every version of component `name` in its offers, newest first; equal versions in the order of the offers."""
    candidates = []
    for offer in offers:
        exact: dict[str, str] = {}
        if offer.apt and archive:
            exact = {upstream(version): version for version in reversed(archive.versions(offer.apt.version_of))}
        elif offer.wheels:
            listed = pypi.versions(offer.wheels.version_of, target.arch)
            exact = {version: version for version in listed if contains(offer.wheels.spec, Version(version))}
        else:
            candidates += vendor.candidates(name, offer, target.os)
        candidates += [
            Candidate(name, Version(text), text, offer.facts, source, offer) for text, source in exact.items()
        ]
    return sorted(candidates, key=lambda candidate: candidate.version or Version("0"), reverse=True)


def _apt_packages(candidate: Candidate, archive: Archive) -> dict[str, str | None]:
    """The packages that a candidate needs from the archive, with the version if the candidate determines it."""
    if candidate.offer.wheels:
        return dict.fromkeys(candidate.offer.wheels.tools)
    if candidate.offer.apt is None:
        return {}
    packages: dict[str, str | None] = {}
    for name in candidate.offer.apt.packages:
        version = candidate.exact if candidate.exact in archive.versions(name) else None
        if name in candidate.offer.apt.follow and version is not None:
            name = archive.target(name, version)
            version = version if version in archive.versions(name) else None
        packages[name] = version
    return packages


def _wheel_version(name: str, candidate: Candidate, arch: Arch) -> str:
    """The version of wheel `name` that goes with a candidate: the same, else the newest of its minor release."""
    listed = pypi.versions(name, arch)
    if candidate.exact in listed:
        return candidate.exact
    minor = [text for text in listed if Version(text).release[:2] == Version(candidate.exact).release[:2]]
    if not minor:
        raise IngotError(f"{candidate.component} {candidate.text} needs {name}, which has no matching version")
    return max(minor, key=Version)


def wishes_of(stack: Stack, os_name: str) -> list[Need]:
    """The needs that the stack's pins state for an operating system."""
    return [
        Need(name, wanted.version, f"stack {stack.stack}: {wanted.why}", facts=pin.facts)
        for name, pin in stack.pins.items()
        for wanted in [pin.on(os_name)]
    ]


def archive_of(catalog: Catalog, target: Target) -> tuple[Archive | None, dict[str, list[str]]]:
    """The archive of a system's packages, updated, and its signers; None if the packages come from vendors."""
    system = catalog.operating_system(target.os)
    if system.base is None:
        return None, {}
    archive = Archive(target.os, system, target.arch)
    signers = archive.update()
    components = [catalog.components[name] for name in catalog.stack(target.stack).pins]
    offered = [offer.apt for component in components for offer in offers_of(component, target) if offer.apt]
    archive.read(name for apt in offered for name in (apt.version_of, *apt.packages))
    return archive, signers


def world_of(
    catalog: Catalog, target: Target, context: Context, archive: Archive | None
) -> tuple[World, dict[str, str]]:
    """The candidates for each component of the stack, and the left-out components with the reason."""
    stack, os_name = catalog.stack(target.stack), target.os
    require_current(catalog, stack)
    candidates: dict[str, list[Candidate]] = {}
    left_out: dict[str, str] = {}
    system = catalog.operating_system(os_name)
    if lacks := unoffered(system, (catalog.components[name] for name in stack.pins)):
        raise incomplete(os_name, catalog.files[f"{FOLDER}/{os_name}"], [], lacks, catalog.operating_systems)
    for name in stack.pins:
        component = catalog.components[name]
        offers = offers_of(component, target)
        left_out |= {f"{name}.{part}": why[os_name] for part, why in component.parts_left_out.items() if os_name in why}
        if os_name in component.left_out:
            left_out[name] = component.left_out[os_name]
        elif not offers:
            left_out[name] = f"there is none for {target.arch}"
        else:
            candidates[name] = _candidates(name, offers, target, archive)
    advisories = {name: plain(deciding(catalog.advisories, name)) for name in candidates}
    return World(candidates, catalog.components, context, {*stack.accept, *stack.accepts}, advisories), left_out


def _closure(
    archive: Archive, bare: Wanted, requested: Mapping[str, Wanted], kept: Mapping[str, str]
) -> dict[str, Package]:
    """All packages of the minimal system and of the components, each with the components that bring it.

    A component brings the packages that apt installs for it alone, out of these, on the minimal system.
    """
    together = dict(bare)
    for packages in requested.values():
        together |= packages
    whole = archive.closure(together, kept)
    names = sorted(name for name, packages in requested.items() if packages)
    parts = archive.parts(whole, {"": bare, **{name: {**bare, **requested[name]} for name in names}})
    by = {
        package_name: [] if package_name in parts[""] else [name for name in names if package_name in parts[name]]
        for package_name in whole
    }
    return {
        package_name: package.model_copy(update={"by": by[package_name]}) for package_name, package in whole.items()
    }


def make(
    catalog: Catalog,
    target: Target,
    keep: Lock | None = None,
    *,
    wishes: Iterable[Need] = (),
    context: Context | None = None,
) -> Resolution:
    """Resolve a stack for one operating system: Debian from its signed archive and the Python package index, others
    offline from the vendors' releases in the catalog.

    With `keep`, an older lock of the same target, every package of it that still exists is kept. `wishes` replace the
    pins' ranges of their components, and `context` adds to the context of the system.
    """
    stack, os_name, arch = catalog.stack(target.stack), target.os, target.arch
    system = catalog.operating_system(os_name)
    archive, signers = archive_of(catalog, target)
    world, left_out = world_of(catalog, target, context or Context(os_name, arch), archive)
    own = list(wishes)
    ranges = {need.component for need in own if need.spec != "*"}
    pins = [need for need in wishes_of(stack, os_name) if need.component not in ranges]
    needs = [need for need in [*pins, *own] if need.component in world.candidates]
    chosen = resolve(world, needs)
    rejected = rejections(chosen, world, needs)
    requested = {name: _apt_packages(candidate, archive) if archive else {} for name, candidate in chosen.items()}
    repositories, unresolved = vendor.repositories(chosen, catalog, os_name, arch)
    closure: dict[str, Package] = {}
    if archive:
        base = system.archive
        repositories["debian"] = Repository(
            kind="apt", suites=system.suites, components=base.components, key_fingerprints=signers
        )
        kept = {name: package.version for name, package in keep.packages.items()} if keep else {}
        closure = _closure(archive, {"?essential": None, **dict.fromkeys(base.packages)}, requested, kept)
    else:
        unresolved |= {f"base_image.{name}": vendor.UNKNOWN_IMAGE for name in system.base_images}
    wheels = {
        name: pypi.wheel(name, _wheel_version(name, candidate, arch), arch)
        for candidate in chosen.values()
        if candidate.offer.wheels
        for name in candidate.offer.wheels.packages
    }
    whys = {
        name: _reason(_why(stack, os_name, candidate, own), rejected.get(name, []))
        for name, candidate in chosen.items()
    }
    lock = Lock(
        schema=1,
        stack=target.stack,
        os=os_name,
        arch=arch,
        catalog_sha256=digest_of(catalog, target),
        system=LockedSystem.model_validate(system.model_dump(include=set(LockedSystem.model_fields))),
        base=system.base,
        base_images=vendor.base_images(system, chosen, arch),
        container_image=ContainerImage(image=system.container_image.image) if system.container_image else None,
        snapshot=vendor.snapshot(system),
        repositories=repositories,
        components={
            name: _locked(candidate, sorted(requested[name]), whys[name], catalog, system, arch)
            for name, candidate in chosen.items()
        },
        left_out=left_out,
        accepted=stack.accept,
        packages=closure,
        wheels=wheels,
        unresolved=unresolved,
    )
    return Resolution(lock, rejected)


def _why(stack: Stack, os_name: str, candidate: Candidate, wishes: Iterable[Need]) -> str:
    """The pin's reason, which belongs to the versions of its range; for others, the wishes that replace the pin."""
    name = candidate.component
    pin = stack.pins[name].on(os_name)
    if Need(name, pin.version, pin.why).allows(candidate):
        return pin.why
    return f"Asked for by {' and '.join(need.reason for need in wishes if need.component == name) or 'a rule'}"


def _reason(why: str, rejected: list[Rejected]) -> str:
    """Why a version is chosen, and why the newest is not."""
    newest = f" Not {rejected[0].candidate.text}: {rejected[0].need}." if rejected else ""
    return f"{why.removesuffix('.')}.{newest}"


def _locked(
    candidate: Candidate,
    packages: list[str],
    why: str,
    catalog: Catalog,
    system: OperatingSystem,
    arch: Arch,
) -> LockedComponent:
    offer = candidate.offer
    facts = dict(candidate.facts)
    for fact, pattern in offer.facts_from_package.items():
        matches = [match[1] for name in packages if (match := re.fullmatch(pattern, name))]
        if len(matches) != 1:
            raise IngotError(f"{candidate.component}: {pattern!r} matches {len(matches)} packages, not one")
        facts[fact] = matches[0]
    hold = catalog.components[candidate.component].hold
    if offer.repository or offer.download:
        return vendor.locked(candidate, catalog.repositories, system, arch, hold=hold, why=why)
    return LockedComponent(
        version=candidate.text,
        source="debian" if offer.apt else "pypi",
        packages=packages,
        wheels=offer.wheels.packages if offer.wheels else [],
        hold=hold,
        facts=facts,
        why=why,
    )
