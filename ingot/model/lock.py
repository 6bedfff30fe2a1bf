"""The schema of a lock, which Ingot generates: frozen, and strict about keys like the catalog."""

from collections.abc import Collection
from datetime import date
from typing import Literal

from pydantic import Field

from ingot.errors import IngotError
from ingot.model.image import Image
from ingot.model.repository import Signed
from ingot.model.system import Base, BaseImage, ContainerImage, LockedSystem, Snapshot
from ingot.model.types import Arch, Facts, Fingerprint, Sha256, Strict


class RecordedImage(Strict):
    """The newest base image of a platform when the lock was recorded; its name is the same in every region."""

    name: str
    owner: str
    created: date


class Package(Strict):
    """One package of the distribution, exact; `size` is in bytes, `installed` in KiB as the archive states it.

    `by` are the components that bring it; empty for packages of the minimal system.
    """

    version: str
    suite: str
    path: str
    size: int
    installed: int
    sha256: Sha256
    by: list[str] = Field([])


class Wheel(Strict):
    """One wheel, exact."""

    version: str
    filename: str
    sha256: Sha256


class AskedPackage(Strict):
    """One package of a system's own repositories; `origin` is apt's archive and suite, or dnf's repository."""

    version: str
    origin: str
    sha256: Sha256 | None = None


class Asked(Strict):
    """What the package manager of the base image `image` would install for roles, as it said on an instance.

    `date` is that of its archive: when apt was asked, as `20261201T120000Z`, or the release that dnf's repositories
    are of.
    """

    image: str
    date: str
    packages: dict[str, AskedPackage]


class Repository(Strict):
    """A signed index: of the distribution, with the primary keys that signed each suite, or of a vendor, with its
    address and key. In a repository of rpm the key signs both index and packages, or what `signs` has."""

    kind: Literal["apt", "rpm"]
    suites: list[str] = Field([])
    components: list[str] = Field([])
    key_fingerprints: dict[str, list[Fingerprint]] = Field({})
    url: str = ""
    key_url: str = ""
    key_fingerprint: str = ""
    signs: list[Signed] = Field([])

    @property
    def index_signed(self) -> bool:
        """Whether the index must have a signature."""
        return self.signs != ["packages"]


class Artifact(Strict):
    """One file of a vendor; without `sha256`, its signature by the pinned key vouches for it."""

    url: str
    sha256: Sha256 | None = None
    signature: str = ""
    key_url: str = ""
    key_fingerprint: str = ""


class VendorPackage(Strict):
    """One package of a vendor's repository, exact: `path` is relative to the repository's address, `size` in bytes."""

    version: str
    path: str
    size: int
    sha256: Sha256


class LockedComponent(Strict):
    """A resolved component: its version, the packages requested by name, and the reason for the version.

    `source` is `debian`, `pypi`, `distribution`, `base_image`, `download` or the name of a vendor's repository. `exact`
    has the versions of a vendor's packages as far as they are published; others have the component's, or with
    `version_of`, the package whose version is the component's, any that fits. `files` are the packages and dependencies
    recorded from its repository. `system_packages` are needed in any version, each from `distribution` or from the
    repository that has it instead. `version` is empty if it is not resolved, or if the base image decides it.
    """

    version: str
    source: str
    packages: list[str] = Field([])
    version_of: str = ""
    system_packages: dict[str, str] = Field({})
    exact: dict[str, str] = Field({})
    files: dict[str, VendorPackage] = Field({})
    artifact: Artifact | None = None
    wheels: list[str] = Field([])
    hold: bool = False
    facts: Facts = Field({})
    why: str


class Lock(Strict):
    """A stack resolved for one operating system and architecture. `packages` are those of the minimal system and of all
    components, and `asked`, by base image, those that roles add to it from the system's own repositories.

    `unresolved` lists for each component the facts without which nobody can build it. `accepted` are the rules that the
    stack knowingly breaks, with the reason.
    """

    schema_: Literal[1] = Field(alias="schema")
    stack: str
    os: str
    arch: Arch
    catalog_sha256: Sha256
    system: LockedSystem
    base: Base | None = None
    base_images: dict[str, BaseImage] = Field({})
    images: dict[str, RecordedImage] = Field({})
    asked: dict[str, Asked] = Field({})
    container_image: ContainerImage | None = None
    snapshot: Snapshot | None = None
    repositories: dict[str, Repository]
    components: dict[str, LockedComponent]
    left_out: dict[str, str]
    accepted: dict[str, str] = Field({})
    packages: dict[str, Package]
    wheels: dict[str, Wheel]
    unresolved: dict[str, str]

    @property
    def key(self) -> str:
        """The lock's name below its stack: `debian13-x86_64`."""
        return f"{self.os}-{self.arch}"

    @property
    def archive(self) -> Base:
        """The minimal system that a local image starts from; IngotError on a system without one."""
        if self.base is None:
            raise IngotError(
                f"{self.key} has no local base: its packages come from vendors' repositories",
                hint="build debian13 or debian12 on this machine",
            )
        return self.base

    def base_image(self, name: str, image: Image) -> str:
        """The base image in EC2 of the image `name`: its own, or its platform's; empty if there is none."""
        return next((candidate for candidate in (name, image.platform) if candidate in self.base_images), "")

    def of(self, roles: Collection[str]) -> "Lock":
        """The part of the lock for an image of these roles: the minimal system, the components with their packages and
        wheels, and the parts of them that are left out."""
        components = {name: entry for name, entry in self.components.items() if name in roles}
        left_out = {name: why for name, why in self.left_out.items() if name.split(".")[0] in roles}
        unresolved = {name: what for name, what in self.unresolved.items() if name in roles or "." in name}
        packages = {
            n: package for n, package in self.packages.items() if not package.by or components.keys() & package.by
        }
        names = {name for entry in components.values() for name in entry.wheels}
        return self.model_copy(
            update={
                "components": components,
                "left_out": left_out,
                "packages": packages,
                "wheels": {name: wheel for name, wheel in self.wheels.items() if name in names},
                "unresolved": unresolved,
            }
        )
