"""A build records what its own image lacks, shows it, writes the lock and goes on; `--frozen` refuses instead."""

import hashlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingot import paths
from ingot.errors import IngotError
from ingot.lock import fill
from ingot.lock.file import load
from ingot.model.lock import Lock, RecordedImage
from tests.commandline import Completed, ingot
from tests.unit.simulated_vendor import Vendor, serving

SOURCED = {"source": "https://e.org", "checked": "2026-12-01"}
SYSTEM: dict[str, Any] = {
    "os": "ourlinux", "name": "Our Linux", "family": "Debian", "distribution": "Our", "version": "1",
    "architectures": ["x86_64"], "login": "us", "python": {"command": "python3", "packages": ["python3-venv"]},
    "purl": {"namespace": "our", "distro": "ourlinux"},
    "base_images": {"ec2": {"owner": "123456789012", "name": "our-linux-*", **SOURCED}}, **SOURCED,
}  # fmt: skip
BASE = RecordedImage(name="our-linux-2026-11-01", owner="123456789012", created=date(2026, 11, 1))
GOES_ON = "the build goes on"
VERSIONS = {
    "docker-ce": ["5:28.0-1", "5:29.8.1-1", "5:30.1-1"],
    "containerd.io": ["2.3.6-1", "2.3.7-1"],
    "runc-of-docker": ["1.0"],
    "libnccl2": ["2.31.2-1+cuda12.9", "2.31.2-1+cuda13.3", "2.31.5-1", "2.33.1-1"],
    "other": ["1"],
}


class Own:
    """A team's catalog whose components come from a simulated vendor, and its command line."""

    def __init__(self, folder: Path, vendor: Vendor) -> None:
        self.folder, self.vendor = folder, vendor
        self.fingerprint = vendor.make_key()
        self.serve()
        vendor.write("efa-1.0.tar.gz", b"an installer")
        vendor.sign("efa-1.0.tar.gz", "efa-1.0.tar.gz.sig")
        self.key = {"fingerprint": self.fingerprint, "url": f"{vendor.url}/key"}
        docker: dict[str, Any] = {"containerd.io": "", "docker-ce": ""}
        self.offers: dict[str, dict[str, Any]] = {
            "docker": {"repository": {"name": "ours", "packages": docker, "version_of": "docker-ce"}},
            "nccl": {"repository": {"name": "ours", "packages": {"libnccl2": ""}}, "releases": {"2.31.2": SOURCED}},
            "gdrcopy": {"repository": {"name": "ours", "packages": {"other": ""}}, "releases": {"1": SOURCED}},
            "efa": {
                "download": {
                    "url": f"{vendor.url}/efa-{{version}}.tar.gz",
                    "signature": f"{vendor.url}/efa-{{version}}.tar.gz.sig",
                    "key": "ours",
                },
                "releases": {"1.0": SOURCED},
            },
        }
        self.ranges = {"docker": ">=28,<30", "nccl": "*", "gdrcopy": "*", "efa": "*"}
        self.write()

    def serve(self, **versions: list[str]) -> None:
        """Let the vendor's repository have these versions of some packages."""
        named = {name.replace("_", "-"): listed for name, listed in versions.items()}
        self.vendor.apt({**VERSIONS, **named}, says={"containerd.io": "Depends: runc-of-docker\n"})

    def _file(self, name: str, content: object) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content))

    def write(self) -> None:
        """Write the catalog, and its locks as nobody has recorded anything."""
        offers = {name: [{**offer, **SOURCED}] for name, offer in self.offers.items()}
        self._file("operating_systems/ourlinux.yml", {**SYSTEM, "offers": offers})
        key = {**self.key, **SOURCED}
        row = {"kind": "apt", "key": "ours", "url": self.vendor.url, **SOURCED}
        self._file("repositories.yml", {"keys": {"ours": key}, "repositories": {"ours": row}})
        pins = {n: {"version": r, "why": "test", "review_after": "2027-01-01"} for n, r in self.ranges.items()}
        self._file("stacks/ours.yml", {"stack": "ours", "summary": "Ours.", "systems": ["ourlinux"], "pins": pins})
        image = {"platform": "ec2", "accelerator": "cpu", "summary": "Ours.", "roles": ["docker", "nccl", "efa"]}
        self._file("images.yml", {"images": {"rig": image}})
        done = ingot("--catalog", self.folder, "lock", "--stack", "ours")
        assert done.returncode == 0, done.stderr

    @property
    def path(self) -> Path:
        return self.folder / "locks" / "ours" / "ourlinux-x86_64.yml"

    @property
    def lock(self) -> Lock:
        return load(self.path)

    def build(self, *words: str) -> Completed:
        """Build the AMI, which ends where Packer would begin."""
        where = ["--os", "ourlinux", "--stack", "ours", "--region", "us-east-1"]
        return ingot("--catalog", self.folder, "ami", "build", "rig", *where, *words)

    def record(self) -> Completed:
        """Record everything in the lock."""
        return ingot("--catalog", self.folder, "lock", "record", "--os", "ourlinux", "--stack", "ours")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Own]:
    def begin() -> None:
        raise IngotError(GOES_ON)

    pytest.importorskip("boto3", reason="boto3 is not installed")
    (tmp_path / "build").mkdir()
    monkeypatch.setattr(paths, "build_dir", lambda *_: tmp_path / "build")
    monkeypatch.setenv("INGOT_CACHE", str(tmp_path / "cache"))
    # `--catalog` sets it for the process.
    monkeypatch.setenv("INGOT_CATALOG", "")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setattr("ingot.ami.build.ensure_packer", begin)
    monkeypatch.setattr(fill, "newest_images", lambda rows, arch, region: dict.fromkeys(rows, BASE))
    with serving(tmp_path) as vendor:
        yield Own(tmp_path / "own", vendor)


def versions(lock: Lock, name: str) -> dict[str, str]:
    return {package: file.version for package, file in lock.components[name].files.items()}


def test_a_build_records_what_its_image_lacks_shows_it_and_goes_on(own: Own) -> None:
    done = own.build()
    assert (done.returncode, GOES_ON in done.stderr) == (1, True), done.stderr
    lock = own.lock
    # The newest that the pin allows, where the catalog has no releases; dependencies come along.
    assert lock.components["docker"].version == "29.8.1"
    assert versions(lock, "docker") == {
        "containerd.io": "2.3.7-1", "docker-ce": "5:29.8.1-1", "runc-of-docker": "1.0",
    }  # fmt: skip
    assert versions(lock, "nccl") == {"libnccl2": "2.31.2-1+cuda13.3"}
    artifact = lock.components["efa"].artifact
    assert artifact and artifact.sha256 == hashlib.sha256(b"an installer").hexdigest()
    assert lock.images == {"ec2": BASE}
    assert lock.unresolved == {}
    # Only what this image has.
    assert lock.components["gdrcopy"].files == {}
    for line in (
        "docker unresolved -> 29.8.1",
        "docker: docker-ce (none) -> 5:29.8.1-1",
        "nccl: libnccl2 (none) -> 2.31.2-1+cuda13.3",
        "efa 1.0 -> 1.0 (digest recorded)",
        "base image ec2 (none) -> our-linux-2026-11-01",
    ):
        assert line in done.stderr
    assert "gdrcopy" not in done.stderr
    assert ingot("--catalog", own.folder, "lock", "check", "--stack", "ours").returncode == 0


def test_a_second_build_changes_nothing_and_a_frozen_one_passes(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    assert GOES_ON in own.build().stderr
    before = own.path.read_bytes()
    monkeypatch.setattr(fill, "record", lambda *_: pytest.fail("it records again"))
    for words in ([], ["--frozen"]):
        assert GOES_ON in own.build(*words).stderr
        assert own.path.read_bytes() == before


def test_the_explicit_command_records_the_rest_and_keeps_what_builds_have_recorded(own: Own) -> None:
    own.build()
    first = own.lock
    own.serve(docker_ce=[*VERSIONS["docker-ce"], "5:29.9-1"], libnccl2=["2.33.1-1"])
    done = own.record()
    assert done.returncode == 0, done.stderr
    assert "gdrcopy: other (none) -> 1" in done.stdout
    assert "2 digest" not in done.stdout and "4 digest" in done.stdout
    assert own.lock.components["docker"] == first.components["docker"]
    assert own.lock.images == first.images


def test_a_frozen_build_refuses_what_has_no_digest_with_its_grade_and_the_one_command(own: Own) -> None:
    before = own.path.read_bytes()
    done = own.build("--frozen")
    assert done.returncode == 1
    assert "rig for ourlinux-x86_64 is not frozen" in done.stderr
    for said in (
        "docker (unresolved: its version)",
        "nccl (signature: its packages' digests)",
        "efa (signature: the file's SHA-256)",
        "its base image ec2 (its name)",
        "`ingot lock record --os ourlinux --arch x86_64 --stack ours --region REGION`",
    ):
        assert said in done.stderr
    assert own.path.read_bytes() == before


def test_without_a_network_what_a_key_signs_is_built_and_the_rest_is_named(
    own: Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = own.path.read_bytes()
    own.offers["docker"]["releases"] = {"29.8.1": SOURCED}
    silent = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
    with monkeypatch.context() as offline:
        for name, value in silent.items():
            offline.setenv(name, value)
        refused = own.build()
        assert "docker (unresolved: its version; " in refused.stderr
        assert "cannot be read" in refused.stderr
        assert "nccl (" not in refused.stderr
        assert "ingot lock record --os ourlinux --arch x86_64 --stack ours" in refused.stderr
        own.write()
        done = own.build()
    assert GOES_ON in done.stderr
    assert "not recorded, its signature is checked in the build: nccl: " in done.stderr
    assert own.path.read_bytes() != before


def test_a_vendors_key_that_has_changed_is_named_beside_the_pinned_one(own: Own) -> None:
    pinned = own.key["fingerprint"] = "B" * 40
    own.write()
    done = own.build()
    assert done.returncode == 1
    assert GOES_ON not in done.stderr
    assert own.fingerprint in done.stderr
    assert pinned in done.stderr


def test_a_version_that_a_repository_has_lost_is_named_with_the_nearest_change(own: Own) -> None:
    own.serve(libnccl2=VERSIONS["libnccl2"][2:])
    done = own.build()
    assert done.returncode == 1
    assert "nccl: ours no longer has libnccl2 2.31.2; it has 2.31.5-1, 2.33.1-1" in done.stderr
    assert "the nearest is 2.31.5: pin nccl to ==2.31.5 in the stack" in done.stderr
    # What could be recorded is.
    assert own.lock.components["docker"].version == "29.8.1"


def test_where_the_pin_allows_no_version_all_that_there_are_are_named(own: Own) -> None:
    own.ranges["docker"] = ">=31"
    own.write()
    done = own.build()
    assert done.returncode == 1
    assert "docker (unresolved: its version; ours has no docker-ce that fits: the pin is >=31; it has" in done.stderr
    assert "5:30.1-1" in done.stderr


def test_an_interrupted_recording_leaves_the_old_lock(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    before = own.path.read_bytes()
    # The file of efa is hashed before.
    monkeypatch.setattr("ingot.lock.record.read_index", interrupted)
    assert own.build().returncode != 0
    assert own.path.read_bytes() == before
    assert [path.name for path in own.path.parent.iterdir() if path.name.startswith(".")] == []
