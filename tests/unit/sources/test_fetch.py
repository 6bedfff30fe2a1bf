"""What a lock names arrives with the lock's digest or not at all."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingot import paths
from ingot.errors import IngotError
from ingot.lock import file as locks
from ingot.model.lock import Lock, Package
from ingot.sources.fetch import deb_name, fetch
from tests.serving import Quiet, answering

CONTENT = b"not really a package, but with a digest"


class Server:
    """A web server on loopback that answers each path from a list of (status, body), the last one for ever."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, list[tuple[int, bytes]]] = {}
        answers = self.answers

        class Handler(Quiet):
            def do_GET(self) -> None:
                queue = answers[self.path]
                status, body = queue.pop(0) if len(queue) > 1 else queue[0]
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.handler = Handler


class LocalArchive:
    """Stands where the archive stands: it only says where a package is."""

    def __init__(self, url: str) -> None:
        self._url = url

    def url(self, package: Package) -> str:
        return self._url + package.path


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    with answering(server.handler) as url:
        server.url = f"{url}/"
        yield server


@pytest.fixture
def lock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lock:
    """A lock with one package, and an empty cache."""
    monkeypatch.setenv("INGOT_CACHE", str(tmp_path / "cache"))
    real = locks.load(paths.LOCKS / "2026.11" / "debian13-x86_64.yml")
    package = Package(
        version="1:2-3",
        suite="trixie",
        path="pool/a/a_2-3_all.deb",
        size=len(CONTENT),
        installed=1,
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )
    return real.model_copy(update={"packages": {"a": package}, "wheels": {}})


def target(lock: Lock) -> Path:
    return paths.cache_dir(f"apt/{lock.key}") / "a_1%3a2-3_all.deb"


def test_a_package_lands_under_apts_own_name(server: Server, lock: Lock) -> None:
    server.answers["/pool/a/a_2-3_all.deb"] = [(200, CONTENT)]
    assert deb_name("a", lock.packages["a"]) == "a_1%3a2-3_all.deb"
    assert fetch(lock, LocalArchive(server.url)).downloaded == len(CONTENT)  # type: ignore[arg-type]
    assert target(lock).read_bytes() == CONTENT
    assert fetch(lock, LocalArchive(server.url)).downloaded == 0  # type: ignore[arg-type]


def test_a_wrong_digest_is_refused_with_both_digests_and_leaves_nothing(server: Server, lock: Lock) -> None:
    wrong = CONTENT[:-1] + b"!"
    server.answers["/pool/a/a_2-3_all.deb"] = [(200, wrong)]
    with pytest.raises(IngotError) as caught:
        fetch(lock, LocalArchive(server.url))  # type: ignore[arg-type]
    assert hashlib.sha256(wrong).hexdigest() in str(caught.value)
    assert lock.packages["a"].sha256 in str(caught.value)
    assert [path for path in target(lock).parent.iterdir() if path.is_file()] == []


def test_a_spoilt_file_in_the_cache_is_fetched_again(server: Server, lock: Lock) -> None:
    server.answers["/pool/a/a_2-3_all.deb"] = [(200, CONTENT)]
    target(lock).write_bytes(b"spoilt")
    fetch(lock, LocalArchive(server.url))  # type: ignore[arg-type]
    assert target(lock).read_bytes() == CONTENT


def test_a_server_error_is_tried_again(server: Server, lock: Lock) -> None:
    server.answers["/pool/a/a_2-3_all.deb"] = [(503, b""), (200, CONTENT)]
    fetch(lock, LocalArchive(server.url))  # type: ignore[arg-type]
    assert target(lock).read_bytes() == CONTENT


def test_a_package_that_is_gone_is_named_with_what_to_do(server: Server, lock: Lock) -> None:
    server.answers["/pool/a/a_2-3_all.deb"] = [(404, b"")]
    with pytest.raises(IngotError, match="answers 404") as caught:
        fetch(lock, LocalArchive(server.url))  # type: ignore[arg-type]
    assert "ingot lock" in caught.value.hint
