"""Brings files over HTTP, or from a mirror's folder: many at a time, continued where they broke off, verified.

What has come of a file is kept beside it under a hidden name, and gets the file's own name only when its SHA-256 is the
one that was asked for. A later call, of a later run as well, asks the server for the rest alone.
"""

import hashlib
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from ingot.errors import IngotError
from ingot.sources.web import CONNECTIONS, Broken, attempts, client, get

CHUNK = 1 << 17
TELL_SECONDS = 0.2
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class File:
    """A file to have at `path`, from `url` (http, https or file); `size` is in bytes, 0 where nobody says it."""

    url: str
    path: Path
    sha256: str
    size: int = 0

    @property
    def part(self) -> Path:
        """Where lies what has come of it so far."""
        return self.path.with_name(f".{self.path.name}.part")

    @property
    def missing(self) -> int:
        """How many bytes are still to come, going by sizes alone."""
        there = next((each.stat().st_size for each in (self.path, self.part) if each.is_file()), 0)
        return max(self.size - there, 0)


class _Stopped(Exception):
    """Another file has failed, or the user has interrupted."""


def size(web: httpx.Client, url: str) -> int:
    """How many bytes `url` has; 0 when the server does not say."""
    if url.startswith("file:"):
        return _local(url).stat().st_size
    try:
        answer = web.head(url)
    except httpx.RequestError:
        return 0
    return int(answer.headers.get("Content-Length", 0)) if answer.status_code == 200 else 0


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verified(path: Path, expected: str) -> bool:
    """Whether `path` is there with the right digest; a file with a wrong one is removed."""
    if not path.is_file():
        return False
    if sha256(path) == expected:
        return True
    path.unlink()
    return False


def _local(url: str) -> Path:
    path = Path(urllib.request.url2pathname(urlsplit(url).path))
    if not path.is_file():
        raise IngotError(f"the mirror has no {path}", hint="run `ingot mirror` again, or `ingot lock` if it is newer")
    return path


@contextmanager
def _rest(web: httpx.Client, file: File, offset: int) -> Iterator[tuple[int, Iterator[bytes]]]:
    """From which byte on the answer goes, `offset` or 0, and what it brings."""
    if file.url.startswith("file:"):
        with _local(file.url).open("rb") as source:
            source.seek(offset)
            yield offset, iter(partial(source.read, CHUNK), b"")
        return
    with get(web, file.url, offset) as answer:
        status = answer.status_code
        if status == 416:
            # The part is as long as the file or longer: whether it is the file, its digest says.
            yield offset, iter(())
            return
        if status not in (200, 206):
            hint = "run `ingot lock` if the archive has moved on" if status == 404 else ""
            raise IngotError(f"{file.url} answers {status}", hint=hint)
        if status == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            raise Broken(f"{file.url} answers with another part than was asked for")
        yield offset if status == 206 else 0, answer.iter_raw()


class _Download:
    """One file on its way; `done` counts its bytes that are here, `came` those that this run has brought."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.done = 0
        self.came = 0

    def ensure(self, web: httpx.Client, stop: threading.Event) -> None:
        """Have the file, whole and verified. Raises IngotError when it cannot be had as it was asked for."""
        file = self.file
        if verified(file.path, file.sha256):
            self.done = file.size or file.path.stat().st_size
            return
        file.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            attempts()(self._try, web, stop)
        except Broken as broken:
            raise IngotError(str(broken), hint="is the network up? what has come is kept") from None
        file.part.replace(file.path)

    def _try(self, web: httpx.Client, stop: threading.Event) -> None:
        """Have all of the part."""
        file, before = self.file, self.came
        resumed, got = self._continue(web, stop)
        if got != file.sha256 and self.done < file.size and self.came > before:
            raise Broken(f"{file.url} ends after {self.done} of {file.size} bytes")
        if got != file.sha256:
            file.part.unlink()
            # What was continued may have begun as another file.
            if resumed:
                return self._try(web, stop)
            raise IngotError(
                f"{file.path.name} does not match its digest: expected {file.sha256}, got {got}",
                hint="nothing of it was used and the file was removed; try again, or look into what served it",
            )
        return None

    def _continue(self, web: httpx.Client, stop: threading.Event) -> tuple[bool, str]:
        """Fetch what the part lacks; whether there was one, and the digest of what is there now."""
        part, digest = self.file.part, hashlib.sha256()
        with part.open("a+b", buffering=0) as out:
            out.seek(0)
            while chunk := out.read(CHUNK):
                digest.update(chunk)
            self.done = offset = out.tell()
            if offset and offset == self.file.size:
                return True, digest.hexdigest()
            with _rest(web, self.file, offset) as (begin, chunks):
                if begin != offset:
                    out.truncate(0)
                    self.done, digest = 0, hashlib.sha256()
                for chunk in chunks:
                    if stop.is_set():
                        raise _Stopped
                    digest.update(chunk)
                    out.write(chunk)
                    self.done += len(chunk)
                    self.came += len(chunk)
        return begin > 0, digest.hexdigest()


def download(files: Sequence[File], on_progress: Progress | None = None) -> int:
    """Have all `files`, whole and verified; return how many bytes had to be brought.

    `on_progress(done, total)` is told bytes. Raises IngotError at the first file that cannot be had as it was asked
    for; what has come of the others stays for the next call.
    """
    total = sum(file.size for file in files)
    # The largest first: the last download should be a short one.
    downloads = [_Download(file) for file in sorted(files, key=lambda file: -file.size)]
    stop = threading.Event()
    with client() as web, ThreadPoolExecutor(CONNECTIONS) as pool:
        jobs = {pool.submit(each.ensure, web, stop) for each in downloads}
        try:
            while jobs:
                finished, jobs = wait(jobs, TELL_SECONDS, FIRST_EXCEPTION)
                for job in finished:
                    job.result()
                if on_progress:
                    on_progress(sum(each.done for each in downloads), total)
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return sum(each.came for each in downloads)
