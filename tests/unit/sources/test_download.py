"""A download goes on where it broke off, and a file has its name only when it is whole and the right one."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ingot.errors import IngotError
from ingot.sources.download import File, download
from tests.serving import Quiet, answering

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = b"!" * len(CONTENT)


class Request(Quiet):
    """One request, with the answers that servers give to it."""

    protocol_version = "HTTP/1.1"
    script: "Script"

    def do_GET(self) -> None:
        self.script.ranges.append(self.headers.get("Range"))
        answers = self.script.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def answer(self, status: int, body: bytes, length: int | None = None, **headers: str) -> None:
        """Send `body` and say that it has `length` bytes."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = length is not None


Answer = Callable[[Request], None]


class Script:
    """A server's answers in their order, the last one for ever, and the ranges that it was asked for."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [part]
        self.ranges: list[str | None] = []


def part(request: Request) -> None:
    """The bytes that were asked for."""
    asked = request.headers.get("Range")
    if asked is None:
        return request.answer(200, CONTENT)
    first = int(asked.removeprefix("bytes=").removesuffix("-"))
    if first >= len(CONTENT):
        return request.answer(416, b"")
    where = f"bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}"
    return request.answer(206, CONTENT[first:], Content_Range=where)


def whole(request: Request) -> None:
    """All of it, as a server without ranges answers."""
    request.answer(200, CONTENT)


def cut(request: Request) -> None:
    """A first part, and then the connection ends."""
    request.answer(200, CONTENT[:1000], length=len(CONTENT))


def short(request: Request) -> None:
    """A first part that claims to be all."""
    request.answer(200, CONTENT[:1000])


def other(request: Request) -> None:
    """Another file of the same length."""
    request.answer(200, OTHER)


def from_the_start(request: Request) -> None:
    """All of it, as if that were the part that was asked for."""
    request.answer(206, CONTENT, Content_Range=f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")


def fails(status: int) -> Answer:
    return lambda request: request.answer(status, b"")


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def file(script: Script, tmp_path: Path) -> Iterator[File]:
    """A file of the server, to have in an empty folder."""
    handler = type("Scripted", (Request,), {"script": script})
    with answering(handler) as url:
        yield File(f"{url}/a", tmp_path / "pool" / "a.deb", SHA256, len(CONTENT))


def left(file: File) -> list[str]:
    return [path.name for path in file.path.parent.iterdir()]


def test_a_file_arrives_whole_and_alone(script: Script, file: File) -> None:
    assert download([file]) == len(CONTENT)
    assert file.path.read_bytes() == CONTENT
    assert left(file) == ["a.deb"]
    assert script.ranges == [None]


def test_a_file_that_is_there_is_not_asked_for_again(script: Script, file: File) -> None:
    download([file])
    assert download([file]) == 0
    assert len(script.ranges) == 1


def test_a_spoilt_file_is_fetched_again(file: File) -> None:
    file.path.parent.mkdir()
    file.path.write_bytes(OTHER)
    assert download([file]) == len(CONTENT)
    assert file.path.read_bytes() == CONTENT


@pytest.mark.parametrize("broken", [cut, short])
def test_what_broke_off_is_continued_in_the_same_run(script: Script, file: File, broken: Answer) -> None:
    script.answers = [broken, part]
    assert download([file]) == len(CONTENT)
    assert file.path.read_bytes() == CONTENT
    assert script.ranges == [None, "bytes=1000-"]


def test_another_part_than_was_asked_for_is_not_taken_and_spoils_nothing(script: Script, file: File) -> None:
    script.answers = [cut, from_the_start, part]
    assert download([file]) == len(CONTENT)
    assert file.path.read_bytes() == CONTENT
    assert script.ranges == [None, "bytes=1000-", "bytes=1000-"]


def test_what_an_earlier_run_left_is_continued(script: Script, file: File) -> None:
    script.answers = [cut, fails(503)]
    with pytest.raises(IngotError, match="answers 503"):
        download([file])
    assert not file.path.exists()
    script.answers, script.ranges = [part], []
    assert download([file]) == len(CONTENT) - 1000
    assert file.path.read_bytes() == CONTENT
    assert script.ranges == ["bytes=1000-"]


def test_a_server_without_ranges_sends_all_again(script: Script, file: File) -> None:
    script.answers = [cut, whole]
    download([file])
    assert file.path.read_bytes() == CONTENT


def test_a_part_of_another_file_is_given_up(script: Script, file: File) -> None:
    file.path.parent.mkdir()
    file.part.write_bytes(OTHER[:5000])
    download([file])
    assert file.path.read_bytes() == CONTENT
    assert script.ranges == ["bytes=5000-", None]


def test_a_part_that_is_longer_than_the_file_is_given_up(file: File) -> None:
    file.path.parent.mkdir()
    file.part.write_bytes(CONTENT + b"more")
    download([file])
    assert file.path.read_bytes() == CONTENT


def test_a_part_that_lacks_nothing_needs_no_server(script: Script, file: File) -> None:
    file.path.parent.mkdir()
    file.part.write_bytes(CONTENT)
    assert download([file]) == 0
    assert file.path.read_bytes() == CONTENT
    assert script.ranges == []


def test_a_wrong_digest_is_refused_with_both_digests_and_leaves_nothing(script: Script, file: File) -> None:
    script.answers = [other]
    with pytest.raises(IngotError) as caught:
        download([file])
    assert hashlib.sha256(OTHER).hexdigest() in str(caught.value)
    assert SHA256 in str(caught.value)
    assert left(file) == []


def test_a_server_that_always_cuts_off_leaves_nothing_under_the_files_name(script: Script, file: File) -> None:
    script.answers = [cut]
    with pytest.raises(IngotError, match="cannot be read") as caught:
        download([file])
    assert "kept" in caught.value.hint
    assert left(file) == [".a.deb.part"]


def test_a_part_is_given_up_when_the_server_has_no_more(script: Script, file: File) -> None:
    file.path.parent.mkdir()
    file.part.write_bytes(OTHER[:1000])
    script.answers = [fails(416), whole]
    download([file])
    assert file.path.read_bytes() == CONTENT
    assert script.ranges == ["bytes=1000-", None]


@pytest.mark.parametrize(("status", "attempts"), [(404, 1), (403, 1), (429, 4), (500, 4)])
def test_an_error_names_the_address_and_the_answer(script: Script, file: File, status: int, attempts: int) -> None:
    script.answers = [fails(status)]
    with pytest.raises(IngotError, match=f"{file.url} answers {status}"):
        download([file])
    assert len(script.ranges) == attempts
    assert not file.path.exists()


def test_a_redirection_is_followed(script: Script, file: File) -> None:
    script.answers = [lambda request: request.answer(302, b"", Location="/elsewhere"), part]
    download([file])
    assert file.path.read_bytes() == CONTENT


def test_a_proxy_is_asked_where_the_environment_names_one(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    address = file.url.removesuffix("/a")
    monkeypatch.setenv("http_proxy", address)
    monkeypatch.setenv("no_proxy", "unproxied.example")
    download([replace(file, url="http://archive.example/a")])
    assert file.path.read_bytes() == CONTENT
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    file.path.unlink()
    download([file])
    assert file.path.read_bytes() == CONTENT


def test_nothing_listens_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(IngotError, match="cannot be read") as caught:
        download([File("http://127.0.0.1:9/a", tmp_path / "a", SHA256)])
    assert "network" in caught.value.hint


def test_a_mirrors_folder_is_copied_and_verified(tmp_path: Path) -> None:
    (tmp_path / "a b.deb").write_bytes(CONTENT)
    file = File((tmp_path / "a b.deb").as_uri(), tmp_path / "to" / "a.deb", SHA256, len(CONTENT))
    assert download([file]) == len(CONTENT)
    assert file.path.read_bytes() == CONTENT
    (tmp_path / "a b.deb").write_bytes(OTHER)
    file.path.unlink()
    with pytest.raises(IngotError, match="does not match its digest"):
        download([file])


def test_progress_ends_at_the_total(file: File) -> None:
    said: list[tuple[int, int]] = []
    download([file], lambda done, total: said.append((done, total)))
    assert said[-1] == (len(CONTENT), len(CONTENT))
    assert all(done <= total for done, total in said)
