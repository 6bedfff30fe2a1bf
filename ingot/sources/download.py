"""Downloads files over HTTP, or copies them from a mirror's folder: in parallel, resumable and verified.

A partial file is kept next to the file under a hidden name, and renamed only when its SHA-256 matches. A later call,
even of a later run, requests only the rest.
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
    """A file to have at `path`, from `url` (http, https or file); `size` is in bytes, 0 if unknown."""

    url: str
    path: Path
    sha256: str
    size: int = 0

    @property
    def part(self) -> Path:
        """The path of the partial file."""
        return self.path.with_name(f".{self.path.name}.part")

    @property
    def missing(self) -> int:
        """The number of missing bytes, judged by sizes alone."""
        size = next((path.stat().st_size for path in (self.path, self.part) if path.is_file()), 0)
        return max(self.size - size, 0)


class _Stopped(Exception):
    """Another file has failed, or the user has interrupted the run."""


def size(web: httpx.Client, url: str) -> int:
    """The size of `url` in bytes; 0 if the server does not say."""
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
    """Whether `path` exists with the right digest; a file with a wrong one is removed."""
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
    """The first byte of the response, `offset` or 0, and its chunks."""
    if file.url.startswith("file:"):
        with _local(file.url).open("rb") as source:
            source.seek(offset)
            yield offset, iter(partial(source.read, CHUNK), b"")
        return
    with get(web, file.url, offset) as response:
        status = response.status_code
        if status == 416:
            # The partial file is complete or too long; its digest decides.
            yield offset, iter(())
            return
        if status not in (200, 206):
            hint = "run `ingot lock` if the archive has moved on" if status == 404 else ""
            raise IngotError(f"{file.url} answers {status}", hint=hint)
        if status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            raise Broken(f"{file.url} returns another range than requested")
        yield offset if status == 206 else 0, response.iter_raw()


class _Download:
    """One file in progress; `done` counts its bytes on disk, `came` those downloaded in this run."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.done = 0
        self.came = 0

    def ensure(self, web: httpx.Client, stop: threading.Event) -> None:
        """Make sure that the file is complete and verified. Raises IngotError if that fails."""
        file = self.file
        if verified(file.path, file.sha256):
            self.done = file.size or file.path.stat().st_size
            return
        file.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            attempts()(self._try, web, stop)
        except Broken as broken:
            raise IngotError(str(broken), hint="check the network, then try again: the partial file is kept") from None
        file.part.replace(file.path)

    def _try(self, web: httpx.Client, stop: threading.Event) -> None:
        """Complete the partial file."""
        file, before = self.file, self.came
        resumed, got = self._continue(web, stop)
        if got != file.sha256 and self.done < file.size and self.came > before:
            raise Broken(f"{file.url} ends after {self.done} of {file.size} bytes")
        if got != file.sha256:
            file.part.unlink()
            # The resumed part may have been of another file.
            if resumed:
                return self._try(web, stop)
            raise IngotError(
                f"{file.path.name} does not match its digest: expected {file.sha256}, got {got}",
                hint="the file was removed and not used; try again, or check the server that it came from",
            )
        return None

    def _continue(self, web: httpx.Client, stop: threading.Event) -> tuple[bool, str]:
        """Fetch the rest of the partial file; whether it was resumed, and the digest of the result."""
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
    """Make sure that all `files` are complete and verified; return the number of downloaded bytes.

    `on_progress(done, total)` is called with bytes. Raises IngotError at the first file that fails; partial files of
    the others are kept for the next call.
    """
    total = sum(file.size for file in files)
    # Largest first, so that the last download is a short one.
    downloads = [_Download(file) for file in sorted(files, key=lambda file: -file.size)]
    stop = threading.Event()
    with client() as web, ThreadPoolExecutor(CONNECTIONS) as pool:
        jobs = {pool.submit(item.ensure, web, stop) for item in downloads}
        try:
            while jobs:
                finished, jobs = wait(jobs, TELL_SECONDS, FIRST_EXCEPTION)
                for job in finished:
                    job.result()
                if on_progress:
                    on_progress(sum(item.done for item in downloads), total)
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return sum(item.came for item in downloads)
