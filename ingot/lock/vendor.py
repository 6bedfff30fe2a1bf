"""Components from vendors' repositories and downloads: their known facts, and what is not resolved."""

from collections.abc import Mapping

from packaging.version import Version

from ingot.catalog.addresses import address, key_of
from ingot.catalog.catalog import Catalog
from ingot.lock.grade import rules
from ingot.lock.world import Candidate
from ingot.model.component import InheritedOffer, Offer
from ingot.model.lock import Artifact, LockedComponent, Repository
from ingot.model.repository import Repositories
from ingot.model.system import BaseImage, OperatingSystem, Snapshot
from ingot.model.types import BASE_IMAGE, DISTRIBUTION, EC2_ARCH, Arch
from ingot.sources.apt import DEB_ARCH

# Entries under `unresolved` that recording resolves.
DIGEST, VERSION = rules.FILE, rules.VERSION
# The entry for a version that is known only for another system, with another repository address; recording its
# packages resolves it.
UNSEEN = "that its repository has"
UNKNOWN_IMAGE = "the newest image's name, which says its date"


def candidates(name: str, offer: Offer, os_name: str) -> list[Candidate]:
    """The releases of an offer on an operating system, or else one candidate of unknown version."""
    releases = {text: release for text, release in offer.releases.items() if not release.os or os_name in release.os}
    results = [
        Candidate(name, Version(text), text, {**offer.facts, **release.facts}, text, offer, release)
        for text, release in releases.items()
    ]
    return results if offer.releases else [Candidate(name, None, "", offer.facts, "", offer)]


def words(version: str, arch: Arch) -> dict[str, str]:
    """The variables of templates of names and addresses."""
    numbers = version.split(".")
    return {
        "version": version,
        "major": numbers[0],
        "dashed": "-".join(numbers[:2]),
        "arch": arch,
        "deb_arch": DEB_ARCH[arch],
        "dashed_version": version.replace(".", "-"),
    }


def base_images(system: OperatingSystem, chosen: Mapping[str, Candidate], arch: Arch) -> dict[str, BaseImage]:
    """The query for each base image, with the required versions; without those of components that the stack lacks."""
    versions = {name: candidate.text for name, candidate in chosen.items()}
    names = {**versions, "arch": EC2_ARCH[arch], "deb_arch": DEB_ARCH[arch]}
    results: dict[str, BaseImage] = {}
    for image, base in system.base_images.items():
        if base.named <= set(names):
            name, ssm = base.name.format(**names), base.ssm.format(**names)
            naming = [chosen[name] for name in sorted(base.named & set(chosen))]
            known = {key: str(value) for candidate in naming for key, value in candidate.facts.items()}
            known |= {candidate.component: candidate.text for candidate in naming}
            brings = {
                part: brought if brought.version else brought.model_copy(update={"version": known.get(part, "")})
                for part, brought in base.brings.items()
            }
            results[image] = BaseImage(
                owner=base.owner, name=name, ssm=ssm, brings=brings, fails=base.fails, cleanup=base.cleanup
            )
    return results


def snapshot(system: OperatingSystem) -> Snapshot | None:
    """Where the system's own archive of a date is."""
    if system.snapshot is None:
        return None
    suites = [suite.format(codename=system.codename) for suite in system.snapshot.suites]
    kept = system.snapshot.model_dump(include=set(Snapshot.model_fields))
    return Snapshot.model_validate(kept | {"suites": suites})


def locked(
    candidate: Candidate, published: Repositories, system: OperatingSystem, arch: Arch, *, hold: bool, why: str
) -> LockedComponent:
    """A vendor's candidate as an entry of the lock."""
    offer = candidate.offer
    names = words(candidate.text, arch) | {"codename": system.codename, "os_version": system.version}
    packages: dict[str, str] = {}
    artifact, source = None, "download"
    if offer.repository:
        source = offer.repository.name
        packages = {n.format(**names): exact.format(**names) for n, exact in offer.repository.packages.items()}
    elif offer.download:
        digests = candidate.release.sha256 if candidate.release else {}
        key = published.keys.get(offer.download.key)
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
        version_of=offer.repository.version_of if offer.repository else "",
        system_packages={name: system.lacks.get(name, DISTRIBUTION) for name in sorted(offer.system_packages)},
        exact={name: exact for name, exact in sorted(packages.items()) if exact},
        artifact=artifact,
        hold=hold,
        facts=candidate.facts,
        why=why,
    )


def _repository(name: str, catalog: Catalog, os_name: str, arch: Arch) -> Repository:
    """A vendor's repository on a system; without address or key as far as no source has them."""
    entry = catalog.repositories.repositories[name]
    key, place = key_of(name, catalog, os_name), address(entry, catalog, os_name, arch)
    return Repository(
        kind=entry.kind,
        suites=[place.suite] if place.suite else [],
        components=entry.components,
        url=place.url,
        key_url=key.url,
        key_fingerprint=key.fingerprint or "",
        signs=entry.signs if entry.kind == "rpm" else [],
    )


def repositories(
    chosen: Mapping[str, Candidate], catalog: Catalog, os_name: str, arch: Arch
) -> tuple[dict[str, Repository], dict[str, str]]:
    """The vendors' repositories of the candidates, and for each candidate that is not resolved, what it lacks."""
    sources: dict[str, Repository] = {}
    unresolved: dict[str, str] = {}
    system = catalog.operating_systems[os_name]
    for name, candidate in chosen.items():
        missing = []
        offer = candidate.offer
        if offer.download:
            digests = candidate.release.sha256 if candidate.release else {}
            key = catalog.repositories.keys.get(offer.download.key)
            signed = offer.download.signature and key and key.fingerprint
            missing += [] if arch in digests or "any" in digests or signed else [DIGEST]
        elif offer.repository and offer.repository.name not in (DISTRIBUTION, BASE_IMAGE):
            missing += [] if candidate.version else [VERSION]
            entry = catalog.repositories.repositories[offer.repository.name]
            source = _repository(offer.repository.name, catalog, os_name, arch)
            missing += [] if source.key_fingerprint else [rules.KEY]
            missing += [] if source.url else [f"the repository's address for {os_name}-{arch}"]
            if isinstance(offer, InheritedOffer) and candidate.text and candidate.text not in offer.seen:
                same = address(entry, catalog, offer.origin, arch) == address(entry, catalog, os_name, arch)
                missing += [] if same else [f"{UNSEEN} {candidate.text} as that for {offer.origin} has"]
            sources[offer.repository.name] = source
        for package in offer.system_packages:
            if other := system.lacks.get(package):
                sources[other] = _repository(other, catalog, os_name, arch)
        missing += [system.unresolved[name]] if name in system.unresolved else []
        if missing and (offer.download or offer.repository):
            unresolved[name] = ", ".join(missing)
    return sources, unresolved
