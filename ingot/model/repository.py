"""The schemas of vendors' package repositories and of their signing keys."""

from datetime import date
from typing import Annotated, Literal

from ingot.model.types import UNLOCKED, Arch, Fingerprint, Strict

Signed = Literal["index", "packages"]


class Key(Strict):
    """A key that signs a vendor's repository or downloads. Without `fingerprint` it is unresolved."""

    url: str
    fingerprint: Fingerprint | None = None
    source: Annotated[str, UNLOCKED]
    checked: Annotated[date, UNLOCKED]


class VendorRepository(Strict):
    """A vendor's package repository: its address, and its key.

    In `url`, `{arch}` stands for the vendor's name of the architecture (`arch`, if it differs), `{deb_arch}` for amd64
    or arm64, and `{version}`, `{codename}` and the name of a folder for those of the system. `urls` has the addresses
    of locks (`al2023-x86_64`) that do not follow `url`; an empty one means that no source has it. `suite` and
    `components` are those of an apt repository that is not flat. `signs` is what the vendor of an rpm
    repository signs with the key; in one of apt it is the index.
    """

    kind: Literal["apt", "rpm"]
    key: str
    url: str = ""
    urls: dict[str, str] = {}
    arch: dict[Arch, str] = {}
    suite: str = ""
    components: list[str] = []
    signs: list[Signed] = ["index", "packages"]
    source: Annotated[str, UNLOCKED]
    checked: Annotated[date, UNLOCKED]


class Repositories(Strict):
    """The file `repositories.yml`."""

    keys: dict[str, Key]
    repositories: dict[str, VendorRepository]
