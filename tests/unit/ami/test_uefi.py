"""What `--signing-key` takes, and the firmware's variables that are made of it."""

import struct
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from pyuefivars import AWSUEFIVarStore

from ingot.ami.uefi import SigningKey
from ingot.errors import IngotError
from tests.signing import signing_key

# https://uefi.org/specs/UEFI/2.10/32_Secure_Boot_and_Driver_Signing.html
EFI_CERT_X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")


def certificates(content: bytes) -> list[bytes]:
    """The certificates in a series of EFI_SIGNATURE_LISTs."""
    found = []
    while content:
        size, header, each = struct.unpack_from("<III", content, 16)
        assert (uuid.UUID(bytes_le=content[:16]), header, size) == (EFI_CERT_X509, 0, 28 + each)
        found.append(content[28 + 16 : size])
        content = content[size:]
    return found


def test_firmware_trusts_the_key_and_who_is_named_beside_it(tmp_path: Path) -> None:
    key, other = signing_key(tmp_path), signing_key(tmp_path, "boot-loader")
    key = replace(key, trusted=[other.certificate])
    key.check()
    variables = {each.name: each for each in AWSUEFIVarStore(key.uefi_data.encode()).vars}
    found = {name: certificates(each.data) for name, each in variables.items()}
    assert found == {"PK": [key.der], "KEK": [key.der], "db": [key.der, other.der], "MokList": [key.der]}
    # Kept, at boot, at run time, by signed writes alone; shim takes its list from boot alone.
    assert {name: each.attr for name, each in variables.items()} == {"PK": 39, "KEK": 39, "db": 39, "MokList": 3}


def test_a_certificate_may_be_in_der(tmp_path: Path) -> None:
    key = signing_key(tmp_path)
    form = tmp_path / "certificate.der"
    form.write_bytes(key.der)
    same = replace(key, certificate=form)
    same.check()
    assert same.uefi_data == key.uefi_data


def with_passphrase(folder: Path) -> SigningKey:
    key = signing_key(folder)
    secret = rsa.generate_private_key(65537, 2048)
    kind = PrivateFormat.PKCS8
    key.key.write_bytes(secret.private_bytes(Encoding.PEM, kind, BestAvailableEncryption(b"secret")))
    return key


def of_a_curve(folder: Path) -> SigningKey:
    key = signing_key(folder)
    secret = ec.generate_private_key(ec.SECP256R1())
    key.key.write_bytes(secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def without_a_file(folder: Path) -> SigningKey:
    key = signing_key(folder)
    key.key.unlink()
    return key


def trusting_a_key(folder: Path) -> SigningKey:
    key = signing_key(folder)
    return replace(key, trusted=[key.key])


BAD = {
    "the key has a passphrase": with_passphrase,
    "not a private key in PEM": lambda at: replace(signing_key(at), key=signing_key(at).certificate),
    "not an RSA key": of_a_curve,
    "the certificate does not match the key": lambda at: replace(signing_key(at), key=signing_key(at, "other").key),
    "the certificate is only valid from": lambda at: signing_key(at, days=-1),
    "not a certificate in PEM or DER": trusting_a_key,
    "cannot read the file: No such file": without_a_file,
}


@pytest.mark.parametrize(("said", "make"), BAD.items())
def test_a_key_that_cannot_sign_is_refused_with_its_file(
    tmp_path: Path, said: str, make: Callable[[Path], SigningKey]
) -> None:
    with pytest.raises(IngotError, match=said) as caught:
        make(tmp_path).check()
    assert str(tmp_path) in caught.value.place
