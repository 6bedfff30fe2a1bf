"""A key file is judged by the fingerprints of the keys in it, before anything trusts it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import uuid4

import pytest

from plugins.filter.key_fingerprints import key_fingerprints
from tests.signing import Key

MakeKey = Callable[..., tuple[str, str]]


@pytest.fixture
def make_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeKey]:
    """Make a key with a subkey: its fingerprint as gpg says it, and its file."""
    # A short path, below which gpg-agent can have its socket.
    folder = tmp_path_factory.mktemp("keys")
    with ExitStack() as keys:

        def make(algorithm: str = "rsa2048") -> tuple[str, str]:
            key = keys.enter_context(Key(folder / uuid4().hex[:8], algorithm, "default"))
            return key.fingerprint, key.public.decode()

        yield make


@pytest.mark.parametrize("kind", ["rsa2048", "ed25519", "default"])
def test_the_primary_key_is_the_one_that_gpg_names(make_key: MakeKey, kind: str) -> None:
    fingerprint, text = make_key(kind)
    assert key_fingerprints(text) == [fingerprint]
    assert key_fingerprints(text.replace("\n", "\r\n")) == [fingerprint]


def test_several_keys_are_all_named(make_key: MakeKey) -> None:
    keys = [make_key() for _ in range(2)]
    assert key_fingerprints("".join(text for _, text in keys)) == [fingerprint for fingerprint, _ in keys]


def test_what_has_been_altered_is_no_key(make_key: MakeKey) -> None:
    _, text = make_key()
    middle = len(text) // 2
    assert key_fingerprints(text[:middle] + ("B" if text[middle] != "B" else "C") + text[middle + 1 :]) == []
    assert key_fingerprints(text[:middle]) == []
    assert key_fingerprints("<html>not found</html>") == []
