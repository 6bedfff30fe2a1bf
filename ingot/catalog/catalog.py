"""The whole catalog as one object with look-ups by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ingot.errors import UsageError
from ingot.model.advisory import Advisories
from ingot.model.budget import Budgets
from ingot.model.component import Component
from ingot.model.container import Container, ContainerSystem
from ingot.model.image import Image
from ingot.model.repository import Repositories
from ingot.model.stack import Stack
from ingot.model.system import Builders, OperatingSystem
from ingot.model.target import Target
from ingot.model.types import LOCAL_ARCH, Accelerator
from ingot.yamlfile import nearest

T = TypeVar("T")


@dataclass(frozen=True)
class Catalog:
    """The whole catalog: components, operating systems, images and stacks, by name."""

    path: Path
    components: dict[str, Component]
    operating_systems: dict[str, OperatingSystem]
    images: dict[str, Image]
    stacks: dict[str, Stack]
    repositories: Repositories
    builders: Builders
    containers: dict[str, Container] = field(default_factory=dict)
    container_systems: dict[Accelerator, ContainerSystem] = field(default_factory=dict)
    own: Path | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    advisories: Sequence[Advisories] = ()
    budgets: Budgets = field(default_factory=Budgets)

    def operating_system(self, name: str) -> OperatingSystem:
        """The operating system `name`; UsageError with the known names if there is none."""
        return _look_up("operating system", name, self.operating_systems)

    def image(self, name: str) -> Image:
        """The image `name`; UsageError with the known names if there is none."""
        return _look_up("image", name, self.images)

    def container(self, name: str) -> Container:
        """The container `name`; UsageError with the known names if there is none."""
        return _look_up("container", name, self.containers)

    def stack(self, name: str) -> Stack:
        """The stack `name`; UsageError with the known names if there is none."""
        return _look_up("stack", name, self.stacks)

    def lineage(self, os_name: str) -> list[str]:
        """An operating system and those that it is like, nearest first."""
        names = [os_name]
        while other := self.operating_systems[names[-1]].like:
            names.append(other)
        return names

    @property
    def newest_stack(self) -> str:
        """The name of the newest stack, the default of commands; a team's own stacks come first."""
        own = [name for name in self.stacks if self.own and self.files[f"stacks/{name}"].is_relative_to(self.own)]
        return max(own or self.stacks)

    def target(self, stack: str, os_name: str, arch: str, *, local: bool = False) -> Target:
        """The target of these names; UsageError on an unknown name.

        With `local`, also on an architecture whose images cannot be built on this machine.
        """
        self.stack(stack)
        architectures = self.operating_system(os_name).architectures
        checked = next((candidate for candidate in architectures if candidate == arch), None)
        if checked is None:
            raise UsageError(f"{os_name} has no architecture {arch!r}", hint=nearest(arch, architectures))
        if local and checked != LOCAL_ARCH:
            raise UsageError(
                f"no image is built for {arch} on this machine: its disk tools and QEMU are {LOCAL_ARCH} only",
                hint=f"build for {LOCAL_ARCH}; `ingot plan IMAGE --os {os_name} --arch {arch}` shows what the lock has",
            )
        return Target(stack, os_name, checked)


def _look_up(kind: str, name: str, table: dict[str, T]) -> T:
    if name not in table:
        raise UsageError(f"unknown {kind} {name!r}", hint=nearest(name, table))
    return table[name]


def files_named(folders: Sequence[Path], name: str) -> list[Path]:
    """The file `name` of the first folder, which must have it, and of the others that have it."""
    return [folders[0] / name, *(folder / name for folder in folders[1:] if (folder / name).exists())]
