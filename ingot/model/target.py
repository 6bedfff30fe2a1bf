"""The selection of a command: a target, and an image or a container for it."""

from dataclasses import dataclass, replace
from pathlib import Path

from ingot import paths
from ingot.model.component import Brought
from ingot.model.container import Container
from ingot.model.image import Image
from ingot.model.lock import Lock
from ingot.model.types import Accelerator, Arch


@dataclass(frozen=True)
class Target:
    """A stack, an operating system and an architecture: there is one lock per target."""

    stack: str
    os: str
    arch: Arch

    @property
    def key(self) -> str:
        """The name of its lock below the stack: `debian13-x86_64`."""
        return f"{self.os}-{self.arch}"

    def __str__(self) -> str:
        return f"{self.stack} {self.key}"


@dataclass(frozen=True)
class ImageSelection:
    """A machine image for a target, with its part of the lock. `ingot.lock.select` makes and checks it.

    `base` names its base image in EC2 in the lock, and is empty if there is none.
    """

    name: str
    image: Image
    target: Target
    lock: Lock
    lock_path: Path
    base: str

    @property
    def brought(self) -> dict[str, Brought]:
        """What the base image in EC2 brings of the components, which are left alone."""
        return self.lock.base_images[self.base].brings if self.base else {}

    @property
    def fixed(self) -> dict[str, Brought]:
        """What no build of the image decides: of a system without a local base, what the base image in EC2 brings."""
        return {} if self.lock.base else self.brought

    @property
    def in_image(self) -> Lock:
        """The lock in the versions that will be there: the base image's of what it alone decides, empty if unknown."""
        entries = self.lock.components
        brought = {
            name: entries[name].model_copy(update={"version": part.version})
            for name, part in self.fixed.items()
            if name in entries
        }
        return self.lock.model_copy(update={"components": {**entries, **brought}})

    @property
    def on_base(self) -> "ImageSelection":
        """The same image without the components that its base image in EC2 brings."""
        image = self.image.without(self.brought)
        return ImageSelection(self.name, image, self.target, self.lock.of(image.parts), self.lock_path, self.base)

    def with_lock(self, lock: Lock) -> "ImageSelection":
        """The same image with its part of another lock of its target."""
        return replace(self, lock=lock.of(self.image.parts))

    @property
    def tag(self) -> str:
        """The name of the finished image in Docker."""
        return f"ingot/{self.name}:{self.target.key}"

    @property
    def dir(self) -> Path:
        """The folder of disk, manifest, SBOM, report and logs, created if missing."""
        return paths.build_dir(self.name, self.target.key)


@dataclass(frozen=True)
class ContainerSelection:
    """A variant of a framework container for a target, with its part of the lock. `ingot.lock.select` makes it.

    `chain` is the container and its ancestors, the root first.
    """

    name: str
    chain: list[tuple[str, Container]]
    accelerator: Accelerator
    target: Target
    lock: Lock
    lock_path: Path

    def with_lock(self, lock: Lock) -> "ContainerSelection":
        """The same container with another lock of its target."""
        return replace(self, lock=lock)

    @property
    def roles(self) -> list[str]:
        """The roles that make the root of the chain."""
        return self.chain[0][1].roles.get(self.accelerator, [])

    def tag_of(self, name: str) -> str:
        """The name in Docker of the container `name` in this variant."""
        return container_tag(name, self.accelerator, self.target)

    @property
    def tag(self) -> str:
        """The name of the finished container in Docker."""
        return self.tag_of(self.name)

    @property
    def dir(self) -> Path:
        """The folder of logs, created if missing."""
        return paths.build_dir("containers", f"{self.accelerator}-{self.target.key}")


def container_tag(name: str, accelerator: str, target: Target) -> str:
    """The name in Docker of a container for an accelerator."""
    return f"ingot/{name}:{accelerator}-{target.key}"
