"""What a lock has recorded of vendors is mirrored with their signatures, verified, and nothing else passes for it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.console import Progress
from ingot.errors import IngotError
from ingot.lock import file as locks
from ingot.lock.record import record
from ingot.mirror.mirror import Made, mirror
from ingot.model.lock import Artifact, Lock, LockedComponent, Repository
from tests.unit.simulated_vendor import Vendor, serving

EMPTY = locks.load(paths.LOCKS / "2026.11" / "ubuntu2404-x86_64.yml").model_copy(update={"repositories": {}})


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    with serving(tmp_path) as made:
        yield made


@pytest.fixture
def lock(vendor: Vendor) -> Lock:
    """A lock of packages of two repositories, of a file, and of a kernel that only the system has."""
    key = {"key_url": f"{vendor.url}/key", "key_fingerprint": vendor.make_key()}
    needs = dict.fromkeys(("libnccl2", "libgdrapi"), "Depends: common\n")
    vendor.apt({"libnccl2": ["2.31.2-1+cuda13.3"], "libgdrapi": ["2.5"], "common": ["1"]}, "noble", "main", needs)
    vendor.rpm({"nvidia-open": [("3", "580.126.20", "1.el9")]})
    vendor.write("efa-1.50.0.tar.gz", b"an installer")
    components = {
        "nccl": LockedComponent(version="2.31.2", source="deb", packages=["libnccl2"], why="test"),
        "gdrcopy": LockedComponent(version="2.5", source="deb", packages=["libgdrapi"], why="test"),
        "nvidia_driver": LockedComponent(version="580.126.20", source="rpm", packages=["nvidia-open"], why="test"),
        "efa": LockedComponent(
            version="1.50.0", source="download", artifact=Artifact(url=f"{vendor.url}/efa-1.50.0.tar.gz"), why="test"
        ),
        "kernel": LockedComponent(version="6.17", source="distribution", packages=["linux-image-aws"], why="test"),
    }
    repositories = {
        "deb": Repository(kind="apt", url=vendor.url, suites=["noble"], components=["main"], **key),
        "rpm": Repository(kind="rpm", url=vendor.url, **key),
    }
    update = {"components": components, "repositories": repositories, "unresolved": {}}
    return EMPTY.model_copy(update=update)


def made(folder: Path, lock: Lock) -> Made:
    return mirror(folder, read_catalog(), lock, Progress(quiet=True))


def test_packages_files_and_signed_indexes_are_as_the_vendor_has_them(
    vendor: Vendor, lock: Lock, tmp_path: Path
) -> None:
    folder = tmp_path / "mirror"
    done = made(folder, record(lock)[0])
    assert done.files == 5
    assert done.not_in_it == {"kernel": "its version, which the base image fixes"}
    deb, rpm = folder / "vendors" / "deb" / lock.key, folder / "vendors" / "rpm" / lock.key
    host = urlsplit(vendor.url).netloc.replace(":", "_")
    served = {
        deb / "dists" / "noble" / "InRelease": "dists/noble/InRelease",
        deb / "dists" / "noble" / "main" / "binary-amd64" / "Packages.gz": "dists/noble/main/binary-amd64/Packages.gz",
        deb / "libnccl2_2.31.2-1+cuda13.3.deb": "libnccl2_2.31.2-1+cuda13.3.deb",
        deb / "common_1.deb": "common_1.deb",
        rpm / "repodata" / "repomd.xml": "repodata/repomd.xml",
        rpm / "repodata" / "repomd.xml.asc": "repodata/repomd.xml.asc",
        rpm / "repodata" / "primary.xml.zst": "repodata/primary.xml.zst",
        rpm / "nvidia-open-580.126.20.rpm": "nvidia-open-580.126.20.rpm",
        folder / "files" / host / "efa-1.50.0.tar.gz": "efa-1.50.0.tar.gz",
    }
    for mine, theirs in served.items():
        assert mine.read_bytes() == (vendor.folder / theirs).read_bytes(), theirs
    assert made(folder, record(lock)[0]).downloaded_bytes == 0


def test_what_is_not_recorded_is_named_with_how_to_record_it(lock: Lock, tmp_path: Path) -> None:
    with pytest.raises(IngotError, match=r"lacks digests: nccl \(signature: .*, efa \(unresolved: ") as caught:
        made(tmp_path / "mirror", lock)
    assert "ingot lock record" in caught.value.hint


def test_a_package_that_the_vendor_has_replaced_is_refused(vendor: Vendor, lock: Lock, tmp_path: Path) -> None:
    recorded, _ = record(lock)
    vendor.write("libnccl2_2.31.2-1+cuda13.3.deb", b"libnccl2 2.31.2-1+CUDA13.3")
    expected = hashlib.sha256(b"libnccl2 2.31.2-1+cuda13.3").hexdigest()
    with pytest.raises(IngotError, match=f"does not match its digest: expected {expected}"):
        made(tmp_path / "mirror", recorded)
    assert not list((tmp_path / "mirror").rglob("libnccl2*.deb"))
