"""Compares a container with a host image: the lock, the driver, and interfaces between the two."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from packaging.version import Version

from ingot import paths
from ingot.catalog.catalog import Catalog
from ingot.catalog.rules import Part, broken, contains
from ingot.container.side import Side
from ingot.model.image import DRIVERS
from ingot.model.rule import Pair, Pairs
from ingot.plan.check import NUMBER
from ingot.plan.solve import context_of
from ingot.yamlfile import load

FILE = paths.CATALOG / "pairs.yml"
# Components that only containers for nvidia use.
OF_NVIDIA = ("cuda", "nccl", "aws_ofi_nccl", "gdrcopy", "cuda_compat")


@dataclass(frozen=True)
class Row:
    """One comparison: the version on each side, empty if it has none, the result, and the reason."""

    what: str
    host: str
    container: str
    state: str
    why: str
    source: str = ""


def pair(host: Side, container: Side, catalog: Catalog) -> dict[str, Any]:
    """All comparisons, as rows; the container fits if none is refused."""
    judged = [*_rules(host, container, catalog)]
    of_cuda = {f"rule {rule.id}" for rule in catalog.components["cuda"].rules}
    supported = not any(row.state == "refused" for row in judged if row.what in of_cuda)
    rows = [*_one_lock(host, container), *_driver(host, container, supported), *_shared(host, container)]
    rows += [*_nccl(container), *judged]
    return {
        "host": host.read_from,
        "container": container.read_from,
        "accelerator": container.accelerator,
        "fits": not any(row.state == "refused" for row in rows),
        "compared": [asdict(row) for row in rows],
    }


def _one_lock(host: Side, container: Side) -> Iterator[Row]:
    """Compares the stack, the architecture, and the shared components if both have one lock."""
    same = host.stack == container.stack
    why = "" if same else f"build both from one stack: `ingot container NAME --stack {host.stack}`, or rebuild the host"
    yield Row("stack", host.stack, container.stack, "same" if same else "refused", why)
    if host.arch != container.arch:
        yield Row(
            "architecture", host.arch, container.arch, "refused", "programs of one architecture do not run on the other"
        )
    if host.key != container.key:
        yield Row("system", host.key, container.key, "differs", "each has its own lock, so only versions are compared")
        return
    if host.lock_sha256 and container.lock_sha256:
        same = host.lock_sha256 == container.lock_sha256
        why = "" if same else "the lock changed between the builds; shared components are compared"
        digests = host.lock_sha256[:12], container.lock_sha256[:12]
        yield Row("lock", *digests, "same" if same else "differs", why)
    for name in sorted({*host.components} & {*container.components} - {*_unused(container)}):
        ours, theirs = host.components[name], container.components[name]
        # The framework's wheels have their own, which the rules judge; its build has checked NCCL.
        if name in ("nccl", "cuda") and container.wheels:
            continue
        why = "" if ours == theirs else f"versions of two locks for {container.key}; build both from one"
        yield Row(name, ours, theirs, "same" if ours == theirs else "refused", why)


def _unused(container: Side) -> tuple[str, ...]:
    """Components that the container does not use, even if it has them."""
    return () if container.accelerator == "nvidia" else OF_NVIDIA


def _driver(host: Side, container: Side, supported: bool) -> Iterator[Row]:
    """Compares the driver, which only the host has; `supported` says whether it supports the container's CUDA."""
    accelerator, cuda = container.accelerator, container.components.get("cuda", "")
    needed = DRIVERS.get(accelerator, "")
    driver = host.components.get(needed or "nvidia_driver", "")
    if not needed:
        why = f"a container for {accelerator} uses no driver" + (" and no CUDA" if cuda else "")
        yield Row("driver, CUDA", driver, cuda, "not compared", why)
    elif not driver:
        why = f"a container for {accelerator} needs {needed}: {host.left_out.get(needed, 'the host has none')}"
        yield Row(needed, "", accelerator, "refused", why)
    elif accelerator == "nvidia" and not cuda:
        yield Row("driver, CUDA", driver, "", "not compared", "the container has no CUDA")
    elif accelerator == "nvidia":
        why = "rules of catalog/components/cuda.yml"
        yield Row("driver, CUDA", driver, cuda, "fits" if supported else "refused", why)


def _shared(host: Side, container: Side) -> Iterator[Row]:
    """Compares the pairs of catalog/pairs.yml."""
    for name, row in load(FILE, Pairs).pairs.items():
        ours, theirs = _version(host, name, row), _version(container, name, row)
        if not ours or not theirs:
            side = "host" if theirs else "container"
            why = f"the {side} has no known version" if ours or theirs else "neither has a known version"
            yield Row(name, ours, theirs, "not compared", why)
            continue
        spec = row.host.format(container=_number(theirs))
        demand = "" if contains(spec, Version(_number(ours))) else f"the host's must be {spec}"
        if not demand and not contains(row.container, Version(_number(theirs))):
            demand = f"the container's must be {row.container}"
        why = f"{demand}: {row.reason}" if demand else row.reason
        yield Row(name, ours, theirs, "refused" if demand else "fits", why, row.source)


def _version(side: Side, name: str, row: Pair) -> str:
    """The version of `name`: of the component, a fact of the EFA installer, or the first installed package."""
    if name in side.components:
        return side.components[name]
    efa = side.facts.get("efa", {})
    if row.fact in efa:
        return str(efa[row.fact])
    listed = next((side.packages[package] for package in row.packages if package in side.packages), "")
    return _number(listed)


def _number(version: str) -> str:
    """The part of a version that can be compared, without the epoch of packages."""
    match = NUMBER.match(version.rpartition(":")[2])
    return match[0] if match else ""


def _nccl(container: Side) -> Iterator[Row]:
    """Compares the interface versions of NCCL and its plugin in the container."""
    nccl, plugin = (container.interfaces.get(name, []) for name in ("nccl", "aws_ofi_nccl"))
    title = "NCCL's interface to its plugin"
    texts = ["v" + ", v".join(map(str, versions)) if versions else "" for versions in (nccl, plugin)]
    if not nccl or not plugin:
        missing = " and ".join(name for name, versions in (("NCCL", nccl), ("plugin", plugin)) if not versions)
        yield Row(title, "", texts[0] or texts[1], "not compared", f"the container has no {missing}")
    elif common := set(nccl) & set(plugin):
        yield Row(title, "", f"v{max(common)}", "fits", "both have its symbol")
    else:
        yield Row(title, "", f"{texts[0]}; the plugin {texts[1]}", "refused", "NCCL would use TCP instead of EFA")


def _rules(host: Side, container: Side, catalog: Catalog) -> Iterator[Row]:
    """Rules of components that the host breaks only with the container's components instead of its own."""
    unused = _unused(container)
    used = {name: version for name, version in container.components.items() if name not in unused}
    context = context_of(host.os, host.arch, "", container.accelerator)
    kept = _parts(host, {name: version for name, version in host.components.items() if name not in used})
    alone = {breach.rule for breach in broken(kept, catalog.components, context)}
    states = {"error": "refused", "warning": "differs", "info": "fits"}
    for breach in broken([*kept, *_parts(container, used)], catalog.components, context):
        if breach.rule not in alone:
            yield Row(f"rule {breach.rule}", "", "", states[breach.severity], breach.message, breach.source)


def _parts(side: Side, versions: dict[str, str]) -> list[Part]:
    return [
        Part(name, Version(number), version, side.facts.get(name, {}))
        for name, version in versions.items()
        if (number := _number(version))
    ]
