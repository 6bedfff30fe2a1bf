"""The shape of a component: where it can be had, in which versions, and the rules about it."""

from datetime import date
from typing import Annotated, Literal

from pydantic import model_validator

from ingot.model.rule import Rule
from ingot.model.types import UNLOCKED, Arch, Facts, Sha256, Spec, Strict, VersionText


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
    empty where the version is the component's. `{version}`, `{major}` (580) and `{dashed}` (13-0) are replaced, and
    the system's `{os_version}` and `{codename}`. What the platform's base image brings (`name` is `base_image`) has
    none.
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
    source: Annotated[str, UNLOCKED]
    checked: Annotated[date, UNLOCKED]


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
    source: Annotated[str, UNLOCKED]
    checked: Annotated[date, UNLOCKED]

    @model_validator(mode="after")
    def _one_source(self) -> "Offer":
        if [self.apt, self.wheels, self.repository, self.download].count(None) != 3:
            raise ValueError("an offer has one of 'apt', 'wheels', 'repository' and 'download'")
        if (self.apt or self.wheels) and self.releases:
            raise ValueError("the archive lists the versions of 'apt' and 'wheels', not 'releases'")
        if self.download and not self.releases:
            raise ValueError("a download needs 'releases'")
        return self


class InheritedOffer(Offer):
    """An offer that a system has because it is like another one, `origin`; of its versions, `seen` are known on the
    system itself.

    It is in no file: the catalog makes it of an offer for the other system.
    """

    origin: str
    seen: list[str] = []


class Component(Strict):
    """A component file: where it can be had, what it needs, and why it is missing elsewhere.

    `brings` are the components that the base images of the platform of that name have already.
    """

    component: str
    summary: Annotated[str, UNLOCKED]
    hold: bool = False
    brings: list[str] = []
    offers: list[Offer]
    rules: list[Rule] = []
    left_out: dict[str, str] = {}
    parts_left_out: dict[str, dict[str, str]] = {}
