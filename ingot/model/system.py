"""The shape of an operating system, and of where images of it are built."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ingot.errors import IngotError
from ingot.model.types import UNLOCKED, Arch, Fingerprint, Strict


class Base(Strict):
    """The root file system that a local image starts from: its suite and the packages of the bare system."""

    suite: str
    components: list[str]
    packages: list[str]


class BaseImage(Strict):
    """How a platform's base image is found in EC2: its owner and name (with `*`), or a public SSM parameter.

    In the catalog's `name` and `ssm`, `{arch}` stands for x86_64 or arm64, `{deb_arch}` for amd64 or arm64, and the
    name of a component for its version; a lock has them replaced. `brings` are the components that it has already, and
    that stay as they are: their roles do not run on it.
    """

    owner: str = ""
    name: str = ""
    ssm: str = ""
    brings: list[str] = []

    @model_validator(mode="after")
    def _can_be_found(self) -> "BaseImage":
        if not self.ssm and not (self.owner and self.name):
            raise ValueError("a base image has 'owner' and 'name', or 'ssm'")
        return self


class SourcedBaseImage(BaseImage):
    """A base image in the catalog, with who says so."""

    source: Annotated[str, UNLOCKED]
    checked: Annotated[date, UNLOCKED]


class ContainerImage(Strict):
    """The system's own container image, by the digest that its registry has it under; the tag says which that was."""

    image: str = Field(pattern=r"^\S+@sha256:[0-9a-f]{64}$")


class SourcedContainerImage(ContainerImage):
    """A container image in the catalog, with who says so."""

    source: Annotated[str, UNLOCKED]
    checked: Annotated[date, UNLOCKED]


class OperatingSystem(Strict):
    """A row of `operating_systems.yml`.

    With `base`, a local image is made from the distribution's archive, whose index one of the primary fingerprints in
    `keys` must have signed. `base_images` are the base images in EC2 by platform, or by image where one has its own.
    Containers start from `container_image`, where there is no `base`.
    """

    name: Annotated[str, UNLOCKED]
    family: Annotated[Literal["Debian", "RedHat"], UNLOCKED]
    distribution: Annotated[str, UNLOCKED]
    version: Annotated[str, UNLOCKED]
    architectures: list[Arch]
    suites: list[str] = []
    base: Base | None = None
    keys: dict[str, Fingerprint] = {}
    base_images: dict[str, SourcedBaseImage] = {}
    container_image: SourcedContainerImage | None = None
    source: Annotated[str, UNLOCKED]
    checked: Annotated[date, UNLOCKED]

    @model_validator(mode="after")
    def _has_a_base(self) -> "OperatingSystem":
        if self.base is not None and not (self.suites and self.keys):
            raise ValueError("an operating system with 'base' needs 'suites' and 'keys'")
        if self.base is None and not self.base_images:
            raise ValueError("an operating system needs 'base' or 'base_images'")
        return self

    @property
    def archive(self) -> Base:
        """Its archive; IngotError on a system whose packages come from vendors' repositories alone."""
        if self.base is None:
            raise IngotError(f"{self.name} has no archive that Ingot resolves from")
        return self.base


class Python(Strict):
    """A Python of the distribution that runs Ansible and the suite: its command, and the packages that bring it."""

    command: str
    packages: list[str]


class Builders(Strict):
    """Where AMIs are built: instance types by architecture in the order that they are tried, the size of the root
    volume in GiB where the base image has no larger one, by operating system whom its base image lets log in, and the
    Python that an instance which builds itself gets."""

    instance_types: dict[Arch, list[str]]
    volume_gib: int
    logins: dict[str, str]
    pythons: dict[str, Python]
    source: str
    checked: date


class BuildersFile(Strict):
    """The file `builders.yml`."""

    builders: Builders


class OperatingSystems(Strict):
    """The file `operating_systems.yml`."""

    operating_systems: dict[str, OperatingSystem]
