"""Writes the NoCloud seed of one boot: the small disk that gives cloud-init the ssh keys.

Both the login key and the machine's host key are made for that boot only, so that ssh can verify the host and no
credentials are ever part of an image.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pycdlib

from ingot.run import run


@dataclass(frozen=True)
class Key:
    """An ed25519 key pair on disk."""

    private: Path

    @property
    def public(self) -> Path:
        """The file with the public half."""
        return self.private.with_name(self.private.name + ".pub")


def make_key(path: Path) -> Key:
    """Make a key pair without passphrase at `path`."""
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ingot", "-f", path], doing="making an ssh key")
    return Key(path)


def user_data(login: Key, host: Key) -> str:
    """cloud-init's user data: root accepts `login`, and the machine's ssh host key is `host`."""
    config: dict[str, Any] = {
        "disable_root": False,
        "users": [{"name": "root", "ssh_authorized_keys": [login.public.read_text().strip()]}],
        "ssh_keys": {
            "ed25519_private": host.private.read_text(),
            "ed25519_public": host.public.read_text().strip(),
        },
    }
    # JSON is YAML, and quotes a private key's lines safely.
    return "#cloud-config\n" + json.dumps(config, indent=1) + "\n"


def write_seed(path: Path, *, instance: str, hostname: str, user: str) -> None:
    """Write the ISO 9660 image that cloud-init's NoCloud data source looks for, by its volume name."""
    files = {"meta-data": json.dumps({"instance-id": instance, "local-hostname": hostname}), "user-data": user}
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for name, text in files.items():
        data = text.encode()
        short = f"/{name.replace('-', '').upper()}.;1"
        iso.add_fp(io.BytesIO(data), len(data), iso_path=short, rr_name=name, joliet_path=f"/{name}")
    iso.write(str(path))
    iso.close()
