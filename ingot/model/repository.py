"""The shapes of vendors' package repositories and of the keys that sign them."""

from datetime import date
from typing import Annotated, Literal

from ingot.model.types import UNLOCKED, Fingerprint, Strict


class Key(Strict):
    """A key that signs a vendor's repository or downloads. Without `fingerprint` it is unresolved."""

    url: str
    fingerprint: Fingerprint | None = None
    source: Annotated[str, UNLOCKED]
    checked: Annotated[date, UNLOCKED]


class VendorRepository(Strict):
    """A vendor's package repository: its address for each lock that has it (`ubuntu2404-x86_64`), and its key.

    `suite` and `components` are those of an apt repository that is not flat.
    """

    kind: Literal["apt", "rpm"]
    key: str
    urls: dict[str, str]
    suite: str = ""
    components: list[str] = []
    source: Annotated[str, UNLOCKED]
    checked: Annotated[date, UNLOCKED]


class Repositories(Strict):
    """The file `repositories.yml`."""

    keys: dict[str, Key]
    repositories: dict[str, VendorRepository]
