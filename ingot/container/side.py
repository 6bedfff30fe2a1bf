"""One side of a comparison: the versions of a host image or a container, from its lock, manifest or image."""

import hashlib
import json
import re
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from packaging.version import Version

from ingot.catalog.catalog import Catalog
from ingot.catalog.rules import release_facts
from ingot.container import probe
from ingot.errors import IngotError, UsageError
from ingot.lock.file import load
from ingot.model.image import DRIVERS
from ingot.model.types import Facts
from ingot.plan.manifest import Manifest
from ingot.run import run
from ingot.textfile import read_json

# The CUDA major version in the name of a wheel.
CUDA_MAJOR = re.compile(r"-cu(\d+)$")
MANIFEST = "give the manifest.json that a build writes into its image"
CONTAINER = ["docker", "run", "--rm", "--network=none", "--entrypoint", "python3"]


@dataclass(frozen=True)
class Side:
    """The source and versions of a host image or a container.

    `lock_sha256` is empty if unknown. `wheels` are NVIDIA's Python packages, `interfaces` the interface versions of
    NCCL and its plugin; hosts have neither.
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
        """The name of its lock in the folder of the stack."""
        return f"{self.os}-{self.arch}"


def host_of(path: Path, catalog: Catalog) -> Side:
    """The host image of a lock (YAML) or a manifest (JSON)."""
    if path.suffix == ".json":
        return _of_manifest(str(path), _read_manifest(path), catalog, every=True)
    if not path.exists():
        raise UsageError("no such file", place=str(path), hint="give a lock, locks/…yml, or a manifest.json")
    lock = load(path)
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
    if not path.exists():
        raise UsageError("no such file", place=str(path), hint="give a manifest.json")
    return read_json(path, hint=MANIFEST)


def _of_manifest(read_from: str, data: Any, catalog: Catalog, *, every: bool = False) -> Side:
    """The side of a manifest: its declared components, or with `every` all observed ones."""
    manifest = Manifest.of(data, read_from)
    components = {name: manifest.observed.get(name) or version for name, version in manifest.declared.items()}
    components |= {
        name: version for name, version in manifest.observed.items() if every and version and name in catalog.components
    }
    facts = {
        name: release_facts(catalog.components[name], version)
        for name, version in components.items()
        if name in catalog.components
    }
    facts["efa"] = {**facts.get("efa", {}), "installer": manifest.efa_source not in (None, "debian")}
    return Side(
        read_from=read_from,
        stack=manifest.stack,
        os=manifest.os,
        arch=manifest.arch,
        components={name: version for name, version in components.items() if version},
        packages=manifest.packages,
        left_out=manifest.left_out,
        facts=facts,
    )


def container_of(name: str, catalog: Catalog) -> Side:
    """The container of a Docker image `name` or of a manifest (JSON)."""
    if name.endswith(".json"):
        side = _of_manifest(name, _read_manifest(Path(name)), catalog)
        return _finished(side, {}, {"wheels": {}, "interfaces": {}})
    hint = "build it with `ingot container`, or give its manifest.json"
    inspect = ["docker", "image", "inspect", "--format", "{{json .Config.Labels}}", name]
    try:
        inspected = subprocess.run(inspect, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise IngotError("docker is not installed", hint="run `make setup`, or give a manifest.json") from None
    if inspected.returncode:
        raise UsageError(f"no image {name!r} in Docker", hint=hint)
    labels = json.loads(inspected.stdout) or {}
    if labels.get("ingot") != "container":
        raise UsageError(f"{name} is not a framework container of Ingot", hint=hint)
    program = Path(probe.__file__).read_text()
    probed = json.loads(run([*CONTAINER, name, "-c", program], doing=f"reading {name}"))
    return _finished(_of_manifest(name, probed["manifest"], catalog), labels, probed)


def _finished(side: Side, labels: dict[str, str], probed: dict[str, Any]) -> Side:
    """`side` with the facts of its labels and of its framework's packages, which a job uses."""
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
