"""Where a vendor's repository is for an operating system: templates of the catalog, filled from the system's file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ingot.catalog.catalog import Catalog
from ingot.model.repository import Key, VendorRepository
from ingot.model.types import Arch
from ingot.sources.apt import DEB_ARCH


@dataclass(frozen=True)
class Address:
    """What apt or dnf is told: an address (empty where no source has one), and what apt's line says after it.

    `lacking` are the keys of the system's file that the template names and the file does not have.
    """

    url: str
    suite: str
    lacking: Sequence[str] = ()


def address(row: VendorRepository, catalog: Catalog, os_name: str, arch: Arch) -> Address:
    """The address of a repository on a system: what it says of the system or of one that it is like, or its scheme."""
    system = catalog.operating_systems[os_name]
    words = {"arch": row.arch.get(arch, arch), "deb_arch": DEB_ARCH[arch], "version": system.version, **system.folders}
    words |= {"codename": system.codename} if system.codename else {}
    explicit = next((row.urls[key] for each in catalog.lineage(os_name) if (key := f"{each}-{arch}") in row.urls), None)
    url = row.url if explicit is None else explicit
    lacking = [word for word in re.findall(r"\{(\w+)\}", f"{url} {row.suite}") if word not in words]
    if lacking:
        keys = [word if word == "codename" else f"folders.{word}" for word in dict.fromkeys(lacking)]
        return Address("", "", keys)
    return Address(url.format(**words), row.suite.format(**words))


def key_of(name: str, catalog: Catalog, os_name: str) -> Key:
    """The key that signs the packages of the repository `name` for a system."""
    usual = catalog.repositories.keys[catalog.repositories.repositories[name].key]
    return catalog.operating_systems[os_name].signed_by.get(name, usual)
