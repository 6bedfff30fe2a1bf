"""The shapes of vendors' package repositories and of the keys that sign them."""

from datetime import date
from typing import Annotated, Literal

from ingot.model.types import UNLOCKED, Arch, Fingerprint, Strict


class Key(Strict):
    """A key that signs a vendor's repository or downloads. Without `fingerprint` it is unresolved."""

    url: str
    fingerprint: Fingerprint | None = None
    source: Annotated[str, UNLOCKED]
    checked: Annotated[date, UNLOCKED]


class VendorRepository(Strict):
    """A vendor's package repository: its address, and its key.

    In `url`, `{arch}` stands for what the vendor calls the architecture (`arch`, where that is another name),
    `{deb_arch}` for amd64 or arm64, and `{version}`, `{codename}` and the name of a folder for those of the system.
    `urls` has the address for a lock (`al2023-x86_64`) that the scheme does not fit; an empty one says that no source
    has it. `suite` and `components` are those of an apt repository that is not flat.
    """

    kind: Literal["apt", "rpm"]
    key: str
    url: str = ""
    urls: dict[str, str] = {}
    arch: dict[Arch, str] = {}
    suite: str = ""
    components: list[str] = []
    source: Annotated[str, UNLOCKED]
    checked: Annotated[date, UNLOCKED]


class Repositories(Strict):
    """The file `repositories.yml`."""

    keys: dict[str, Key]
    repositories: dict[str, VendorRepository]
