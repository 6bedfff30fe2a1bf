"""A key file is judged by the fingerprints of the keys in it, before anything trusts it."""

import importlib.util
import subprocess

import pytest

from ingot import paths

SOURCE = paths.ROOT / "plugins" / "filter" / "key_fingerprints.py"
spec = importlib.util.spec_from_file_location("key_fingerprints", SOURCE)
assert spec and spec.loader
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
key_fingerprints = module.key_fingerprints


@pytest.fixture(scope="module")
def gpg(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    home = tmp_path_factory.mktemp("gnupg")
    home.chmod(0o700)
    return ["gpg", "--homedir", str(home), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]


def made(gpg: list[str], name: str, kind: str) -> tuple[str, str]:
    """A key with a subkey: its fingerprint as gpg says it, and its file."""
    subprocess.run([*gpg, "--quick-generate-key", name, kind, "default"], check=True, capture_output=True)
    listed = subprocess.run([*gpg, "--list-keys", "--with-colons", name], check=True, capture_output=True, text=True)
    exported = subprocess.run([*gpg, "--export", "--armor", name], check=True, capture_output=True, text=True)
    return next(row.split(":")[9] for row in listed.stdout.splitlines() if row.startswith("fpr")), exported.stdout


@pytest.mark.parametrize("kind", ["rsa2048", "ed25519", "default"])
def test_the_primary_key_is_the_one_that_gpg_names(gpg: list[str], kind: str) -> None:
    fingerprint, text = made(gpg, f"{kind}@example.org", kind)
    assert key_fingerprints(text) == [fingerprint]
    assert key_fingerprints(text.replace("\n", "\r\n")) == [fingerprint]


def test_several_keys_are_all_named(gpg: list[str]) -> None:
    keys = [made(gpg, f"{number}@example.org", "rsa2048") for number in range(2)]
    assert key_fingerprints("".join(text for _, text in keys)) == [fingerprint for fingerprint, _ in keys]


def test_what_has_been_altered_is_no_key(gpg: list[str]) -> None:
    _, text = made(gpg, "altered@example.org", "rsa2048")
    middle = len(text) // 2
    assert key_fingerprints(text[:middle] + ("B" if text[middle] != "B" else "C") + text[middle + 1 :]) == []
    assert key_fingerprints(text[:middle]) == []
    assert key_fingerprints("<html>not found</html>") == []
