"""Sessions with AWS: clients of a region, several regions at once, and errors that say what to do about them.

boto3 is imported only here, and only when AWS is asked. It takes its endpoint from AWS_ENDPOINT_URL where that is set.
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
AGAIN = "AWS was asked too often; run it again: what is done already is not done anew"
# By the error's code, or by its class where AWS was not reached.
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
    "ParameterNotFound": "mend the parameter in the system's file of operating_systems/",
    "EndpointConnectionError": "is there a network?",
    "RequestLimitExceeded": AGAIN,
    "Throttling": AGAIN,
    "ThrottlingException": AGAIN,
    "TooManyUpdates": AGAIN,
    "InvalidAMIID.NotFound": "`ingot ami list` names those there are",
    "InvalidAMIID.Malformed": "`ingot ami list` names those there are",
    "InvalidAMIName.Duplicate": "another AMI that is no copy of this one has the name: deregister that one first",
    "InvalidKmsKey.NotFound": "name a key of that region, or an alias that every region has: alias/ingot",
    "NotFoundException": "name a key of that region, or an alias that every region has: alias/ingot",
    "WaiterError": "run it again: it waits for what takes longer, and makes anew what failed",
    "KMSInvalidStateException": "enable the key, or name another one",
}
# What something else still uses; for what has gone meanwhile EC2 has a code a kind: https://docs.aws.amazon.com/
# AWSEC2/latest/APIReference/errors-overview.html
IN_USE = frozenset({"InvalidSnapshot.InUse", "VolumeInUse", "DependencyViolation", "InvalidGroup.InUse"})
GONE = re.compile(r"Invalid\w+\.(?:NotFound|Unavailable)|Parameter(?:Version)?NotFound")
# AWS slows down who asks more at a time; boto3 then waits, and asks again.
AT_ONCE = 8
TRIES = 10
# boto3's sessions and clients come into being one at a time.
_making = threading.Lock()


def code_of(error: BaseException) -> str:
    """The code of an error of AWS; the class's name where AWS was not reached."""
    answer = getattr(error, "response", {})
    return str(answer.get("Error", {}).get("Code", "")) or type(error).__name__


@contextmanager
def tolerated(said: list[str]) -> Iterator[None]:
    """Let pass that what the block deletes has gone already; what is still in use is a word in `said`."""
    try:
        yield
    except import_module("botocore.exceptions").ClientError as error:
        code = code_of(error)
        if code in IN_USE:
            said.append(f"it stays, for it is in use: {error.response['Error']['Message']}")
        elif not GONE.fullmatch(code):
            raise


@contextmanager
def session(where: str, needs: str, instead: str = "") -> Iterator[Any]:
    """A boto3 session; what goes wrong in the block is one error that says what to do about it."""
    other = f", {instead}" if instead else ""
    try:
        boto3, exceptions = import_module("boto3"), import_module("botocore.exceptions")
    except ImportError:
        raise IngotError("boto3 is not installed", hint=f"pip install boto3{other}") from None
    try:
        with _making:
            made = boto3.Session()
        yield made
    except (exceptions.BotoCoreError, exceptions.ClientError) as error:
        name = code_of(error)
        hint = HINTS.get(name, "").format(needs=needs)
        offer = other if name in ("NoCredentialsError", "EndpointConnectionError") else ""
        said = "AWS refused" if isinstance(error, exceptions.ClientError) else "AWS did not answer"
        said = "AWS has not finished" if name == "WaiterError" else said
        raise IngotError(f"{said}: {error}", place=where, hint=hint + offer) from None


def known(session: Any, region: str) -> str:
    """`region` if there is such a region; UsageError with the nearest name if not."""
    names = {
        each
        for partition in session.get_available_partitions()
        for each in session.get_available_regions("ec2", partition)
    }
    if region not in names:
        what = f"unknown region {region!r}" if region else "no region is set"
        raise UsageError(what, hint=f"--region: {nearest(region, names)}")
    return region


class Region:
    """One region of AWS; its clients are made when they are first asked for, and may be used from several threads."""

    def __init__(self, session: Any, name: str) -> None:
        self.name = name
        self._session = session
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """The client of `service`, which asks again, slower each time, when AWS is busy."""
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
        """All that a call which lists things answers under `key`, page by page (of at most `page`)."""
        client = self.client(service)
        if not client.can_paginate(operation):
            return list(getattr(client, operation)(**arguments).get(key, []))
        pages = client.get_paginator(operation).paginate(**arguments, PaginationConfig={"PageSize": page})
        return [each for answer in pages for each in answer.get(key, [])]


def regions(names: Sequence[str], command: str) -> list[Region]:
    """The regions of these names, else the profile's own; UsageError where there is no such region."""
    with session(", ".join(names), needs(command)) as made:
        return [Region(made, known(made, name)) for name in dict.fromkeys(names or [made.region_name or ""])]


def needs(command: str) -> str:
    """What to allow for a command on AMIs, in words."""
    return f"what `ingot ami policy {command}` prints"


def everywhere(regions: Sequence[Region], command: str, do: Callable[[Region], Answer]) -> list[Answer]:
    """What `do` returns of each region, all at the same time; an error names its region."""

    def one(region: Region) -> Answer:
        with session(region.name, needs(command)):
            return do(region)

    return at_once(one, regions)


def at_once(do: Callable[[Item], Answer], items: Sequence[Item]) -> list[Answer]:
    """What `do` returns of each item, several at a time; the first error is raised when all have ended.

    Ctrl-C ends it at once: the threads are daemons, which an executor's are not.
    """
    if len(items) == 1:
        return [do(items[0])]
    answers: dict[int, Answer] = {}
    errors: dict[int, BaseException] = {}
    waiting = iter(enumerate(items))
    lock = threading.Lock()

    def work() -> None:
        begun = False
        # What could begin at once does, whatever has become of the others meanwhile.
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

    # Regions all at once, however many: each has its own limits.
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
