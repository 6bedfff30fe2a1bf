"""A lock is stale when what decides it, or what it quotes, changes; not for a remark, a source or another system."""

import re
import shutil
import typing
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from ingot import paths
from ingot.catalog.digest import decisive, digest_of
from ingot.catalog.read import read_catalog
from ingot.lock.file import targets
from ingot.model.advisory import Advisories
from ingot.model.component import Component
from ingot.model.repository import Repositories
from ingot.model.stack import Stack
from ingot.model.system import OperatingSystem

STACK = read_catalog().newest_stack
# What locks depend on, by model. A field that stands in neither is marked UNLOCKED: decide which, for every new one.
DECISIVE = {
    "Acceptance": set(),
    "Advisories": {"component", "python", "fact", "backported", "not_from", "advisories"},
    "Advisory": {"id", "kind", "bulletin", "summary", "facts", "severity", "score", "affected"},
    "Affected": {"versions", "fixed"},
    "AptOffer": {"version_of", "packages", "follow"},
    "Base": {"suite", "components", "packages"},
    "Brought": {"version", "note"},
    "Component": {"component", "hold", "brings", "cleanup", "offers", "rules", "left_out", "parts_left_out"},
    "DownloadOffer": {"url", "signature", "key"},
    "Key": {"url", "fingerprint"},
    "Offer": {
        "os", "arch", "apt", "wheels", "repository", "download", "releases", "system_packages", "facts",
        "facts_from_package",
    },
    "OperatingSystem": {
        "os", "codename", "family", "distribution", "version", "login", "python", "purl", "pcluster", "folders",
        "architectures", "suites", "base", "keys", "base_images", "container_image", "offers", "left_out",
        "unresolved", "signed_by", "lacks", "snapshot",
    },
    "OwnOffer": {
        "os", "arch", "apt", "wheels", "repository", "download", "releases", "system_packages", "facts",
        "facts_from_package",
    },
    "Pin": {"version", "by_os", "facts", "why"},
    "PinOnSystem": {"version", "why"},
    "Purl": {"namespace", "distro"},
    "Python": {"command", "packages"},
    "Release": {"os", "sha256", "facts"},
    "Repositories": {"keys", "repositories"},
    "RepositoryOffer": {"name", "packages", "version_of"},
    "Rule": {"id", "when", "facts", "where", "requires", "refuses", "needs", "forbidden", "severity", "reason"},
    "SourcedBaseImage": {"owner", "name", "ssm", "brings", "fails", "cleanup"},
    "SourcedContainerImage": {"image"},
    "SourcedSnapshot": {"url", "suites", "components", "keyring"},
    "Stack": {"stack", "pins", "accept", "accepts"},
    "VendorRepository": {"kind", "key", "url", "urls", "arch", "suite", "components", "signs"},
    "WheelOffer": {"version_of", "packages", "tools", "spec"},
    "Where": {"os", "arch", "platform", "accelerator", "generation", "family", "instance_type", "nvswitch"},
}  # fmt: skip
UNLOCKED = {
    "Acceptance": {"why", "until"},
    "Advisories": {"packages"},
    "Advisory": {"note", "unknown", "source", "published", "checked"},
    "Component": {"summary", "left_out_source", "left_out_checked"},
    "Key": {"source", "checked"},
    "Offer": {"source", "checked"},
    "OperatingSystem": {"name", "like", "source", "checked"},
    "OwnOffer": {"source", "checked"},
    "Pin": {"review_after"},
    "Release": {"sha256_source", "source", "checked"},
    "Rule": {"source", "checked", "examples"},
    "SourcedBaseImage": {"source", "checked"},
    "SourcedContainerImage": {"source", "checked"},
    "SourcedSnapshot": {"source", "checked"},
    "Stack": {"summary", "extends", "systems"},
    "VendorRepository": {"source", "checked"},
}


def models(annotation: object) -> set[type[BaseModel]]:
    """Every model that locks may depend on, from those that an annotation names."""
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return {model for part in typing.get_args(annotation) for model in models(part)}
    below = (annotation.model_fields[name].annotation for name, _ in decisive(annotation))
    return {annotation}.union(*map(models, below))


@pytest.mark.parametrize(
    "model",
    sorted(
        {m for root in (Advisories, Component, OperatingSystem, Repositories, Stack) for m in models(root)}, key=str
    ),
    ids=lambda model: model.__name__,
)
def test_every_field_is_decided_on(model: type[BaseModel]) -> None:
    counts = {name for name, _ in decisive(model)}
    assert counts == DECISIVE[model.__name__]
    assert set(model.model_fields) - counts == UNLOCKED.get(model.__name__, set())


def digests(catalog: Path) -> dict[str, str]:
    read = read_catalog(catalog)
    return {target.key: digest_of(read, target) for target in targets(read, [STACK])}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the catalog. Files that have not changed are parsed once."""
    return shutil.copytree(paths.CATALOG, tmp_path_factory.mktemp("digest") / "catalog")


@pytest.fixture(scope="module")
def before(copy: Path) -> dict[str, str]:
    return digests(copy)


Stale = Callable[..., set[str]]


@pytest.fixture
def stale(copy: Path, before: dict[str, str]) -> Iterator[Stale]:
    """The locks that edits of a file of the catalog make stale."""
    originals: dict[Path, str] = {}

    def edited(name: str, *edits: tuple[str, str]) -> set[str]:
        file = copy / name
        text = originals.setdefault(file, file.read_text())
        for old, new in edits:
            assert old in text, old
            text = text.replace(old, new, 1)
        file.write_text(text)
        after = digests(copy)
        return {key for key in before if before[key] != after[key]}

    yield edited
    for file, text in originals.items():
        file.write_text(text)


EVERY = {target.key for target in targets(read_catalog(), [STACK])}
PIN = f"stacks/{STACK}.yml"


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("components/grafana.yml", "component:", "# A remark.\ncomponent:"),
        ("components/grafana.yml", "summary: ", "summary: Now. "),
        ("components/grafana.yml", "[ubuntu2204, ubuntu2404]", "\n      - ubuntu2204\n      - ubuntu2404"),
        ("components/grafana.yml", "    checked: 2026-11-24", "    checked: 2026-11-25"),
        ("components/grafana.yml", "source: https://grafana.com/grafana/download", "source: https://grafana.com"),
        ("components/cuda.yml", "severity: warning\n    reason: ", "severity: warning\n    reason: Now, "),
        ("repositories.yml", "    checked: ", "    # A remark.\n    checked: "),
        ("images.yml", "roles:\n      - base\n", "roles:\n"),
        (PIN, "review_after: 2", "review_after: 3"),
        (PIN, "summary: ", "summary: Now. "),
    ],
)
def test_what_decides_nothing_makes_no_lock_stale(stale: Stale, file: str, old: str, new: str) -> None:
    assert stale(file, (old, new)) == set()


@pytest.mark.parametrize(
    ("file", "old", "new", "systems"),
    [
        ("components/docker.yml", "[docker.io, docker-cli,", "[docker.io, docker-compose,", "debian13-"),
        ("operating_systems/ubuntu2204.yml", "codename: jammy", "codename: noble", "ubuntu2204-"),
        ("components/aws_cli.yml", "sha256: {x86_64: a", "sha256: {x86_64: b", "(?!debian).*-x86_64"),
        ("components/grafana.yml", "  debian12: a local", "  debian12: one local", "debian12-"),
        ("components/cuda.yml", "    when: '>=13,<14'", "    when: '>=13,<15'", ""),
        ("components/kernel.yml", "hold: true", "hold: false", ""),
        ("repositories.yml", "docker.com/linux/{docker}", "docker.com/{docker}", "rhel|rocky"),
        ("operating_systems/rhel9.yml", "folders:", "folders:\n  other: x", "(rhel|rocky)9|rhel10|rocky10"),
        ("repositories.yml", "fingerprint: 4E9091", "fingerprint: 4E9092", "(?!debian)"),
        ("operating_systems/debian12.yml", "packages: [apt,", "packages: [apt, bash,", "debian12-"),
        (PIN, "why: The bare system", "why: The bare one", ""),
        (PIN, "al2023: {version: '>=6.12,<6.13'", "al2023: {version: '>=6.12,<6.14'", "al2023-"),
        (PIN, "why: EKS runs 6.12", "why: EKS runs Linux 6.12", "al2023-"),
        (PIN, "version: '>=580.126,<580.127'", "version: '>=580.126,<580.128'", "(?!debian|ubuntu26|rhel10|rocky10)"),
    ],
)
def test_what_decides_a_lock_makes_it_stale_and_no_other(
    stale: Stale, file: str, old: str, new: str, systems: str
) -> None:
    assert stale(file, (old, new)) == {key for key in EVERY if re.match(systems, key)}


def test_the_order_of_decisions_counts(stale: Stale) -> None:
    swap = ("\n  fabricmanager:", "\n  was:"), ("\n  imex:", "\n  fabricmanager:"), ("was:", "imex:")
    assert stale(PIN, *swap) == EVERY
