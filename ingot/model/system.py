"""The schemas of an operating system, and of the machines that build its images."""

from datetime import date
from string import Formatter
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ingot.errors import IngotError
from ingot.model.component import Brought, Offer
from ingot.model.repository import Key
from ingot.model.types import UNLOCKED, Arch, Fingerprint, Strict


class Base(Strict):
    """The root file system that a local image starts from: its suite and the packages of the minimal system."""

    suite: str
    components: list[str]
    packages: list[str]


class BaseImage(Strict):
    """The query for a platform's base image in EC2: its owner and name (with `*`), or a public SSM parameter.

    In the catalog's `name` and `ssm`, `{arch}` stands for x86_64 or arm64, `{deb_arch}` for amd64 or arm64, and the
    name of a component for its version; a lock has them replaced. `brings` are the components that it already has and
    that are left alone: their roles do not run on it. The default is `brings` of the component of the platform's name;
    every base image brings `base` and `kernel`. `fails` are the units that fail on it outside a cluster, each with the
    reason. `cleanup` is its program that prepares a machine for an AMI; the default is that of the same component.
    """

    owner: str = ""
    name: str = ""
    ssm: str = ""
    brings: dict[str, Brought] = {}
    fails: dict[str, str] = {}
    cleanup: str = ""

    @property
    def named(self) -> set[str]:
        """What `name` and `ssm` mention in braces."""
        return {field for text in (self.name, self.ssm) for _, field, _, _ in Formatter().parse(text) if field}

    @model_validator(mode="after")
    def _can_be_found(self) -> "BaseImage":
        if not self.ssm and not (self.owner and self.name):
            raise ValueError("a base image needs 'owner' and 'name', or 'ssm'")
        return self


class SourcedBaseImage(BaseImage):
    """A base image in the catalog, with its source."""

    source: Annotated[str, UNLOCKED]
    checked: Annotated[date, UNLOCKED]


class ContainerImage(Strict):
    """The system's own container image, by its digest in the registry; the tag is for people."""

    image: str = Field(pattern=r"^\S+@sha256:[0-9a-f]{64}$")


class SourcedContainerImage(ContainerImage):
    """A container image in the catalog, with its source."""

    source: Annotated[str, UNLOCKED]
    checked: Annotated[date, UNLOCKED]


class Snapshot(Strict):
    """The system's own archive of apt as it was on a date, which stands for `{date}` in `url`: `20261201T120000Z`.

    `keyring` is the path on the system of the keys that signed it. In the catalog's `suites`, `{codename}` is replaced.
    """

    url: str
    suites: list[str]
    components: list[str]
    keyring: str


class SourcedSnapshot(Snapshot):
    """A dated archive in the catalog, with its source."""

    source: Annotated[str, UNLOCKED]
    checked: Annotated[date, UNLOCKED]


class Python(Strict):
    """A Python of the distribution that runs Ansible and the suite (3.11 or newer, with venv): its command and its
    packages."""

    command: str
    packages: list[str]


class Purl(Strict):
    """The system's names in a bill of materials: the namespace of its package URLs, and their qualifier `distro`.

    https://github.com/package-url/purl-spec, its types deb and rpm.
    """

    namespace: str
    distro: str


class LockedSystem(Strict):
    """The facts of a system that its lock has, for builds, roles and exports.

    `login` is the login user of its base images, `pcluster` its name in ParallelCluster, and `folders` its names in the
    addresses of vendors' repositories and in their archives, by vendor: `cuda: ubuntu2404`.
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
    """An offer in the file of its own system."""

    os: list[str] = Field([], max_length=0)


class OperatingSystem(LockedSystem):
    """A file of `operating_systems/`.

    A system that is `like` another one inherits everything that its own file does not set (`ingot.catalog.systems`).
    `left_out` are components that the other one has and this one does not, each with the reason; `offers` replace a
    component's offers for the other one; `unresolved` lists a component's facts that no source gives for this system.
    `signed_by` has the keys of repositories whose packages for this system are signed by another key than elsewhere.
    `lacks` are packages that the system's own repositories do not have, and the vendor's repository that has them.

    With `base`, a local image is made from the distribution's archive, whose index one of the primary fingerprints in
    `keys` must have signed. `base_images` are the base images in EC2 by platform, or by image if one has its own.
    Containers start from `container_image` if there is no `base`. `snapshot` is where the archive of a date is, if its
    distribution keeps one.
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
    snapshot: SourcedSnapshot | None = None
    offers: dict[str, list[OwnOffer]] = {}
    left_out: dict[str, str] = {}
    unresolved: dict[str, str] = {}
    signed_by: dict[str, Key] = {}
    lacks: dict[str, str] = {}
    source: Annotated[str, UNLOCKED]
    checked: Annotated[date, UNLOCKED]

    @property
    def archive(self) -> Base:
        """Its archive; IngotError on a system whose packages come only from vendors' repositories."""
        if self.base is None:
            raise IngotError(f"{self.name} has no package archive to resolve from", hint="use debian12 or debian13")
        return self.base


class Builders(Strict):
    """The machines that build AMIs: instance types by architecture in the order of attempts, and the minimum size of
    the root volume in GiB."""

    instance_types: dict[Arch, list[str]]
    volume_gib: int


class BuildersFile(Strict):
    """The file `builders.yml`."""

    builders: Builders
