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

import urllib3

from ingot.errors import IngotError

CONNECTIONS = 8
ATTEMPTS = 4
TIMEOUT_SECONDS = 60
CHUNK = 1 << 17
TELL_SECONDS = 0.2
NO_RETRY = urllib3.Retry(connect=0, read=0, status=0, other=0, redirect=5)
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


class _Broken(Exception):
    """The server or the way to it failed; another attempt may succeed."""


class Web:
    """Connections to web servers, kept open between files, through the proxies that the environment names."""

    def __init__(self) -> None:
        self._pools: dict[str, urllib3.PoolManager] = {}

    def open(self, url: str, offset: int = 0, method: str = "GET") -> urllib3.BaseHTTPResponse:
        """The server's answer to a request for `url` from byte `offset` on; its body is still to be read."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        proxy = "" if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get(parts.scheme, "")
        if proxy not in self._pools:
            new = (
                urllib3.ProxyManager(proxy, maxsize=CONNECTIONS) if proxy else urllib3.PoolManager(maxsize=CONNECTIONS)
            )
            self._pools.setdefault(proxy, new)
        login = f"{parts.username}:{parts.password or ''}" if parts.username else None
        headers = {"Accept-Encoding": "identity", **urllib3.make_headers(basic_auth=login)}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        return self._pools[proxy].request(
            method, url, headers=headers, preload_content=False, retries=NO_RETRY, timeout=TIMEOUT_SECONDS
        )

    def size(self, url: str) -> int:
        """How many bytes `url` has; 0 when the server does not say."""
        if url.startswith("file:"):
            return _local(url).stat().st_size
        try:
            answer = self.open(url, method="HEAD")
            answer.release_conn()
        except urllib3.exceptions.HTTPError:
            return 0
        return int(answer.headers.get("Content-Length", 0)) if answer.status == 200 else 0


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
def _rest(web: Web, file: File, offset: int) -> Iterator[tuple[int, Callable[[int], bytes]]]:
    """From which byte on the answer goes, `offset` or 0, and a function that reads the next bytes of it."""
    if file.url.startswith("file:"):
        with _local(file.url).open("rb") as source:
            source.seek(offset)
            yield offset, source.read
        return
    try:
        answer = web.open(file.url, offset)
        try:
            if answer.status >= 500:
                raise _Broken(f"{file.url} answers {answer.status}")
            if answer.status == 416:
                # The part is as long as the file or longer: whether it is the file, its digest says.
                yield offset, lambda _: b""
                return
            if answer.status not in (200, 206):
                hint = "run `ingot lock` if the archive has moved on" if answer.status == 404 else ""
                raise IngotError(f"{file.url} answers {answer.status}", hint=hint)
            begins = answer.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
            if answer.status == 206 and not begins:
                raise _Broken(f"{file.url} answers with another part than was asked for")
            # read1 gives what has arrived; read would wait for more of it, which costs a third of the throughput.
            read = partial(answer.read1, decode_content=False)
            yield offset if answer.status == 206 else 0, read
        finally:
            # Only an answer that was read to its end leaves a connection that the next request can use.
            answer.release_conn() if answer.closed else answer.close()
    except urllib3.exceptions.HTTPError as error:
        raise _Broken(f"{file.url} cannot be read: {error}") from None


class _Download:
    """One file on its way; `done` counts its bytes that are here, `came` those that this run has brought."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.done = 0
        self.came = 0

    def ensure(self, web: Web, stop: threading.Event) -> None:
        """Have the file, whole and verified. Raises IngotError when it cannot be had as it was asked for."""
        file = self.file
        if verified(file.path, file.sha256):
            self.done = file.size or file.path.stat().st_size
            return
        file.path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                resumed, got = self._continue(web, stop)
            except _Broken as broken:
                if attempt == ATTEMPTS:
                    raise IngotError(str(broken), hint="is the network up? what has come is kept") from None
                continue
            if got == file.sha256:
                file.part.replace(file.path)
                return
            if self.done < file.size and attempt < ATTEMPTS:
                continue
            file.part.unlink()
            # What was continued may have begun as another file.
            if not resumed or attempt == ATTEMPTS:
                raise IngotError(
                    f"{file.path.name} does not match its digest: expected {file.sha256}, got {got}",
                    hint="nothing of it was used and the file was removed; try again, or look into what served it",
                )

    def _continue(self, web: Web, stop: threading.Event) -> tuple[bool, str]:
        """Fetch what the part lacks; whether there was one, and the digest of what is there now."""
        part, digest = self.file.part, hashlib.sha256()
        with part.open("a+b", buffering=0) as out:
            out.seek(0)
            while chunk := out.read(CHUNK):
                digest.update(chunk)
            self.done = offset = out.tell()
            if offset and offset == self.file.size:
                return True, digest.hexdigest()
            with _rest(web, self.file, offset) as (begin, read):
                if begin != offset:
                    out.truncate(0)
                    self.done, digest = 0, hashlib.sha256()
                while chunk := read(CHUNK):
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
    web, stop = Web(), threading.Event()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
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
