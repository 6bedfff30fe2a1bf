"""The schema of a component: its sources, its versions, and the rules about it."""

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

    Other `packages` have the same version or, if there is none, the newest of the same minor release.
    `tools` are packages of the distribution that unpack the wheels.
    """

    version_of: str
    packages: list[str]
    tools: list[str]
    spec: Spec = "*"


class RepositoryOffer(Strict):
    """Packages of a vendor's repository, or of the system's own one where `name` is `distribution`.

    `packages` maps a package to its exact version, without the build if only the repository's index knows it, and
    empty if it is the component's version. `{version}`, `{major}` (580) and `{dashed}` (13-0) are replaced, and the
    system's `{os_version}` and `{codename}`. Components of the platform's base image (`name` is `base_image`) have no
    packages.

    Where packages have versions of their own, `version_of` names the one whose version is the component's; it may be
    one that they depend on. The others are taken in the newest version that fits.
    """

    name: str
    packages: dict[str, str]
    version_of: str = ""


class DownloadOffer(Strict):
    """One file that a vendor publishes. `{version}`, `{dashed_version}`, `{arch}` and `{deb_arch}` are replaced.

    `signature` is the detached signature's address, made by `key` of `repositories.yml`.
    """

    url: str
    signature: str = ""
    key: str = ""


class Release(Strict):
    """A version that a source names. `sha256` is the download's, by architecture or `any`, from `sha256_source` if not
    from `source`.

    `os` narrows the offer's systems to those with this version.
    """

    os: list[str] = []
    sha256: dict[Arch | Literal["any"], Sha256] = {}
    sha256_source: Annotated[str, UNLOCKED] = ""
    facts: Facts = {}
    source: Annotated[str, UNLOCKED]
    checked: Annotated[date, UNLOCKED]


class Offer(Strict):
    """One way to get a component on some operating systems, in the versions that an archive or `releases` lists.

    An offer of the system's packages without `releases` has a version that is not known yet. `system_packages` are
    packages of the system that the component needs, in any version.
    """

    os: list[str]
    arch: list[Arch] = ["x86_64", "aarch64"]
    apt: AptOffer | None = None
    wheels: WheelOffer | None = None
    repository: RepositoryOffer | None = None
    download: DownloadOffer | None = None
    releases: dict[VersionText, Release] = {}
    system_packages: list[str] = []
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
    """An offer that a system inherits from another one, `origin`; of its versions, `seen` are known on the system
    itself.

    It is not in a file: the catalog derives it from an offer for the other system.
    """

    origin: str
    seen: list[str] = []


class Brought(Strict):
    """A component that a base image in EC2 brings: its version, empty where no source gives it before the image is
    named, and what of it is there.

    A version may be a part of the observed one: `6.12` for the kernel 6.12.94. In the catalog, the default is the fact
    of this name of the component that the image's query names.
    """

    version: str = ""
    note: str = ""


class Component(Strict):
    """A component file: its offers, its rules, and why it or a part of it is left out on some systems, with the source.

    `brings` are the components that the base images of the platform of this name already have, and `cleanup` is the
    program that these images have to prepare a machine for an AMI.
    """

    component: str
    summary: Annotated[str, UNLOCKED]
    hold: bool = False
    brings: dict[str, Brought] = {}
    cleanup: str = ""
    offers: list[Offer]
    rules: list[Rule] = []
    left_out: dict[str, str] = {}
    parts_left_out: dict[str, dict[str, str]] = {}
    left_out_source: Annotated[str, UNLOCKED] = ""
    left_out_checked: Annotated[date | None, UNLOCKED] = None
