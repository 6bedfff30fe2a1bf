"""What the package manager of a machine says it would install is what it installs: of that version, of that digest."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rigs.places import ask
from tests.rigs.systems import container, image, playbook_command

pytestmark = [pytest.mark.docker, pytest.mark.network]

# Packages that no system has yet, one that every system has, and one that none knows.
NAMES = ["make", "gcc", "python3", "no-such-package"]
APT = "apt-get update -qq"
# What is fetched for an installation, by its digest.
FETCH_APT = """cd /var/cache/apt/archives && rm -f ./*.deb
apt-get install -qq --yes --no-install-recommends --download-only make gcc >/dev/null
for each in ./*.deb; do echo "$(dpkg-deb --show --showformat='${Package} ${Version}' "$each")" \
  "$(sha256sum <"$each" | cut -d ' ' -f 1)"; done"""
FETCH_RPM = """cd "$(mktemp -d)" && dnf --quiet --setopt=install_weak_deps=False install --assumeyes --downloadonly \
  --destdir=. make gcc >/dev/null
for each in ./*.rpm; do echo "$(rpm -qp --qf '%{NAME} %{VERSION}-%{RELEASE}' "$each")" \
  "$(sha256sum <"$each" | cut -d ' ' -f 1)"; done"""


def answer(host: str, folder: Path, **options: Any) -> dict[str, Any]:
    """What the module returns."""
    tasks = [
        {"ingot.ml.package_candidates": {"names": NAMES, **options}, "register": "answer"},
        {"ansible.builtin.copy": {"content": "{{ answer | to_json }}", "dest": "/answer.json", "mode": "0600"}},
    ]
    (folder / "play.yml").write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    process = playbook_command(host, folder / "play.yml", folder / "no-lock.yml")
    done = subprocess.run(**process, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    found: dict[str, Any] = json.loads(ask(host, "cat /answer.json"))
    return found


@pytest.mark.parametrize(
    ("name", "before", "fetch"),
    [
        ("debian13", APT, FETCH_APT),
        pytest.param("debian12", APT, FETCH_APT, marks=pytest.mark.slow),
        ("al2023", "true", FETCH_RPM),
        pytest.param("rocky9", "true", FETCH_RPM, marks=pytest.mark.slow),
    ],
)
def test_what_would_be_installed_is_what_is_fetched(tmp_path: Path, name: str, before: str, fetch: str) -> None:
    with container(image(name)) as host:
        ask(host, before)
        said = answer(host, tmp_path)
        there = [line.split() for line in ask(host, fetch).splitlines()]
        packages = {each: (version, digest) for each, version, digest in there}
        assert {"gcc", "make"} <= packages.keys()
        assert {each: (row["version"], row["sha256"]) for each, row in said["packages"].items()} == packages
        assert all(row["origin"] for row in said["packages"].values())
        assert said["missing"] == ["no-such-package"]
        assert said["differing"] == sorted(packages)
        # The same again, beside a lock that has all but one of them.
        locked = {**said["packages"], "make": {**said["packages"]["make"], "version": "1:0-1"}}
        assert answer(host, tmp_path, locked=locked)["differing"] == ["make"]
