"""Fetches what vendors publish, and checks that the key that the lock names has signed it."""

import hashlib
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
Tell = Callable[[str], None]


def download(url: str, path: Path, tell: Tell = lambda _: None) -> str:
    """Fetch `url` into `path`; its SHA-256. IngotError when it cannot be had."""
    try:
        with client() as web:
            return attempts()(_fetch, web, url, path, tell)
    except Broken as broken:
        raise IngotError(str(broken), hint="recording needs the vendor's host") from None


def _fetch(web: httpx.Client, url: str, path: Path, tell: Tell) -> str:
    digest, done = hashlib.sha256(), 0
    with get(web, url) as answer, path.open("wb") as out:
        if not answer.is_success:
            raise IngotError(f"{url} answers {answer.status_code}", hint="mend its address in the catalog")
        total = int(answer.headers.get("Content-Length", 0))
        for chunk in answer.iter_raw(CHUNK):
            digest.update(chunk)
            out.write(chunk)
            done += len(chunk)
            tell(f"{url}: {done >> 20} of {total >> 20 or '?'} MiB")
    return digest.hexdigest()


class Keyring:
    """A key of a vendor, fetched anew and held to its fingerprint."""

    def __init__(self, url: str, fingerprint: str, of: str) -> None:
        """`of` is what the key signs, for messages. IngotError when nobody has published the fingerprint."""
        if not fingerprint:
            raise IngotError(
                f"{of} is signed by a key whose fingerprint nobody has published",
                hint="add the fingerprint and its source to repositories.yml after comparing it with the vendor's",
            )
        self._url, self._fingerprint, self._of = url, fingerprint, of

    def _gpg(self, home: str, *words: str | Path) -> str:
        gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--no-autostart"]
        key = Path(home) / "vendor.key"
        download(self._url, key)
        # AWS publishes keys on pages of its documentation; gpg reads a key only where a line begins with it.
        if found := ARMOR.findall(key.read_bytes()):
            key.write_bytes(b"\n".join(found))
        run([*gpg, "--import", Path(home) / "vendor.key"], doing=f"reading {self._url}")
        said = run([*gpg, "--status-fd", "1", *words], doing=f"checking the signature of {self._of}")
        signers = {line.split()[-1] for line in said.splitlines() if " VALIDSIG " in line}
        if self._fingerprint not in signers:
            by = ", ".join(sorted(signers)) or "nobody"
            raise IngotError(f"{self._of} is signed by {by}, not by {self._fingerprint}", hint="nothing was recorded")
        return said

    def check(self, file: Path, signature: Path) -> None:
        """IngotError unless `signature` is the key's, of `file`."""
        with tempfile.TemporaryDirectory(prefix="ingot-") as home:
            self._gpg(home, "--verify", signature, file)

    def text(self, signed: Path) -> str:
        """What the key has signed in a clear-signed file. IngotError when it has not."""
        with tempfile.TemporaryDirectory(prefix="ingot-") as home:
            plain = Path(home) / "plain"
            self._gpg(home, "--output", plain, "--decrypt", signed)
            return plain.read_text()
