"""Secure Boot of AMIs: the key that signs modules, and the UEFI variables of an image.

The variables are those of the UEFI Specification 2.10, chapter 32, and shim's list of machine-owner keys, with which
some kernels verify modules instead of the firmware's; Amazon's tool writes them in the format of EC2:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/uefi-secure-boot-optionB.html
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from ingot.ami.ami import Ami
from ingot.errors import IngotError
from ingot.sources.aws import Region

GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
DATABASE = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
SHIM = uuid.UUID("605dab50-e046-4300-abb6-3dd810dd8b23")
X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
# The owner of our entries in signature lists.
OWNER = uuid.uuid5(uuid.NAMESPACE_URL, "urn:ingot")
# Attributes: persistent and readable at boot; also readable at runtime, and authenticated.
KEPT = 0x1 | 0x2
AUTHENTICATED = KEPT | 0x4 | 0x20
# Boot modes of EC2 that support UEFI: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-boot.html
BY_UEFI = ("uefi", "uefi-preferred")
# Properties of a device that an image registered from its snapshots keeps.
OF_DEVICE = ("SnapshotId", "VolumeType", "VolumeSize", "Iops", "Throughput", "DeleteOnTermination")


@dataclass(frozen=True)
class SigningKey:
    """A private key in PEM that signs modules, its certificate, and those of the boot loader and the kernel."""

    key: Path
    certificate: Path
    trusted: Sequence[Path] = ()

    def check(self) -> None:
        """IngotError if the key cannot sign, or the certificate does not match the key or is not valid now."""
        content = _read(self.key)
        try:
            key = load_pem_private_key(content, None)
        except TypeError:
            hint = "builds cannot ask for it; remove it with `openssl pkey -in KEY -out PLAIN`"
            raise IngotError("the key has a passphrase", place=str(self.key), hint=hint) from None
        except ValueError:
            raise IngotError("not a private key in PEM", place=str(self.key), hint=MAKE) from None
        if not isinstance(key, RSAPrivateKey):
            raise IngotError("not an RSA key, which firmware and kernels require", place=str(self.key), hint=MAKE)
        form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        if key.public_key().public_bytes(*form) != self._own.public_key().public_bytes(*form):
            raise IngotError(
                f"the certificate does not match the key {self.key}", place=str(self.certificate), hint=MAKE
            )
        now = datetime.now(UTC)
        if not self._own.not_valid_before_utc <= now <= self._own.not_valid_after_utc:
            valid = f"{self._own.not_valid_before_utc:%Y-%m-%d} to {self._own.not_valid_after_utc:%Y-%m-%d}"
            raise IngotError(f"the certificate is only valid from {valid}", place=str(self.certificate), hint=MAKE)
        for path in self.trusted:
            _certificate(path)

    @cached_property
    def _own(self) -> x509.Certificate:
        return _certificate(self.certificate)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate in DER, in hexadecimal."""
        return self._own.fingerprint(SHA256()).hex()

    @property
    def der(self) -> bytes:
        """The certificate in DER, for DKMS."""
        return self._own.public_bytes(Encoding.DER)

    @property
    def uefi_data(self) -> str:
        """The UEFI variables in the format of `aws ec2 register-image --uefi-data`."""
        from pyuefivars import AWSUEFIVarStore, UEFIVar, UEFIVarStore

        own = _list(self.der)
        trusted = own + b"".join(_list(_certificate(path).public_bytes(Encoding.DER)) for path in self.trusted)
        store = UEFIVarStore()
        store.vars = [
            UEFIVar("PK", own, GLOBAL.bytes_le, AUTHENTICATED),
            UEFIVar("KEK", own, GLOBAL.bytes_le, AUTHENTICATED),
            UEFIVar("db", trusted, DATABASE.bytes_le, AUTHENTICATED),
            UEFIVar("MokList", own, SHIM.bytes_le, KEPT),
        ]
        # How the tool itself writes a store in another format.
        store.__class__ = AWSUEFIVarStore
        return bytes(store).decode()


MAKE = "docs/secure-boot.md has the command that creates a key and its certificate"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise IngotError(f"cannot read the file: {error.strerror}", place=str(path)) from None


def _certificate(path: Path) -> x509.Certificate:
    """A certificate in PEM or in DER."""
    content = _read(path)
    try:
        if content.startswith(b"-----BEGIN"):
            return x509.load_pem_x509_certificate(content)
        return x509.load_der_x509_certificate(content)
    except ValueError:
        raise IngotError("not a certificate in PEM or DER", place=str(path)) from None


def _list(certificate: bytes) -> bytes:
    """An EFI_SIGNATURE_LIST of one certificate in DER."""
    entry = OWNER.bytes_le + certificate
    sizes = (28 + len(entry), 0, len(entry))
    return X509.bytes_le + b"".join(size.to_bytes(4, "little") for size in sizes) + entry


def register(region: Region, image: Ami, name: str, key: SigningKey) -> str:
    """Register the snapshots of `image` as a new AMI with Secure Boot; returns its id.

    Deregisters `image` after the new AMI is available, as two AMIs may share a snapshot. On failure, `image` stays.
    """
    description = image.shown
    devices = [
        {
            "DeviceName": device["DeviceName"],
            "Ebs": {kind: device["Ebs"][kind] for kind in OF_DEVICE if kind in device["Ebs"]},
        }
        for device in description["BlockDeviceMappings"]
        if "Ebs" in device
    ]
    request: dict[str, Any] = {
        "Name": name,
        "Description": description.get("Description", ""),
        "Architecture": description["Architecture"],
        "RootDeviceName": description["RootDeviceName"],
        "BlockDeviceMappings": devices,
        "VirtualizationType": "hvm",
        "EnaSupport": True,
        "ImdsSupport": "v2.0",
        "BootMode": "uefi",
        "TpmSupport": "v2.0",
        "UefiData": key.uefi_data,
        "TagSpecifications": [
            {"ResourceType": "image", "Tags": [{"Key": tag, "Value": value} for tag, value in image.tags.items()]}
        ],
    }
    ami_id = str(region.ec2.register_image(**request)["ImageId"])
    try:
        region.ec2.get_waiter("image_available").wait(ImageIds=[ami_id])
        if until := description.get("DeprecationTime"):
            region.ec2.enable_image_deprecation(ImageId=ami_id, DeprecateAt=until)
        region.ec2.deregister_image(ImageId=image.id)
    except BaseException:
        region.ec2.deregister_image(ImageId=ami_id)
        raise
    return ami_id
