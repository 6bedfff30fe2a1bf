"""`ingot audit` judges locks, manifests, images, containers and requirements: 1 open, 0 clean, 2 wrong use."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ingot import paths
from ingot.catalog import advisories
from ingot.catalog.read import read_catalog
from ingot.lock.file import load
from ingot.plan.audit import judge, of_lock, of_versions
from tests.commandline import ingot

CATALOG = read_catalog()
STACK = CATALOG.newest_stack
LOCKS = [*sorted(paths.LOCKS.glob("*/*.yml"))]


def audited(*words: str | Path, code: int) -> dict[str, Any]:
    done = ingot("audit", *words, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def ids(report: dict[str, Any], *states: str) -> set[str]:
    return {finding["id"] for finding in report["findings"] if finding["state"] in states}


def manifest(folder: Path, observed: dict[str, str], **more: Any) -> Path:
    declared = {"stack": STACK, "os": "ubuntu2404", "arch": "x86_64", "components": {}}
    path = folder / "manifest.json"
    path.write_text(json.dumps({"schema": 1, "declared": declared, "observed": observed, **more}))
    return path


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_lock_has_a_grave_fault_that_its_stack_does_not_accept(path: Path) -> None:
    report = judge(of_lock(load(path)), CATALOG)
    assert [
        f for f in report["findings"] if f["state"] in ("open", "expired") and f["severity"] in ("critical", "high")
    ] == []


def test_what_a_lock_accepts_is_told_with_reason_and_end() -> None:
    report = audited(paths.LOCKS / "2026.11" / "ubuntu2404-x86_64.yml", code=1)
    row = next(finding for finding in report["findings"] if finding["id"] == "CVE-2026-24187")
    entry = CATALOG.stack("2026.11").accepts["NVIDIA-5821"]
    assert (row["state"], row["until"], row["why"]) == ("accepted", entry.until.isoformat(), entry.why)
    assert row["fixed"] == "580.159.03"
    text = ingot("audit", paths.LOCKS / "2026.11" / "ubuntu2404-x86_64.yml").stdout
    assert f"accepted until {entry.until}: nvidia_driver 580.126.20: CVE-2026-24187 (high 8.8)" in text


def test_an_older_stack_has_faults_that_are_open() -> None:
    report = audited(paths.LOCKS / "2025.11" / "ubuntu2404-x86_64.yml", code=1)
    assert "aws-ofi-nccl-registration-deadlock" in ids(report, "open")
    assert {"CVE-2026-24260", "CVE-2026-47501"} <= ids(report, "accepted")


def test_an_end_that_has_passed_opens_a_fault_again(monkeypatch: pytest.MonkeyPatch) -> None:
    end = CATALOG.stack("2026.11").accepts["NVIDIA-5821"].until
    monkeypatch.setattr(advisories, "today", lambda: end + timedelta(days=1))
    monkeypatch.setattr("ingot.plan.audit.today", advisories.today)
    report = audited(paths.LOCKS / "2026.11" / "ubuntu2404-x86_64.yml", code=1)
    assert "CVE-2026-24187" in ids(report, "expired")


def test_a_manifest_is_judged_by_what_was_found(tmp_path: Path) -> None:
    found = {"nvidia_container_toolkit": "1.17.6-1", "nvidia_driver": "580.178.04", "docker": "5:29.0.0-1~ubuntu.24.04"}
    packages = {"containerd.io": {"version": "2.3.1-1~ubuntu.24.04~noble"}, "runc": {"version": "1.1.5+ds1-1"}}
    report = audited(manifest(tmp_path, found, packages=packages, wheels={"Pillow": {"version": "11.3.0"}}), code=1)
    assert {"CVE-2025-23266", "CVE-2026-34040", "CVE-2026-53488", "CVE-2026-25990"} <= ids(report, "open")
    # A distribution fixes its runc under the old number.
    assert "CVE-2025-31133" in ids(report, "unknown")
    assert not any(finding["name"] == "nvidia_driver" for finding in report["findings"])
    text = ingot("audit", tmp_path / "manifest.json").stdout
    assert "critical 9" in text
    assert "1.17.8" in text


def test_a_clean_manifest_passes(tmp_path: Path) -> None:
    report = audited(manifest(tmp_path, {"nvidia_container_toolkit": "1.20.0-1", "aws_ofi_nccl": "1.22.0"}), code=0)
    assert report["findings"] == []
    assert "nothing is known against it" in ingot("audit", tmp_path / "manifest.json").stdout


def test_a_branch_that_no_bulletin_names_is_unknown_not_clean(tmp_path: Path) -> None:
    report = audited(manifest(tmp_path, {"nvidia_driver": "570.211.01"}), code=0)
    assert {"CVE-2026-24187", "CVE-2026-47501"} <= ids(report, "unknown")


def test_an_image_and_a_container_of_the_catalog_are_judged() -> None:
    assert "CVE-2026-24187" in ids(audited("ec2", "--os", "ubuntu2404", code=0), "accepted")
    assert {"CVE-2026-68508", "CVE-2025-66418"} <= ids(audited("nemo", code=1), "open")


def test_requirements_are_judged_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text("torch==2.5.1 \\\n    --hash=sha256:00\nhydra_core==1.3.4\nnumpy>=2\n")
    report = audited(path, code=1)
    assert ids(report, "open") == {"CVE-2025-32434"}
    assert report["findings"][0]["place"] == f"{path}:1"


def test_components_without_a_version_are_named() -> None:
    report = judge(of_lock(load(paths.LOCKS / STACK / "rocky9-x86_64.yml")), CATALOG)
    assert "docker" in report["unjudged"]


def test_the_tags_of_an_ami_are_enough() -> None:
    report = judge(
        of_versions("ami-1", {"nvidia_driver": "580.105.08", "docker": "29.8.1"}, "2026.11", CATALOG), CATALOG
    )
    assert "CVE-2025-33219" in ids(report, "open", "accepted")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manifest.json", b"[" * 100_000),
        ("manifest.json", b"\xff\xfe{\x00"),
        ("manifest.json", b'{"observed": []}'),
        ("manifest.json", b"null"),
        ("requirements.txt", b"torch>=2\n"),
        ("lock.yml", b"components: null\n"),
        ("lock.yml", b"a: [\n"),
        ("notes.md", b"text"),
    ],
)
def test_what_cannot_be_judged_is_wrong_use_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for target in (path, tmp_path, tmp_path / "absent.json"):
        done = ingot("audit", target)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr


def test_a_name_that_nothing_has_gets_the_nearest() -> None:
    done = ingot("audit", "nemoo")
    assert done.returncode == 2
    assert "did you mean 'nemo'" in done.stderr


@pytest.mark.parametrize("shape", [{"packages": [1]}, {"wheels": None}, {"brought": 3}, {"declared": None}])
def test_odd_shapes_in_a_manifest_do_no_harm(tmp_path: Path, shape: dict[str, Any]) -> None:
    assert ingot("audit", manifest(tmp_path, {"nccl": "2.31.2"}, **shape)).returncode == 0


def test_solve_and_plan_tell_what_is_open_and_accepted() -> None:
    done = ingot("solve", "--want", "efa==1.49.0", "--want", "aws_ofi_nccl==1.20.0", "--os", "ubuntu2404")
    assert done.returncode == 0
    assert "advisory: aws_ofi_nccl 1.20.0: aws-ofi-nccl-multi-receive-hang (medium)" in done.stdout
    plan = json.loads(ingot("plan", "ec2", "--os", "ubuntu2404", "--json").stdout)
    assert {finding["state"] for finding in plan["advisories"]} >= {"accepted"}


def test_a_toolkit_with_an_escape_is_refused_with_the_fix() -> None:
    done = ingot("solve", "--want", "nvidia_container_toolkit==1.17.6", "--os", "ubuntu2404")
    assert done.returncode == 1
    assert "CVE-2025-23266" in done.stderr
    assert "fixed in 1.17.8" in done.stderr
