"""Keys made for a test: X.509 ones that sign kernel modules, and OpenPGP ones that sign what vendors publish."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ingot.ami.uefi import SigningKey


def signing_key(folder: Path, name: str = "ingot-test", days: int = 2) -> SigningKey:
    """A key and its certificate, valid until in so many days, as files of the folder."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    certificate = (
        builder.not_valid_before(now - timedelta(9)).not_valid_after(now + timedelta(days)).sign(key, SHA256())
    )
    paths = folder / f"{name}.key", folder / f"{name}.pem"
    paths[0].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    paths[1].write_bytes(certificate.public_bytes(Encoding.PEM))
    return SigningKey(*paths)


class Key:
    """An OpenPGP key, for a `with` block, that is thrown away with its folder.

    `usage` is gpg's word for what the key is for; by "default" it gets a subkey. One that has `expired` signs as if it
    had not.
    """

    def __init__(self, home: Path, algorithm: str = "rsa2048", usage: str = "sign", *, expired: bool = False) -> None:
        home.mkdir(mode=0o700)
        self.home = home
        gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--yes"]
        gpg += ["--faked-system-time", "20200101T000000"] if expired else []
        self._gpg = [*gpg, "--pinentry-mode", "loopback", "--passphrase", ""]
        days = ["1d"] if expired else []
        self._run("--quick-generate-key", "simulated vendor <nobody@example.org>", algorithm, usage, *days)
        listed = self._run("--list-keys", "--with-colons").decode()
        self.fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
        self.public = self._run("--export", "--armor")
        self.keys = self.public
        self._signers: list[str] = []

    def _run(self, *words: str, stdin: bytes = b"") -> bytes:
        return subprocess.run([*self._gpg, *words], input=stdin, check=True, capture_output=True).stdout

    def rotate(self) -> None:
        """Let the vendor's next key sign as well, which nobody has yet; `keys` has this key and the one before it."""
        fingerprints = []
        for name in ("next", "previous"):
            self._run(
                "--quick-generate-key", f"{name} key of a simulated vendor <nobody@example.org>", "rsa2048", "sign"
            )
            listed = self._run("--list-keys", "--with-colons", f"{name} key").decode()
            fingerprints.append(next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr")))
        self._signers = ["--local-user", fingerprints[0], "--local-user", self.fingerprint]
        self.keys = self._run("--export", "--armor", fingerprints[1], self.fingerprint)

    def signed(self, text: bytes) -> bytes:
        """The text with its signature in it."""
        return self._run(*self._signers, "--clear-sign", stdin=text)

    def detached(self, content: bytes, *, armored: bool = True) -> bytes:
        """A signature of the content by itself."""
        return self._run(*self._signers, "--detach-sign", *(["--armor"] if armored else []), stdin=content)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the agent that gpg has started."""
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=True)
