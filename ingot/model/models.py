"""The shapes of what people write in the catalog: frozen, and strict about keys."""

import re
from collections.abc import Collection
from datetime import date
from typing import Annotated, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ingot.errors import IngotError


def _specifier(text: str) -> str:
    if text != "*":
        try:
            SpecifierSet(text)
        except InvalidSpecifier:
            raise ValueError(f"{text!r} is no version range; write '*' or for example '>=535,<581'") from None
    return text


def _rule_specifier(text: str) -> str:
    _specifier(re.sub(r"\{[a-z_]+\}", "1", text))
    return text


def _version(text: str) -> str:
    try:
        Version(text)
    except InvalidVersion:
        raise ValueError(f"{text!r} is no version; write for example '580.126.20'") from None
    return text


Spec = Annotated[str, AfterValidator(_specifier)]
# As Spec, with {version} for the version of the component that owns the rule, and {fact} for a fact of it.
RuleSpec = Annotated[str, AfterValidator(_rule_specifier)]
VersionText = Annotated[str, AfterValidator(_version)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Fingerprint = Annotated[str, Field(pattern=r"^[0-9A-F]{40}$")]
Facts = dict[str, str | bool | int]
Arch = Literal["x86_64", "aarch64"]
Accelerator = Literal["nvidia", "neuron", "cpu"]
# The one that images are built for on this machine: the disk, the programs that make it and QEMU are of it.
LOCAL_ARCH: Arch = "x86_64"
# What EC2 calls them.
EC2_ARCH: dict[Arch, str] = {"x86_64": "x86_64", "aarch64": "arm64"}
Platform = Literal["ec2", "parallelcluster", "eks"]
Severity = Literal["error", "warning", "info"]
# Where packages come from that no vendor's repository has.
DISTRIBUTION, BASE_IMAGE = "distribution", "base_image"


class Strict(BaseModel):
    """A frozen record that rejects keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    source: str
    checked: date

    @model_validator(mode="after")
    def _can_be_found(self) -> "BaseImage":
        if not self.ssm and not (self.owner and self.name):
            raise ValueError("a base image has 'owner' and 'name', or 'ssm'")
        return self


class ContainerImage(Strict):
    """The system's own container image, by the digest that its registry has it under; the tag says which that was."""

    image: str = Field(pattern=r"^\S+@sha256:[0-9a-f]{64}$")
    source: str
    checked: date


class OperatingSystem(Strict):
    """A row of `operating_systems.yml`.

    With `base`, a local image is made from the distribution's archive, whose index one of the primary fingerprints in
    `keys` must have signed. `base_images` are the base images in EC2 by platform, or by image where one has its own.
    Containers start from `container_image`, where there is no `base`.
    """

    name: str
    family: Literal["Debian", "RedHat"]
    distribution: str
    version: str
    architectures: list[Arch]
    suites: list[str] = []
    base: Base | None = None
    keys: dict[str, Fingerprint] = {}
    base_images: dict[str, BaseImage] = {}
    container_image: ContainerImage | None = None
    source: str
    checked: date

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


class Key(Strict):
    """A key that signs a vendor's repository or downloads. Without `fingerprint` it is unresolved."""

    url: str
    fingerprint: Fingerprint | None = None
    source: str
    checked: date


class VendorRepository(Strict):
    """A vendor's package repository: its address for each lock that has it (`ubuntu2404-x86_64`), and its key.

    `suite` and `components` are those of an apt repository that is not flat.
    """

    kind: Literal["apt", "rpm"]
    key: str
    urls: dict[str, str]
    suite: str = ""
    components: list[str] = []
    source: str
    checked: date


class Repositories(Strict):
    """The file `repositories.yml`."""

    keys: dict[str, Key]
    repositories: dict[str, VendorRepository]


class AptOffer(Strict):
    """Packages of the distribution. The component's version is that of `version_of`.

    In their names `{deb_arch}` stands for amd64 or arm64. With `follow`, `version_of` and each other metapackage stand
    for the package that they depend on.
    """

    version_of: str
    packages: list[str]
    follow: list[str] = []

    def named(self, deb_arch: str) -> "AptOffer":
        """The same with the names that packages have on an architecture."""

        def name(text: str) -> str:
            return text.replace("{deb_arch}", deb_arch)

        packages, follow = [*map(name, self.packages)], [*map(name, self.follow)]
        return AptOffer(version_of=name(self.version_of), packages=packages, follow=follow)


class WheelOffer(Strict):
    """Wheels from the Python package index; the component's version is that of `version_of`.

    Other `packages` come in the same version or, where there is none, in the newest of the same minor release.
    `tools` are packages of the distribution that unpack them.
    """

    version_of: str
    packages: list[str]
    tools: list[str]
    spec: Spec = "*"


class RepositoryOffer(Strict):
    """Packages of a vendor's repository, or of the system's own one where `name` is `distribution`.

    `packages` maps a package to its exact version, without the build where only the repository's index says it, and
    empty where the version is the component's. `{version}`, `{major}` (580) and `{dashed}` (13-0) are replaced. What
    the platform's base image brings (`name` is `base_image`) has none.
    """

    name: str
    packages: dict[str, str]


class DownloadOffer(Strict):
    """One file that a vendor publishes. `{version}`, `{dashed_version}`, `{arch}` and `{deb_arch}` are replaced.

    `signature` is the detached signature's address, made by `key` of `repositories.yml`.
    """

    url: str
    signature: str = ""
    key: str = ""


class Release(Strict):
    """A version that a source names. `sha256` is of the download, by architecture or `any`.

    `os` narrows the offer's to those that the version was seen on.
    """

    os: list[str] = []
    sha256: dict[Arch | Literal["any"], Sha256] = {}
    facts: Facts = {}
    source: str
    checked: date


class Offer(Strict):
    """One way to get a component on some operating systems, in the versions that an archive or `releases` lists.

    An offer of packages of the system without `releases` is there in a version that is not known yet.
    """

    os: list[str]
    arch: list[Arch] = ["x86_64", "aarch64"]
    apt: AptOffer | None = None
    wheels: WheelOffer | None = None
    repository: RepositoryOffer | None = None
    download: DownloadOffer | None = None
    releases: dict[VersionText, Release] = {}
    facts: Facts = {}
    facts_from_package: dict[str, str] = {}
    source: str
    checked: date

    @model_validator(mode="after")
    def _one_source(self) -> "Offer":
        if [self.apt, self.wheels, self.repository, self.download].count(None) != 3:
            raise ValueError("an offer has one of 'apt', 'wheels', 'repository' and 'download'")
        if (self.apt or self.wheels) and self.releases:
            raise ValueError("the archive lists the versions of 'apt' and 'wheels', not 'releases'")
        if self.download and not self.releases:
            raise ValueError("a download needs 'releases'")
        return self


class Where(Strict):
    """What a rule is confined to; a key that is not there holds everywhere.

    `os`, `arch` and `platform` are those of an image; the others those of an instance type (`ingot instance-type`).
    """

    os: list[str] = []
    arch: list[Arch] = []
    platform: list[Platform] = []
    accelerator: list[Literal["nvidia", "neuron", "none"]] = []
    generation: list[str] = []
    family: list[str] = []
    nvswitch: list[Literal["host", "bridge"]] = []


class Example(Strict):
    """A set of versions that a rule finds fault with or lets pass; `facts` are of the component that owns the rule."""

    versions: dict[str, VersionText]
    facts: Facts = {}
    where: dict[str, str] = {}


class Examples(Strict):
    """What a rule must say of what; a test runs all of them."""

    finds: list[Example] = Field(min_length=1)
    passes: list[Example] = Field(min_length=1)


class Rule(Strict):
    """A fact about versions that do or do not go together.

    A range may name a fact of the version (`>={bundled_driver}`); of versions without it the range asks nothing.
    `when` and `facts` select versions of the component that owns it, `where` the systems. The resolver obeys rules of
    severity `error`; plan and check show the others. `needs` names components that must be there too; `forbidden` says
    that there is no use for the version at all.
    """

    id: str
    when: Spec = "*"
    facts: Facts = {}
    where: Where = Where()
    requires: dict[str, RuleSpec] = {}
    refuses: dict[str, RuleSpec] = {}
    needs: list[str] = []
    forbidden: bool = False
    severity: Severity = "error"
    reason: str
    source: str = Field(min_length=1)
    checked: date
    examples: Examples

    @model_validator(mode="after")
    def _says_something(self) -> "Rule":
        if not (self.requires or self.refuses or self.needs or self.forbidden):
            raise ValueError("a rule needs 'requires', 'refuses', 'needs' or 'forbidden'")
        return self


class Component(Strict):
    """A component file: where it can be had, what it needs, and why it is missing elsewhere."""

    component: str
    summary: str
    hold: bool = False
    offers: list[Offer]
    rules: list[Rule] = []
    left_out: dict[str, str] = {}
    parts_left_out: dict[str, dict[str, str]] = {}


class Pin(Strict):
    """What a stack wants of one component, and until when that may stand unquestioned.

    `by_os` has another range for an operating system that numbers the component otherwise; `facts` are those that the
    offer must have.
    """

    version: Spec
    by_os: dict[str, Spec] = {}
    facts: Facts = {}
    why: str
    review_after: date

    def spec(self, os_name: str) -> str:
        """The range on an operating system."""
        return self.by_os.get(os_name, self.version)


class Stack(Strict):
    """A dated set of pins, in the order in which the resolver decides them.

    `extends` names the stack whose pins come first; those here replace or follow them. `accept` maps the rules that
    may be broken to the reason. `systems` are the operating systems that it has locks for, all of them if empty.
    """

    stack: str
    summary: str
    extends: str = ""
    systems: list[str] = []
    pins: dict[str, Pin]
    accept: dict[str, str] = {}


class Image(Strict):
    """A machine image: platform, accelerator and the roles that make it, in order.

    `given` are components without a role, whose version decides the platform's base image.
    """

    platform: Platform
    accelerator: Accelerator
    summary: str
    roles: list[str]
    given: list[str] = []

    @property
    def parts(self) -> list[str]:
        """The roles, and the components that the base image brings."""
        return [*self.roles, *self.given]

    def without(self, brought: Collection[str]) -> "Image":
        """The image on a base image that brings some of its components."""
        return self.model_copy(update={"roles": [role for role in self.roles if role not in brought]})


class Images(Strict):
    """The file `images.yml`."""

    images: dict[str, Image]


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


class Container(Strict):
    """A framework container: the container it is made from (empty at the root), and the variants it has.

    `roles` are those of each variant; only the root has some.
    `script` is the training program in it, an absolute path, started by torchrun with `arguments`; a container without
    one is only built upon. `checkpoints` is the script's option that takes the folder of checkpoints.
    """

    summary: str
    parent: str = ""
    accelerators: list[Accelerator] = Field(min_length=1)
    roles: dict[Accelerator, list[str]] = {}
    script: str = Field(default="", pattern=r"^(/\S+)?$")
    arguments: list[str] = []
    checkpoints: str = ""


class ContainerSystem(Strict):
    """What the containers for an accelerator are built on, and for which Python and C library, as uv names these."""

    os: str
    python: str
    platform: str


class Containers(Strict):
    """The file `containers.yml`."""

    systems: dict[Accelerator, ContainerSystem] = {}
    containers: dict[str, Container]


class Pair(Strict):
    """What a host and a container share while a job runs: where its version stands, and the ranges that go together.

    In `host`, {container} is the container's version.
    """

    fact: str = ""
    packages: list[str] = []
    host: RuleSpec = "*"
    container: Spec = "*"
    reason: str
    source: str = Field(min_length=1)
    checked: date


class Pairs(Strict):
    """The file `pairs.yml`."""

    pairs: dict[str, Pair]


class OperatingSystems(Strict):
    """The file `operating_systems.yml`."""

    operating_systems: dict[str, OperatingSystem]
