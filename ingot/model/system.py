"""The shape of an operating system, and of where images of it are built."""

from datetime import date
from string import Formatter
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ingot.errors import IngotError
from ingot.model.component import Offer
from ingot.model.repository import Key
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
    that stay as they are: their roles do not run on it. Where the catalog does not say it, it is what the component of
    the platform's name says.
    """

    owner: str = ""
    name: str = ""
    ssm: str = ""
    brings: list[str] = []

    @property
    def named(self) -> set[str]:
        """What `name` and `ssm` mention in braces."""
        return {field for text in (self.name, self.ssm) for _, field, _, _ in Formatter().parse(text) if field}

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


class Python(Strict):
    """A Python of the distribution that runs Ansible and the suite (3.11 or newer, with venv): its command, and the
    packages that bring it."""

    command: str
    packages: list[str]


class Purl(Strict):
    """What a bill of materials calls the system: the namespace of its packages' URLs, and their qualifier `distro`.

    https://github.com/package-url/purl-spec, its types deb and rpm.
    """

    namespace: str
    distro: str


class LockedSystem(Strict):
    """What a lock carries of its system for builds, roles and exports.

    `login` is the user that its base images let log in, `pcluster` what ParallelCluster calls it, and `folders` what
    vendors call it in the addresses of their repositories and in their archives, by vendor: `cuda: ubuntu2404`.
    """

    family: Literal["Debian", "RedHat"]
    distribution: str
    version: str
    login: str
    python: Python
    purl: Purl
    pcluster: str = ""
    folders: dict[str, str] = {}


class OwnOffer(Offer):
    """An offer in the file of the system that it is for."""

    os: list[str] = Field([], max_length=0)


class OperatingSystem(LockedSystem):
    """A file of `operating_systems/`.

    A system that is `like` another one has all of it but what its own file says (`ingot.catalog.systems`). `left_out`
    are components that the other one has and this one does not, each with the reason; `offers` come in the place of a
    component's offers for the other one; `unresolved` says of a component what no source says on this system.
    `signed_by` has the keys of repositories whose packages for this system another key signs than elsewhere.

    With `base`, a local image is made from the distribution's archive, whose index one of the primary fingerprints in
    `keys` must have signed. `base_images` are the base images in EC2 by platform, or by image where one has its own.
    Containers start from `container_image`, where there is no `base`.
    """

    os: str
    name: Annotated[str, UNLOCKED]
    like: Annotated[str, UNLOCKED] = ""
    codename: str = ""
    architectures: list[Arch]
    suites: list[str] = []
    base: Base | None = None
    keys: dict[str, Fingerprint] = {}
    base_images: dict[str, SourcedBaseImage] = {}
    container_image: SourcedContainerImage | None = None
    offers: dict[str, list[OwnOffer]] = {}
    left_out: dict[str, str] = {}
    unresolved: dict[str, str] = {}
    signed_by: dict[str, Key] = {}
    source: Annotated[str, UNLOCKED]
    checked: Annotated[date, UNLOCKED]

    @property
    def archive(self) -> Base:
        """Its archive; IngotError on a system whose packages come from vendors' repositories alone."""
        if self.base is None:
            raise IngotError(f"{self.name} has no archive that Ingot resolves from")
        return self.base


class Builders(Strict):
    """Where AMIs are built: instance types by architecture in the order that they are tried, and the size of the root
    volume in GiB where the base image has no larger one."""

    instance_types: dict[Arch, list[str]]
    volume_gib: int


class BuildersFile(Strict):
    """The file `builders.yml`."""

    builders: Builders
