"""Compares a container with the host image that it is to run on: one lock, and what crosses from one to the other."""

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from packaging.version import Version

from ingot import paths
from ingot.catalog.catalog import Catalog
from ingot.catalog.rules import Part, broken, contains, release_facts
from ingot.container import probe as pair_probe
from ingot.errors import IngotError, UsageError
from ingot.lock.file import load as load_lock
from ingot.model.image import DRIVERS
from ingot.model.rule import Pair, Pairs
from ingot.model.types import Facts
from ingot.plan.check import NUMBER
from ingot.plan.solve import context_of
from ingot.run import run
from ingot.yamlfile import load

FILE = paths.CATALOG / "pairs.yml"
# What of a wheel's name says for which CUDA it was built.
CUDA_MAJOR = re.compile(r"-cu(\d+)$")
# Components that are for an accelerator alone, so that a container for another one has no use for what it has of them.
OF_NVIDIA = ("cuda", "nccl", "aws_ofi_nccl", "gdrcopy", "cuda_compat")
CONTAINER = ["docker", "run", "--rm", "--network=none", "--entrypoint", "python3"]


@dataclass(frozen=True)
class Side:
    """What is known of a host image or a container: where that was read, and its versions.

    `lock_sha256` is empty where nothing says it. `wheels` are a framework's packages of NVIDIA, and `interfaces` those
    between NCCL and its plugin; hosts have neither.
    """

    read_from: str
    stack: str
    os: str
    arch: str
    components: dict[str, str]
    packages: dict[str, str]
    left_out: dict[str, str]
    facts: dict[str, Facts]
    lock_sha256: str = ""
    accelerator: str = ""
    wheels: dict[str, str] = field(default_factory=dict)
    interfaces: dict[str, list[int]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The name of its lock below the stack."""
        return f"{self.os}-{self.arch}"


@dataclass(frozen=True)
class Row:
    """One thing compared: what each side has of it, whether that goes together, and why; empty where it has none."""

    what: str
    host: str
    container: str
    state: str
    why: str
    source: str = ""


def host_of(path: Path, catalog: Catalog) -> Side:
    """The host image that a lock (YAML) declares or a manifest (JSON) observed."""
    if path.suffix == ".json":
        return _of_manifest(str(path), _read_manifest(path), catalog, every=True)
    if not path.exists():
        raise UsageError("there is no such file", place=str(path), hint="give a lock, locks/…yml, or a manifest.json")
    lock = load_lock(path)
    return Side(
        read_from=str(path),
        stack=lock.stack,
        os=lock.os,
        arch=lock.arch,
        components={name: entry.version for name, entry in lock.components.items() if entry.version},
        packages={name: package.version for name, package in lock.packages.items()},
        left_out=lock.left_out,
        facts={name: entry.facts for name, entry in lock.components.items()},
        lock_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def _read_manifest(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise UsageError("there is no such file", place=str(path), hint="give a manifest.json") from None
    except ValueError as error:
        raise IngotError(f"is no manifest: {error}", place=str(path)) from None


def _of_manifest(read_from: str, data: Any, catalog: Catalog, *, every: bool = False) -> Side:
    """What a manifest says: of the declared components, or with `every` of all that were seen."""
    try:
        declared, seen = data["declared"], data["observed"]
        components = {name: seen.get(name) or entry["version"] for name, entry in declared["components"].items()}
        components |= {name: seen[name] for name in seen if every and seen[name] and name in catalog.components}
        efa = declared["components"].get("efa", {}).get("source")
        facts = {name: release_facts(catalog.components[name], version) for name, version in components.items()}
        facts["efa"] = {**facts.get("efa", {}), "installer": efa not in (None, "debian")}
        return Side(
            read_from=read_from,
            stack=declared["stack"],
            os=declared["os"],
            arch=declared["arch"],
            components=components,
            packages=data.get("packages", {}),
            left_out=declared.get("left_out", {}),
            facts=facts,
        )
    except (AttributeError, KeyError, TypeError):
        raise IngotError("is no manifest", place=read_from, hint="a build of Ingot writes one into its image") from None


def container_of(name: str, catalog: Catalog) -> Side:
    """The container that the image `name` in Docker is, or that a manifest (JSON) was read from."""
    if name.endswith(".json"):
        side = _of_manifest(name, _read_manifest(Path(name)), catalog)
        return _finished(side, {}, {"wheels": {}, "interfaces": {}})
    hint = "build it by `ingot container`, or give the manifest.json of one"
    inspect = ["docker", "image", "inspect", "--format", "{{json .Config.Labels}}", name]
    try:
        found = subprocess.run(inspect, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise IngotError("docker is not installed", hint="run `make setup`, or give the manifest.json of one") from None
    if found.returncode:
        raise UsageError(f"there is no image {name!r} in Docker", hint=hint)
    labels = json.loads(found.stdout) or {}
    if labels.get("ingot") != "container":
        raise UsageError(f"{name} is no framework container of Ingot", hint=hint)
    program = Path(pair_probe.__file__).read_text()
    probed = json.loads(run([*CONTAINER, name, "-c", program], doing=f"reading {name}"))
    return _finished(_of_manifest(name, probed["manifest"], catalog), labels, probed)


def _finished(side: Side, labels: dict[str, str], probed: dict[str, Any]) -> Side:
    """`side` with what its labels say and what the framework in it brings, which is what a job uses."""
    components, facts = dict(side.components), dict(side.facts)
    default = next((name for name, driver in DRIVERS.items() if {driver, "cuda"} & set(components)), "cpu")
    accelerator = labels.get("ingot.accelerator") or default
    for wheel, version in probed["wheels"].items():
        built_for = CUDA_MAJOR.search(wheel)
        if re.fullmatch(r"nvidia-nccl-cu\d+", wheel) and built_for:
            components["nccl"], facts["nccl"] = version, {"cuda_major": int(built_for[1])}
        if re.fullmatch(r"nvidia-cuda-runtime(-cu\d+)?", wheel):
            components["cuda"] = max(components.get("cuda", version), version, key=Version)
    return replace(
        side,
        components=components,
        facts=facts,
        accelerator=accelerator,
        lock_sha256=labels.get("ingot.lock.sha256", ""),
        wheels=probed["wheels"],
        interfaces=probed["interfaces"],
    )


def pair(host: Side, container: Side, catalog: Catalog) -> dict[str, Any]:
    """What was compared, as rows; they go together when none is refused."""
    judged = [*_rules(host, container, catalog)]
    of_cuda = {f"rule {rule.id}" for rule in catalog.components["cuda"].rules}
    known = not any(row.state == "refused" for row in judged if row.what in of_cuda)
    rows = [*_one_lock(host, container), *_driver(host, container, known), *_shared(host, container)]
    rows += [*_nccl(container), *judged]
    return {
        "host": host.read_from,
        "container": container.read_from,
        "accelerator": container.accelerator,
        "fits": not any(row.state == "refused" for row in rows),
        "compared": [asdict(row) for row in rows],
    }


def _one_lock(host: Side, container: Side) -> Iterator[Row]:
    """The stack, the architecture, and of one lock every component that both have."""
    same = host.stack == container.stack
    why = "" if same else f"build both from one stack: `ingot container NAME --stack {host.stack}`, or the host anew"
    yield Row("stack", host.stack, container.stack, "same" if same else "refused", why)
    if host.arch != container.arch:
        yield Row("architecture", host.arch, container.arch, "refused", "programs of one do not run on the other")
    if host.key != container.key:
        yield Row("system", host.key, container.key, "differs", "each has a lock of its own; versions count otherwise")
        return
    if host.lock_sha256 and container.lock_sha256:
        same = host.lock_sha256 == container.lock_sha256
        why = "" if same else "the lock has changed between them; what both have of it is compared"
        digests = host.lock_sha256[:12], container.lock_sha256[:12]
        yield Row("lock", *digests, "same" if same else "differs", why)
    for name in sorted({*host.components} & {*container.components} - {*_unused(container)}):
        mine, other = host.components[name], container.components[name]
        # A framework brings its own, which the rules judge; its build has compared its NCCL with the base's.
        if name in ("nccl", "cuda") and container.wheels:
            continue
        why = "" if mine == other else f"they are of two locks for {container.key}; build both from one"
        yield Row(name, mine, other, "same" if mine == other else "refused", why)


def _unused(container: Side) -> tuple[str, ...]:
    """Components that the container may have and makes no use of."""
    return () if container.accelerator == "nvidia" else OF_NVIDIA


def _driver(host: Side, container: Side, known: bool) -> Iterator[Row]:
    """The accelerator's driver, which the host alone has; `known` says whether it knows the container's CUDA."""
    accelerator, cuda = container.accelerator, container.components.get("cuda", "")
    needed = DRIVERS.get(accelerator, "")
    driver = host.components.get(needed or "nvidia_driver", "")
    if not needed:
        why = f"a container for {accelerator} uses no driver" + (", its CUDA is never started" if cuda else "")
        yield Row("driver, CUDA", driver, cuda, "not compared", why)
    elif not driver:
        why = f"a container for {accelerator} needs {needed}: {host.left_out.get(needed, 'the host has none')}"
        yield Row(needed, "", accelerator, "refused", why)
    elif accelerator == "nvidia" and not cuda:
        yield Row("driver, CUDA", driver, "", "not compared", "the container has no CUDA")
    elif accelerator == "nvidia":
        why = "by the rules of catalog/components/cuda.yml"
        yield Row("driver, CUDA", driver, cuda, "fits" if known else "refused", why)


def _shared(host: Side, container: Side) -> Iterator[Row]:
    """What catalog/pairs.yml names."""
    for name, row in load(FILE, Pairs).pairs.items():
        mine, other = _version(host, name, row), _version(container, name, row)
        if not other or not mine:
            absent = "neither says its version" if not (mine or other) else f"the {'host' if other else 'container'}"
            absent += "" if not (mine or other) else " has none, or what it was read from does not say"
            yield Row(name, mine, other, "not compared", absent)
            continue
        spec = row.host.format(container=_number(other))
        fits = contains(spec, Version(_number(mine))) and contains(row.container, Version(_number(other)))
        wanted = f"the host's must be {spec}" if not contains(spec, Version(_number(mine))) else ""
        wanted = wanted or (f"the container's must be {row.container}" if not fits else "")
        why = f"{wanted}: {row.reason}" if wanted else row.reason
        yield Row(name, mine, other, "fits" if fits else "refused", why, row.source)


def _version(side: Side, name: str, row: Pair) -> str:
    """The version of `name`: of the component, of a fact of the EFA installer, or of the first package there is."""
    if name in side.components:
        return side.components[name]
    efa = side.facts.get("efa", {})
    if row.fact in efa:
        return str(efa[row.fact])
    listed = next((side.packages[package] for package in row.packages if package in side.packages), "")
    return _number(listed)


def _number(version: str) -> str:
    """The part of a version that can be compared, without a package's epoch."""
    found = NUMBER.match(version.rpartition(":")[2])
    return found[0] if found else ""


def _nccl(container: Side) -> Iterator[Row]:
    """Whether NCCL and its plugin in the container name one network interface."""
    mine, other = (container.interfaces.get(name, []) for name in ("nccl", "aws_ofi_nccl"))
    what = "NCCL's interface to its plugin"
    shown = ["v" + ", v".join(map(str, each)) if each else "" for each in (mine, other)]
    if not mine or not other:
        lacking = " and ".join(name for name, each in (("NCCL", mine), ("plugin", other)) if not each)
        yield Row(what, "", shown[0] or shown[1], "not compared", f"the container has no {lacking}")
    elif common := set(mine) & set(other):
        yield Row(what, "", f"v{max(common)}", "fits", "both have it as a symbol")
    else:
        yield Row(what, "", f"{shown[0]}; the plugin {shown[1]}", "refused", "NCCL would run without EFA, by TCP")


def _rules(host: Side, container: Side, catalog: Catalog) -> Iterator[Row]:
    """The rules of components that the host breaks only together with what the container has in its place."""
    unused = _unused(container)
    used = {name: version for name, version in container.components.items() if name not in unused}
    context = context_of(host.os, host.arch, "", container.accelerator)
    kept = _parts(host, {name: version for name, version in host.components.items() if name not in used})
    alone = {each.rule for each in broken(kept, catalog.components, context)}
    states = {"error": "refused", "warning": "differs", "info": "fits"}
    for each in broken([*kept, *_parts(container, used)], catalog.components, context):
        if each.rule not in alone:
            yield Row(f"rule {each.rule}", "", "", states[each.severity], each.message, each.source)


def _parts(side: Side, versions: dict[str, str]) -> list[Part]:
    return [
        Part(name, Version(number), version, side.facts.get(name, {}))
        for name, version in versions.items()
        if (number := _number(version))
    ]
