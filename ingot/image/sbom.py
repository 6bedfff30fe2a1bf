"""Turns the package databases of a finished image into a CycloneDX bill of materials."""

import json
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from ingot.model.lock import Lock

QUERY = "${Package}\\t${Version}\\t${Architecture}\\t${db:Status-Status}\\n"
RPM_QUERY = "%{NAME}\\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\\t%{ARCH}\\tinstalled\\n"
# A shell command for either family.
LIST = f"if command -v rpm >/dev/null; then rpm -qa --qf '{RPM_QUERY}'; else dpkg-query -W -f '{QUERY}'; fi"
# Package URL types: https://github.com/package-url/purl-spec.
TYPES = {"Debian": "deb", "RedHat": "rpm"}


def versions(listed: str) -> dict[str, str]:
    """The versions of the installed packages in the output of LIST, by name; of several the last."""
    rows = (line.split("\t") for line in listed.splitlines())
    return {name: version for name, version, _, status in rows if status == "installed"}


def make(
    lock: Lock, image: str, listed: str, wheels: Iterable[tuple[str, str]], inputs_sha256: str, base: str = ""
) -> str:
    """CycloneDX 1.6 JSON of the installed packages: `listed` is the output of LIST, or of dpkg-query with QUERY;
    `wheels` are names and versions, and `base` is the base image in EC2, if there is one.

    A package in the locked version carries the lock's SHA-256. The same inputs give the same serial number.
    """
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_OID, f"ingot:{image}:{lock.key}:{inputs_sha256}"))
    bom.metadata.timestamp = datetime.now(UTC)
    bom.metadata.component = Component(
        type=ComponentType.OPERATING_SYSTEM, name=f"ingot-{image}", version=f"{lock.stack}-{lock.key}"
    )
    kind, purl = TYPES[lock.system.family], lock.system.purl
    files = {name: file for entry in lock.components.values() for name, file in entry.files.items()}
    asked = lock.asked[base].packages if base in lock.asked else {}
    for line in listed.splitlines():
        name, version, arch, status = line.split("\t")
        if status != "installed":
            continue
        known = [table[name] for table in (lock.packages, files, asked) if name in table]
        digests = [each.sha256 for each in known if each.version == version and each.sha256][:1]
        url = PackageURL(kind, purl.namespace, name, version, {"arch": arch, "distro": purl.distro})
        hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in digests]
        bom.components.add(
            Component(type=ComponentType.LIBRARY, name=name, version=version, purl=url, bom_ref=str(url), hashes=hashes)
        )
    for name, version in wheels:
        locked_wheel = lock.wheels.get(name)
        url = PackageURL("pypi", None, name, version)
        hashes = [HashType(alg=HashAlgorithm.SHA_256, content=locked_wheel.sha256)] if locked_wheel else []
        bom.components.add(
            Component(type=ComponentType.LIBRARY, name=name, version=version, purl=url, bom_ref=str(url), hashes=hashes)
        )
    bom.register_dependency(bom.metadata.component, bom.components)
    return json.dumps(json.loads(JsonV1Dot6(bom).output_as_string()), indent=1, sort_keys=True) + "\n"
