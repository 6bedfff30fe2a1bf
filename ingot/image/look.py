"""Looks into a finished image before it boots: the suite, the manifest, the packages, and what takes the space."""

import json
from dataclasses import dataclass
from pathlib import Path

from ingot import paths
from ingot.console import Progress
from ingot.image import probe, sbom, verdict
from ingot.image.space import by_component
from ingot.image.verify import Result, verify
from ingot.model.target import ImageSelection
from ingot.run import container, run


@dataclass(frozen=True)
class Look:
    """What was seen: the suite's result, bytes by component and package, and the versions of packages."""

    result: Result
    space: dict[str, dict[str, int]]
    packages: dict[str, str]


def look(selection: ImageSelection, image: str, name: str, inputs_sha256: str, progress: Progress, log: Path) -> Look:
    """Look into the image in a container called `name`; write manifest and SBOM next to the disk."""
    with progress.part("suite on the image"), container(image, name):
        result = verify(f"docker://{name}", lock_path=selection.lock_path, image=selection.name, log=log)
        manifest = run(["docker", "exec", name, "cat", "/usr/share/ingot/manifest.json"])
        dpkg = run(["docker", "exec", name, "dpkg-query", "-W", "-f", sbom.QUERY])
        program = Path(probe.__file__).read_text()
        taken = run(["docker", "exec", "--interactive", name, "python3", "-", "space"], stdin=program)
    paths.write_text(selection.dir / verdict.MANIFEST, manifest)
    wheels = [(name, wheel.version) for name, wheel in selection.lock.wheels.items()]
    bill = sbom.make(selection.lock, selection.name, dpkg, wheels, inputs_sha256)
    paths.write_text(selection.dir / verdict.SBOM, bill)
    return Look(result, by_component(json.loads(taken), selection.lock), sbom.versions(dpkg))
