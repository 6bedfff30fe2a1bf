"""The address of a vendor's repository for an operating system: the catalog's template, filled from its file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ingot.catalog.catalog import Catalog
from ingot.model.repository import Key, VendorRepository
from ingot.model.types import Arch
from ingot.sources.apt import DEB_ARCH


@dataclass(frozen=True)
class Address:
    """The address for apt or dnf (empty if no source has one), and the suite for apt.

    `lacking` are the keys that the template uses and the system's file does not have.
    """

    url: str
    suite: str
    lacking: Sequence[str] = ()


def address(repository: VendorRepository, catalog: Catalog, os_name: str, arch: Arch) -> Address:
    """The address of a repository on a system: the explicit one of the system or its lineage, else the template."""
    system = catalog.operating_systems[os_name]
    vendor_arch = repository.arch.get(arch, arch)
    values = {"arch": vendor_arch, "deb_arch": DEB_ARCH[arch], "version": system.version, **system.folders}
    values |= {"codename": system.codename} if system.codename else {}
    keys = [f"{name}-{arch}" for name in catalog.lineage(os_name)]
    explicit = next((repository.urls[key] for key in keys if key in repository.urls), None)
    url = repository.url if explicit is None else explicit
    lacking = [variable for variable in re.findall(r"\{(\w+)\}", f"{url} {repository.suite}") if variable not in values]
    if lacking:
        keys = [variable if variable == "codename" else f"folders.{variable}" for variable in dict.fromkeys(lacking)]
        return Address("", "", keys)
    return Address(url.format(**values), repository.suite.format(**values))


def key_of(name: str, catalog: Catalog, os_name: str) -> Key:
    """The key that signs the packages of the repository `name` for a system."""
    usual = catalog.repositories.keys[catalog.repositories.repositories[name].key]
    return catalog.operating_systems[os_name].signed_by.get(name, usual)
