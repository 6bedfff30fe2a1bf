"""Downloads vendors' files, and verifies that the key in the lock has signed them."""

import hashlib
import html
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx

from ingot.errors import IngotError
from ingot.run import run
from ingot.sources.web import Broken, attempts, client, get

CHUNK = 1 << 20
ARMOR = re.compile(rb"-----BEGIN PGP[^-]+-----.+?-----END PGP[^-]+-----", re.DOTALL)
# Answers of proxies and hosts about who asks, not about the file.
REFUSED = (401, 403, 407)
# Of one signature: gpg calls one by an expired or revoked key valid, but not good.
GOOD = re.compile(r"^\[GNUPG:\] GOODSIG .*^\[GNUPG:\] VALIDSIG [^\n]* (\w+)$", re.MULTILINE | re.DOTALL)
Tell = Callable[[str], None]


class Unreachable(IngotError):
    """A host that does not answer this machine: another network or another time may do."""


def download(url: str, path: Path, tell: Tell = lambda _: None) -> str:
    """Download `url` to `path`; return its SHA-256. Unreachable or IngotError if it is not available."""
    try:
        with client() as web:
            return attempts()(_fetch, web, url, path, tell)
    except Broken as broken:
        raise Unreachable(str(broken), hint="check the network: this needs the vendor's host") from None


def _fetch(web: httpx.Client, url: str, path: Path, tell: Tell) -> str:
    digest, done = hashlib.sha256(), 0
    with get(web, url) as response, path.open("wb") as out:
        if response.status_code in REFUSED:
            raise Unreachable(f"{url} answers {response.status_code}", hint="a proxy or the host refuses this machine")
        if not response.is_success:
            raise IngotError(f"{url} answers {response.status_code}", hint="correct its address in the catalog")
        total = int(response.headers.get("Content-Length", 0))
        for chunk in response.iter_raw(CHUNK):
            digest.update(chunk)
            out.write(chunk)
            done += len(chunk)
            tell(f"{url}: {done >> 20} of {total >> 20 or '?'} MiB")
    return digest.hexdigest()


class Keyring:
    """A vendor's key, downloaded and compared with its fingerprint."""

    def __init__(self, url: str, fingerprint: str, of: str) -> None:
        """`of` is what the key signs, for messages. IngotError without a fingerprint."""
        if not fingerprint:
            raise IngotError(
                f"the fingerprint of the key of {of} is not recorded",
                hint="add the fingerprint and its source to repositories.yml after comparing it with the vendor's",
            )
        self._url, self._fingerprint, self._of = url, fingerprint, of

    def _gpg(self, home: str, *arguments: str | Path) -> str:
        gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--no-autostart"]
        key = Path(home) / "vendor.key"
        download(self._url, key)
        # AWS publishes keys on pages of its documentation; gpg reads a key only if it begins a line.
        if blocks := ARMOR.findall(key.read_bytes()):
            key.write_text("\n".join(html.unescape(block.decode()) for block in blocks))
        run([*gpg, "--import", key], doing=f"reading {self._url}, which should have a key,", accepted=(0, 2))
        listed = run([*gpg, "--with-colons", "--list-keys"], doing=f"reading {self._url}")
        keys = re.findall(r"^pub:.*\nfpr:+(\w+):", listed, re.MULTILINE)
        if self._fingerprint not in keys:
            raise IngotError(
                f"the key at {self._url} is {', '.join(keys) or 'no key'}, not {self._fingerprint}, "
                f"which the lock names for {self._of}",
                hint="compare the vendor's key with its publication; nothing was recorded",
            )
        # Not 0 if one of several signatures is by a key that the vendor's page does not have yet, or any more.
        status = run(
            [*gpg, "--status-fd", "1", *arguments],
            doing=f"checking the signature of {self._of}",
            accepted=(0, 1, 2),
        )
        by = [GOOD.search(signature) for signature in status.split("[GNUPG:] NEWSIG")[1:]]
        signers = {signer[1] for signer in by if signer}
        if self._fingerprint not in signers:
            who = ", ".join(sorted(signers)) or "nobody"
            raise IngotError(f"{self._of} is signed by {who}, not by {self._fingerprint}", hint="nothing was recorded")
        return status

    def check(self, file: Path, signature: Path) -> None:
        """IngotError unless `signature` is the key's signature of `file`."""
        with tempfile.TemporaryDirectory(prefix="ingot-") as home:
            self._gpg(home, "--verify", signature, file)

    def text(self, signed: Path) -> str:
        """The signed text of a clear-signed file. IngotError if the key has not signed it."""
        with tempfile.TemporaryDirectory(prefix="ingot-") as home:
            plain = Path(home) / "plain"
            self._gpg(home, "--output", plain, "--decrypt", signed)
            return plain.read_text()
