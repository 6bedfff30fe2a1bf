"""HTTP requests: one client, with the environment's proxies and retries."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

CONNECTIONS = 8
ATTEMPTS = 4
TIMEOUT_SECONDS = 60


class Broken(Exception):
    """The server or the way to it failed; another attempt may succeed."""


def client() -> httpx.Client:
    """A client with persistent connections, for several threads; responses are not compressed."""
    return httpx.Client(
        headers={"Accept-Encoding": "identity"},
        timeout=TIMEOUT_SECONDS,
        follow_redirects=True,
        limits=httpx.Limits(max_connections=CONNECTIONS),
    )


def attempts() -> Retrying:
    """Retry on Broken, with growing delays, and raise the last one."""
    return Retrying(
        retry=retry_if_exception_type(Broken),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.1, max=5),
        reraise=True,
    )


@contextmanager
def get(web: httpx.Client, url: str, offset: int = 0) -> Iterator[httpx.Response]:
    """The response to a request for `url` from byte `offset` on, with its body unread.

    Raises Broken, also for errors while the body is read.
    """
    try:
        with web.stream("GET", url, headers={"Range": f"bytes={offset}-"} if offset else None) as response:
            if response.status_code >= 500 or response.status_code == 429:
                raise Broken(f"{url} answers {response.status_code}")
            yield response
    except httpx.RequestError as error:
        raise Broken(f"{url} cannot be read: {error}") from None
