"""AWS sessions: clients per region, several regions in parallel, and errors with hints.

boto3 is imported only here, and only when AWS is used. Its endpoint is AWS_ENDPOINT_URL if that is set.
"""

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeVar

from ingot.errors import IngotError, UsageError
from ingot.yamlfile import nearest

Item = TypeVar("Item")
Answer = TypeVar("Answer")

RENEW = "renew the credentials, for example with `aws sso login`"
INVALID = "the credentials are not valid in this region: it may have to be enabled for the account"
ALLOW = "allow {needs}"
AGAIN = "AWS throttles the requests; run it again later: finished steps are skipped"
# By the error's code, or by its class if AWS was not reached.
HINTS = {
    "NoCredentialsError": "set AWS_PROFILE, or log in with `aws sso login`",
    "ExpiredToken": RENEW,
    "ExpiredTokenException": RENEW,
    "RequestExpired": RENEW,
    "SSOTokenLoadError": RENEW,
    "UnauthorizedSSOTokenError": RENEW,
    "TokenRetrievalError": RENEW,
    "AuthFailure": INVALID,
    "InvalidClientTokenId": INVALID,
    "UnrecognizedClientException": INVALID,
    "OptInRequired": INVALID,
    "UnauthorizedOperation": ALLOW,
    "AccessDenied": ALLOW,
    "AccessDeniedException": ALLOW + "; a key's own policy has to allow its part as well",
    "ParameterNotFound": "correct the parameter in the system's file in operating_systems/",
    "EndpointConnectionError": "check the network connection",
    "RequestLimitExceeded": AGAIN,
    "Throttling": AGAIN,
    "ThrottlingException": AGAIN,
    "TooManyUpdates": AGAIN,
    "InvalidAMIID.NotFound": "`ingot ami list` lists the existing AMIs",
    "InvalidAMIID.Malformed": "`ingot ami list` lists the existing AMIs",
    "InvalidAMIName.Duplicate": "an AMI that is not a copy of this one has this name: deregister it first",
    "InvalidKmsKey.NotFound": "use a key of that region, or an alias that exists in every region, such as alias/ingot",
    "NotFoundException": "use a key of that region, or an alias that exists in every region, such as alias/ingot",
    "WaiterError": "run it again: it waits for unfinished steps and repeats failed ones",
    "KMSInvalidStateException": "enable the key, or use another one",
}
# Errors for resources in use, and for deleted ones, which have one code per kind:
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
IN_USE = frozenset({"InvalidSnapshot.InUse", "VolumeInUse", "DependencyViolation", "InvalidGroup.InUse"})
GONE = re.compile(r"Invalid\w+\.(?:NotFound|Unavailable)|Parameter(?:Version)?NotFound")
# Above this AWS throttles; boto3 backs off and retries.
AT_ONCE = 8
TRIES = 10
# boto3 must create sessions and clients one at a time.
_making = threading.Lock()


def code_of(error: BaseException) -> str:
    """The code of an AWS error; the class's name if AWS was not reached."""
    answer = getattr(error, "response", {})
    return str(answer.get("Error", {}).get("Code", "")) or type(error).__name__


@contextmanager
def tolerated(messages: list[str]) -> Iterator[None]:
    """Ignore that what the block deletes is already gone; if it is still in use, append a message to `messages`."""
    try:
        yield
    except import_module("botocore.exceptions").ClientError as error:
        code = code_of(error)
        if code in IN_USE:
            messages.append(f"kept, because it is in use: {error.response['Error']['Message']}")
        elif not GONE.fullmatch(code):
            raise


@contextmanager
def session(where: str, needs: str, instead: str = "") -> Iterator[Any]:
    """A boto3 session; an AWS error in the block becomes one IngotError with a hint."""
    other = f", {instead}" if instead else ""
    try:
        boto3, exceptions = import_module("boto3"), import_module("botocore.exceptions")
    except ImportError:
        raise IngotError("boto3 is not installed", hint=f"pip install boto3{other}") from None
    try:
        with _making:
            new = boto3.Session()
        yield new
    except (exceptions.BotoCoreError, exceptions.ClientError) as error:
        name = code_of(error)
        hint = HINTS.get(name, "").format(needs=needs)
        offer = other if name in ("NoCredentialsError", "EndpointConnectionError") else ""
        reason = "AWS refused" if isinstance(error, exceptions.ClientError) else "AWS did not answer"
        reason = "AWS has not finished" if name == "WaiterError" else reason
        raise IngotError(f"{reason}: {error}", place=where, hint=hint + offer) from None


def known(session: Any, region: str) -> str:
    """`region` if it exists; UsageError with the nearest name if not."""
    names = {
        name
        for partition in session.get_available_partitions()
        for name in session.get_available_regions("ec2", partition)
    }
    if region not in names:
        message = f"unknown region {region!r}" if region else "no region is set"
        raise UsageError(message, hint=f"--region: {nearest(region, names)}")
    return region


class Region:
    """One AWS region; its clients are created on first use, and can be used from several threads."""

    def __init__(self, session: Any, name: str) -> None:
        self.name = name
        self._session = session
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """The client of `service`, which retries with backoff when AWS throttles."""
        with _making:
            if service not in self._clients:
                config = import_module("botocore.config").Config(
                    retries={"mode": "adaptive", "total_max_attempts": TRIES}, max_pool_connections=2 * AT_ONCE
                )
                self._clients[service] = self._session.client(service, region_name=self.name, config=config)
            return self._clients[service]

    @property
    def ec2(self) -> Any:
        """The client of EC2."""
        return self.client("ec2")

    def all(self, service: str, operation: str, key: str, *, page: int | None = None, **arguments: Any) -> list[Any]:
        """All items under `key` in the responses of a paginated call; `page` is the maximum size of a page."""
        client = self.client(service)
        if not client.can_paginate(operation):
            return list(getattr(client, operation)(**arguments).get(key, []))
        pages = client.get_paginator(operation).paginate(**arguments, PaginationConfig={"PageSize": page})
        return [item for response in pages for item in response.get(key, [])]


def regions(names: Sequence[str], command: str) -> list[Region]:
    """The regions of these names, else the profile's own; UsageError on an unknown region."""
    with session(", ".join(names), needs(command)) as new:
        return [Region(new, known(new, name)) for name in dict.fromkeys(names or [new.region_name or ""])]


def needs(command: str) -> str:
    """The permissions for a command on AMIs, as text."""
    return f"what `ingot ami policy {command}` prints"


def everywhere(regions: Sequence[Region], command: str, do: Callable[[Region], Answer]) -> list[Answer]:
    """The results of `do` for all regions in parallel; an error names its region."""

    def one(region: Region) -> Answer:
        with session(region.name, needs(command)):
            return do(region)

    return at_once(one, regions)


def at_once(do: Callable[[Item], Answer], items: Sequence[Item]) -> list[Answer]:
    """The results of `do` for all items, several at a time; the first error is raised when all have ended.

    Ctrl-C ends it at once: the threads are daemons, unlike an executor's.
    """
    if len(items) == 1:
        return [do(items[0])]
    answers: dict[int, Answer] = {}
    errors: dict[int, BaseException] = {}
    waiting = iter(enumerate(items))
    lock = threading.Lock()

    def work() -> None:
        begun = False
        # Each thread handles at least one item, even if another has failed in the meantime.
        while not (begun and errors):
            begun = True
            with lock:
                number, item = next(waiting, (-1, None))
            if item is None:
                return
            try:
                answers[number] = do(item)
            except BaseException as error:
                errors[number] = error

    # All regions at once, because each has its own limits.
    width = len(items) if items and isinstance(items[0], Region) else min(AT_ONCE, len(items))
    threads = [threading.Thread(target=work, daemon=True) for _ in range(width)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException as error:
        errors[len(items)] = error
        raise
    if errors:
        raise errors[min(errors)]
    return [answers[number] for number in range(len(items))]
