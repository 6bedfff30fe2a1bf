"""A digest that nobody has published is recorded from a download, and only of what the vendor's key has signed."""

import hashlib
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from ingot import lock as locks
from ingot import paths
from ingot.errors import IngotError
from ingot.models import Artifact, Lock, LockedComponent
from ingot.record import keep, record

CONTENT = b"an installer"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and keeps the test's output clean."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A vendor's host: its address, and the folder that it serves."""
    folder = tmp_path / "vendor"
    folder.mkdir()
    (folder / "efa.tar.gz").write_bytes(CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    thread.join()
    server.server_close()


def sign(folder: Path, home: Path) -> str:
    """Sign the installer with a new key, publish both; the key's fingerprint."""
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-generate-key", "vendor@example.org", "ed25519", "sign"], check=True)
    (folder / "key").write_bytes(subprocess.run([*gpg, "--export", "--armor"], check=True, capture_output=True).stdout)
    subprocess.run([*gpg, "--detach-sign", "--output", folder / "efa.sig", folder / "efa.tar.gz"], check=True)
    listed = subprocess.run([*gpg, "--list-keys", "--with-colons"], check=True, capture_output=True, text=True).stdout
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)
    return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))


def lock_with(artifact: Artifact) -> Lock:
    whole = locks.load(paths.LOCKS / "2026.11" / "debian13-x86_64.yml")
    entry = LockedComponent(version="1.50.0", source="download", artifact=artifact, why="test")
    unresolved = {} if artifact.sha256 else {"efa": "the file's SHA-256"}
    return whole.model_copy(update={"components": {"efa": entry}, "unresolved": unresolved})


def recorded(lock: Lock) -> str | None:
    artifact = lock.components["efa"].artifact
    assert artifact is not None
    return artifact.sha256


def test_a_file_is_hashed_and_resolved(vendor: tuple[str, Path]) -> None:
    done = record(lock_with(Artifact(url=f"{vendor[0]}/efa.tar.gz")))
    assert recorded(done) == DIGEST
    assert done.unresolved == {}


def test_a_signature_by_the_pinned_key_is_accepted(vendor: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = vendor
    fingerprint = sign(folder, tmp_path / "gnupg")
    signed = Artifact(
        url=f"{url}/efa.tar.gz", signature=f"{url}/efa.sig", key_url=f"{url}/key", key_fingerprint=fingerprint
    )
    assert recorded(record(lock_with(signed))) == DIGEST
    (folder / "efa.tar.gz").write_bytes(b"something else")
    with pytest.raises(IngotError, match="checking the signature"):
        record(lock_with(signed))


def test_a_signature_by_another_key_is_refused(vendor: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = vendor
    sign(folder, tmp_path / "gnupg")
    signed = Artifact(
        url=f"{url}/efa.tar.gz", signature=f"{url}/efa.sig", key_url=f"{url}/key", key_fingerprint="A" * 40
    )
    with pytest.raises(IngotError, match="not by AAAA"):
        record(lock_with(signed))


def test_a_signed_file_without_a_known_key_is_not_recorded(vendor: tuple[str, Path]) -> None:
    url, _ = vendor
    signed = Artifact(url=f"{url}/efa.tar.gz", signature=f"{url}/efa.sig", key_url=f"{url}/key")
    with pytest.raises(IngotError, match="nobody has published"):
        record(lock_with(signed))


def test_a_file_that_is_not_there_is_named(vendor: tuple[str, Path]) -> None:
    with pytest.raises(IngotError, match=r"gone\.tar\.gz answers 404"):
        record(lock_with(Artifact(url=f"{vendor[0]}/gone.tar.gz")))


def test_what_an_earlier_lock_has_recorded_is_kept_while_the_address_is_the_same() -> None:
    new, old = Artifact(url="https://example.org/1"), Artifact(url="https://example.org/1", sha256=DIGEST)
    assert recorded(keep(lock_with(new), lock_with(old))) == DIGEST
    assert recorded(keep(lock_with(new), None)) is None
    assert recorded(keep(lock_with(Artifact(url="https://example.org/2")), lock_with(old))) is None
