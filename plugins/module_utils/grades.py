"""How sure the pin of a component is, from what a lock has of it.

Ingot's command line, its suite and the lookup `ingot.ml.pin` all judge by this module. It reads plain data, as a lock's
YAML is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

# A SHA-256 is recorded; a pinned key signs an exact version; the base image fixes the version; none of these.
DIGEST, SIGNATURE, BASE, UNRESOLVED = "digest", "signature", "base", "unresolved"
# Sources of packages that no vendor's repository has.
DISTRIBUTION, BASE_IMAGE = "distribution", "base_image"
# Best first.
GRADES = (DIGEST, SIGNATURE, BASE, UNRESOLVED)
# What keeps a component from a better grade.
FILE, PACKAGES, VERSION, KEY = "the file's SHA-256", "its packages' digests", "its version", "the repository's key"
FIXED, UNFIXED = "its version, which the base image fixes", "its packages' exact versions and digests"


def grade(
    name: str, entry: Mapping[str, Any], lock: Mapping[str, Any], brought: Collection[str] = ()
) -> tuple[str, str]:
    """The grade of component `name`, and what keeps it from `digest`.

    `brought` are the components that the base image of a build brings.
    """
    source, lacks = entry["source"], lock["unresolved"].get(name, "")
    if name in brought or source == BASE_IMAGE:
        return BASE, FIXED
    if source == DISTRIBUTION:
        # Packages of a system that is only ever started from an image of its vendor.
        based = lock.get("base_images") or lock.get("container_image")
        return (BASE, FIXED) if based else (UNRESOLVED, lacks or UNFIXED)
    recorded, signed, missing = _pinned(entry, lock)
    if lacks or not (recorded or signed):
        return UNRESOLVED, lacks or missing
    return (DIGEST, "") if recorded else (SIGNATURE, missing)


def _pinned(entry: Mapping[str, Any], lock: Mapping[str, Any]) -> tuple[bool, bool, str]:
    """Whether digests are recorded, whether a pinned key signs an exact version, and what is missing for digests."""
    artifact, version = entry.get("artifact"), entry["version"]
    if artifact:
        return bool(artifact.get("sha256")), bool(artifact.get("signature") and artifact.get("key_fingerprint")), FILE
    packages = set(entry.get("packages", ()))
    repository = lock["repositories"].get(entry["source"], {})
    if not repository.get("url"):
        wheels = set(entry.get("wheels", ()))
        return packages <= set(lock["packages"]) and wheels <= set(lock["wheels"]), False, UNFIXED
    key = repository.get("key_fingerprint")
    missing = [*([] if version else [VERSION]), PACKAGES, *([] if key else [KEY])]
    # A package that is unpacked instead of installed is fetched as a file, which no index vouches for.
    signed = bool(version and key and "unpacked" not in entry.get("facts", {}))
    return bool(version) and packages <= set(entry.get("files", ())), signed, ", ".join(missing)


def asked(package: Mapping[str, Any]) -> str:
    """The grade of a package that a base image's package manager offers; its distribution signs the archive."""
    return DIGEST if package.get("sha256") else BASE


def wanted(entry: Mapping[str, Any], package: str) -> str:
    """The version of a vendor's package, as far as it is known: exact, `1.2*` for a build of 1.2, or empty for any."""
    own = entry["version"] if entry.get("version_of") in (None, "", package) else ""
    version = str(entry.get("exact", {}).get(package, own))
    return version if not version or "-" in version else f"{version}*"


def fits(installed: str | None, version: str) -> bool:
    """Whether an installed package's version is a `wanted` one: `3:1.2-1.el9` is a build of 1.2, and 1.20 is none."""
    if installed is None or not version.endswith("*"):
        return installed is not None and version in ("", installed)
    begin = version[:-1]
    rests = [text[len(begin) :] for text in (installed, installed.partition(":")[2]) if text.startswith(begin)]
    return any(not rest[:1].isalnum() and rest[:1] != "." for rest in rests)
