"""The shapes of what people write (catalog) and of what Ingot generates (lock): frozen, and strict about keys."""

from collections.abc import Collection
from datetime import date
from typing import Annotated, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _specifier(text: str) -> str:
    if text != "*":
        try:
            SpecifierSet(text)
        except InvalidSpecifier:
            raise ValueError(f"{text!r} is no version range; write '*' or for example '>=535,<581'") from None
    return text


Spec = Annotated[str, AfterValidator(_specifier)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Fingerprint = Annotated[str, Field(pattern=r"^[0-9A-F]{40}$")]
Facts = dict[str, str | bool | int]
Arch = Literal["x86_64", "aarch64"]


class Strict(BaseModel):
    """A frozen record that rejects keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Base(Strict):
    """The root file system that a local image starts from: its suite and the packages of the bare system."""

    suite: str
    components: list[str]
    packages: list[str]


class OperatingSystem(Strict):
    """A row of `operating_systems.yml`; `keys` are the primary fingerprints that may sign the archive's index."""

    name: str
    family: Literal["Debian", "RedHat"]
    distribution: str
    version: str
    architectures: list[Arch]
    suites: list[str]
    base: Base
    keys: dict[str, Fingerprint]
    source: str
    checked: date


class AptOffer(Strict):
    """Packages of the distribution. The component's version is that of `version_of`.

    With `follow`, `version_of` and each other metapackage stand for the package that they depend on.
    """

    version_of: str
    packages: list[str]
    follow: list[str] = []


class WheelOffer(Strict):
    """Wheels from the Python package index; the component's version is that of `version_of`.

    Other `packages` come in the same version or, where there is none, in the newest of the same minor release.
    `tools` are packages of the distribution that unpack them.
    """

    version_of: str
    packages: list[str]
    tools: list[str]
    spec: Spec = "*"


class Offer(Strict):
    """One way to get a component on some operating systems."""

    os: list[str]
    apt: AptOffer | None = None
    wheels: WheelOffer | None = None
    facts: Facts = {}
    facts_from_package: dict[str, str] = {}
    source: str
    checked: date

    @model_validator(mode="after")
    def _one_source(self) -> "Offer":
        if (self.apt is None) == (self.wheels is None):
            raise ValueError("an offer has either 'apt' or 'wheels'")
        return self


class Rule(Strict):
    """A fact about versions that do or do not go together; `when` selects versions of the component that owns it."""

    id: str
    when: Spec
    requires: dict[str, Spec] = {}
    refuses: dict[str, Spec] = {}
    reason: str
    source: str
    checked: date

    @model_validator(mode="after")
    def _says_something(self) -> "Rule":
        if not self.requires and not self.refuses:
            raise ValueError("a rule needs 'requires' or 'refuses'")
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
    """What a stack wants of one component, and until when that may stand unquestioned."""

    version: Spec
    why: str
    review_after: date


class Stack(Strict):
    """A dated set of pins, in the order in which the resolver decides them."""

    stack: str
    summary: str
    pins: dict[str, Pin]


class Image(Strict):
    """A machine image: platform, accelerator and the roles that make it, in order."""

    platform: Literal["ec2", "parallelcluster", "eks"]
    accelerator: Literal["nvidia", "neuron", "cpu"]
    summary: str
    roles: list[str]


class Images(Strict):
    """The file `images.yml`."""

    images: dict[str, Image]


class OperatingSystems(Strict):
    """The file `operating_systems.yml`."""

    operating_systems: dict[str, OperatingSystem]


class Package(Strict):
    """One package of the distribution, exact; `size` is in bytes, `installed` in KiB as the archive states it."""

    version: str
    suite: str
    path: str
    size: int
    installed: int
    sha256: Sha256


class Wheel(Strict):
    """One wheel, exact."""

    version: str
    filename: str
    sha256: Sha256


class Repository(Strict):
    """A signed index that the lock was made from, and the primary keys whose signatures were seen on it."""

    kind: Literal["apt"]
    suites: list[str]
    components: list[str]
    key_fingerprints: dict[str, list[Fingerprint]]


class LockedComponent(Strict):
    """A component as decided: its version, the packages asked for by name, and why this version."""

    version: str
    source: Literal["debian", "pypi"]
    packages: list[str] = []
    wheels: list[str] = []
    hold: bool = False
    facts: Facts = {}
    why: str


class Lock(Strict):
    """A stack resolved for one operating system and architecture. `packages` is the closure of all components."""

    schema_: Literal[1] = Field(alias="schema")
    stack: str
    os: str
    arch: Arch
    catalog_sha256: Sha256
    base: Base
    repositories: dict[str, Repository]
    components: dict[str, LockedComponent]
    left_out: dict[str, str]
    packages: dict[str, Package]
    wheels: dict[str, Wheel]
    unresolved: dict[str, str]

    @property
    def key(self) -> str:
        """The lock's name below its stack: `debian13-x86_64`."""
        return f"{self.os}-{self.arch}"

    def of(self, roles: Collection[str]) -> "Lock":
        """The part of the lock that an image of these roles is: its components, and what is left out of them.

        `packages` stays the closure of all components; an image has some of them.
        """
        components = {name: entry for name, entry in self.components.items() if name in roles}
        left_out = {name: why for name, why in self.left_out.items() if name.split(".")[0] in roles}
        return self.model_copy(update={"components": components, "left_out": left_out})
