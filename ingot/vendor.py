"""Components of vendors' repositories and downloads: what is known of them, and what nobody has published."""

from collections.abc import Mapping

from packaging.version import Version

from ingot.archive import DEB_ARCH
from ingot.catalog import Catalog
from ingot.models import Arch, Artifact, LockedComponent, Offer, Repositories, Repository
from ingot.resolve import Candidate

# Where packages come from that no vendor's repository has.
DISTRIBUTION, BASE_IMAGE = "distribution", "base_image"
# What is said under `unresolved`, and recording resolves.
DIGEST, DIGESTS = "the file's SHA-256", "its packages' digests"
UNKNOWN_IMAGE = "the newest image's name, which says its date"


def candidates(name: str, offer: Offer, os_name: str) -> list[Candidate]:
    """The releases of an offer that are known on an operating system, or else one of an unknown version."""
    known = {text: each for text, each in offer.releases.items() if not each.os or os_name in each.os}
    found = [
        Candidate(name, Version(text), text, {**offer.facts, **release.facts}, text, offer, release)
        for text, release in known.items()
    ]
    return found if offer.releases else [Candidate(name, None, "", offer.facts, "", offer)]


def words(version: str, arch: str = "") -> dict[str, str]:
    """What templates of names and addresses may mention."""
    numbers = version.split(".")
    deb_arch = DEB_ARCH.get(arch, "")
    return {
        "version": version,
        "major": numbers[0],
        "dashed": "-".join(numbers[:2]),
        "arch": arch,
        "deb_arch": deb_arch,
        "dashed_version": version.replace(".", "-"),
    }


def locked(candidate: Candidate, known: Repositories, arch: Arch, *, hold: bool, why: str) -> LockedComponent:
    """A candidate of a vendor as the lock has it."""
    offer, names = candidate.offer, words(candidate.text, arch)
    packages: dict[str, str] = {}
    artifact, source = None, "download"
    if offer.repository:
        source = offer.repository.name
        packages = {n.format(**names): exact.format(**names) for n, exact in offer.repository.packages.items()}
    elif offer.download:
        digests = candidate.release.sha256 if candidate.release else {}
        key = known.keys.get(offer.download.key)
        artifact = Artifact(
            url=offer.download.url.format(**names),
            sha256=digests.get(arch) or digests.get("any"),
            signature=offer.download.signature.format(**names),
            key_url=key.url if key else "",
            key_fingerprint=(key.fingerprint or "") if key else "",
        )
    return LockedComponent(
        version=candidate.text,
        source=source,
        packages=sorted(packages),
        exact={name: exact for name, exact in sorted(packages.items()) if exact},
        artifact=artifact,
        hold=hold,
        facts=candidate.facts,
        why=why,
    )


def repositories(
    chosen: Mapping[str, Candidate], catalog: Catalog, lock_key: str
) -> tuple[dict[str, Repository], dict[str, str]]:
    """The vendors' repositories that the candidates come from, and for each candidate what nobody has published."""
    found: dict[str, Repository] = {}
    unresolved: dict[str, str] = {}
    arch: Arch = "aarch64" if lock_key.endswith("aarch64") else "x86_64"
    for name, candidate in chosen.items():
        missing = [] if candidate.version else ["its version"]
        offer = candidate.offer
        if offer.download:
            digests = candidate.release.sha256 if candidate.release else {}
            missing += [] if arch in digests or "any" in digests else [DIGEST]
        elif offer.repository and offer.repository.name == DISTRIBUTION:
            missing.append("its packages' exact versions and digests")
        elif offer.repository and offer.repository.name == BASE_IMAGE:
            pass
        elif offer.repository:
            row = catalog.repositories.repositories[offer.repository.name]
            key = catalog.repositories.keys[row.key]
            missing.append(DIGESTS)
            missing += [] if key.fingerprint else ["the repository's key"]
            missing += [] if lock_key in row.urls else [f"the repository's address for {lock_key}"]
            found[offer.repository.name] = Repository(
                kind=row.kind,
                suites=[row.suite] if row.suite else [],
                components=row.components,
                url=row.urls.get(lock_key, ""),
                key_url=key.url,
                key_fingerprint=key.fingerprint or "",
            )
        if missing and (offer.download or offer.repository):
            unresolved[name] = ", ".join(missing)
    return found, unresolved
