"""A key file is judged by the fingerprints of the keys in it, before anything trusts it, and only one is taken."""

import importlib.util
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from tests.signing import Key

SOURCE = Path(__file__).parents[3] / "plugins/module_utils/openpgp.py"
spec = importlib.util.spec_from_file_location("openpgp", SOURCE)
assert spec and spec.loader
openpgp = importlib.util.module_from_spec(spec)
spec.loader.exec_module(openpgp)
keys = openpgp.keys

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
    assert list(keys(text)) == [fingerprint]
    assert list(keys(text.replace("\n", "\r\n"))) == [fingerprint]


def test_several_keys_are_all_named(make_key: MakeKey) -> None:
    made = [make_key() for _ in range(2)]
    assert list(keys("".join(text for _, text in made))) == [fingerprint for fingerprint, _ in made]


def gpg(home: Path, *words: str, stdin: str = "") -> str:
    """What gpg prints."""
    command = ["gpg", "--homedir", str(home), "--batch", "--quiet", *words]
    return subprocess.run(command, input=stdin, text=True, capture_output=True, check=True).stdout


def test_one_of_several_keys_of_a_file_is_taken_with_its_subkeys_and_no_other(
    make_key: MakeKey, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = [make_key("default") for _ in range(3)]
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)
    # As a vendor exports them while one replaces another: in one armour.
    gpg(home, "--import", stdin="".join(text for _, text in made))
    listed = gpg(home, "--armor", "--export")
    assert set(keys(listed)) == {fingerprint for fingerprint, _ in made}
    for fingerprint, alone in made:
        shown = [gpg(home, "--show-keys", "--with-colons", stdin=text) for text in (keys(listed)[fingerprint], alone)]
        assert shown[0] == shown[1]
        assert shown[0].count("\nsub:") == 1


def test_a_key_on_a_page_is_found_whatever_the_markup_and_a_page_without_one_has_none(make_key: MakeKey) -> None:
    fingerprint, text = make_key()
    escaped = text.replace("+", "&#43;").replace("=", "&#x3D;")
    page = f"<html><body><p>Save it:</p><pre><code class='x'>{escaped}</code></pre></body></html>"
    assert keys(page)[fingerprint] == keys(text)[fingerprint]
    indented = "<pre>" + text.replace("\n", "\n    ") + "</pre>"
    assert keys(indented)[fingerprint] == keys(text)[fingerprint]
    assert keys("<html><body><h1>Sign in</h1></body></html>") == {}


def test_what_has_been_altered_is_no_key(make_key: MakeKey) -> None:
    _, text = make_key()
    middle = len(text) // 2
    assert keys(text[:middle] + ("B" if text[middle] != "B" else "C") + text[middle + 1 :]) == {}
    assert keys(text[:middle]) == {}
