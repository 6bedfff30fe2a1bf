"""Keys that sign kernel modules, made for a test."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

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
    made = builder.not_valid_before(now - timedelta(9)).not_valid_after(now + timedelta(days)).sign(key, SHA256())
    paths = folder / f"{name}.key", folder / f"{name}.pem"
    paths[0].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    paths[1].write_bytes(made.public_bytes(Encoding.PEM))
    return SigningKey(*paths)
