"""AWS in the tests' own process: false credentials, no file of the machine's, no address that anything could reach."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest

_session = cache(boto3.Session)

REGION = "us-east-1"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Credentials that are none, and a region."""
    for name in ("SESSION_TOKEN", "PROFILE", "REGION", "ENDPOINT_URL", "ENDPOINT_URL_EC2"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


@pytest.fixture
def aws(credentials: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty AWS whose answers need no waiting for."""
    from tests.rigs.emulator import emulated

    def session() -> Any:
        return _session()

    # A new one reads all that boto3 knows of AWS, which takes longer than most tests.
    credentials.setattr("boto3.Session", session)
    credentials.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    credentials.setattr("ingot.ami.copy.POLL_SECONDS", 0.05)
    credentials.setattr("ingot.ami.channels.POLL_SECONDS", 0.0)
    credentials.setattr("ingot.ami.channels.SECONDS_TO_APPEAR", 0.2)
    with emulated():
        yield
