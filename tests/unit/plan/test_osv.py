"""`ingot audit --osv` reads what a user brings: OSV finds, OpenVEX settles, and a bad file does not hide the others."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.commandline import ingot

SBOM = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "components": [
        {
            "name": "openssl",
            "version": "3.0.15-1~deb12u1",
            "purl": "pkg:deb/debian/openssl@3.0.15-1~deb12u1?distro=debian12",
        },
        {"name": "glibc", "version": "2.34-100.el9", "purl": "pkg:rpm/rocky/glibc@2.34-100.el9?distro=rocky9"},
        {"name": "requests", "version": "2.31.0", "purl": "pkg:pypi/requests@2.31.0"},
        {"name": "nothing"},
    ],
}


def osv(name: str, ecosystem: str, *events: dict[str, str], **more: Any) -> dict[str, Any]:
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}]
    affected = {"package": {"name": name, "ecosystem": ecosystem}, "ranges": ranges}
    return {"id": f"X-{name}", "aliases": [f"CVE-2026-{len(name)}"], "affected": [affected], **more}


def vex(status: str, purl: str = "pkg:pypi/requests@2.31.0", name: str = "CVE-2026-8", **more: Any) -> dict[str, Any]:
    statement = {"vulnerability": {"name": name}, "products": [{"@id": purl}], "status": status, **more}
    return {"@context": "https://openvex.dev/ns/v0.2.0", "@id": "urn:x", "statements": [statement]}


def audited(tmp_path: Path, *documents: Any, folder: bool = True) -> tuple[int, dict[str, Any]]:
    (tmp_path / "osv").mkdir(exist_ok=True)
    for number, document in enumerate(documents):
        text = document if isinstance(document, str) else json.dumps(document)
        (tmp_path / "osv" / f"{number}.json").write_text(text)
    (tmp_path / "sbom.json").write_text(json.dumps(SBOM))
    words = [tmp_path / "osv"] if folder else sorted((tmp_path / "osv").iterdir())
    done = ingot("audit", tmp_path / "sbom.json", *(word for path in words for word in ("--osv", path)), "--json")
    return done.returncode, json.loads(done.stdout) if done.stdout else {"error": done.stderr}


REQUESTS = osv("requests", "PyPI", {"introduced": "0"}, {"fixed": "2.32.0"}, database_specific={"severity": "MODERATE"})


def test_an_osv_document_finds_a_package_with_the_fix_and_the_severity(tmp_path: Path) -> None:
    code, report = audited(tmp_path, REQUESTS)
    (finding,) = report["findings"]
    assert code == 1
    assert (finding["id"], finding["aliases"], finding["severity"]) == ("CVE-2026-8", ["X-requests"], "medium")
    assert (finding["name"], finding["version"], finding["fixed"]) == ("requests", "2.31.0", "2.32.0")


@pytest.mark.parametrize(
    ("document", "open_"),
    [
        (osv("openssl", "Debian:12", {"introduced": "0"}, {"fixed": "3.0.16-1~deb12u1"}), True),
        (osv("openssl", "Debian:12", {"introduced": "0"}, {"fixed": "3.0.15-1~deb12u1"}), False),
        (osv("openssl", "Debian:13", {"introduced": "0"}, {"fixed": "3.0.16-1~deb12u1"}), False),
        (osv("openssl", "Ubuntu:24.04:LTS", {"introduced": "0"}), False),
        (osv("glibc", "Rocky Linux:9", {"introduced": "0"}, {"fixed": "2.34-125.el9"}), True),
        (osv("glibc", "Red Hat:enterprise_linux:9::baseos", {"introduced": "0"}), False),
        (osv("requests", "PyPI", {"introduced": "2.31.1"}), False),
        (osv("requests", "PyPI", {"introduced": "0"}, {"last_affected": "2.31.0"}), True),
        (osv("requests", "PyPI", {"introduced": "0"}, {"last_affected": "2.30.0"}), False),
        (osv("requests", "PyPI", {"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "2.31.0"}), True),
        (osv("requests", "npm", {"introduced": "0"}), False),
        (osv("requests", "PyPI", {"introduced": "0"}, withdrawn="2026-01-01T00:00:00Z"), False),
    ],
)
def test_versions_are_ordered_as_their_package_manager_orders_them(
    tmp_path: Path, document: dict[str, Any], open_: bool
) -> None:
    code, report = audited(tmp_path, document)
    assert (code, report["open"]) == ((1, 1) if open_ else (0, 0))


def test_ubuntu_names_source_packages_and_lists_the_binary_ones(tmp_path: Path) -> None:
    document = osv("source", "Debian:12", {"introduced": "0"})
    document["affected"][0]["ecosystem_specific"] = {"binaries": [{"binary_name": "openssl"}]}
    assert audited(tmp_path, document)[0] == 1


def test_openvex_settles_a_finding_and_says_why(tmp_path: Path) -> None:
    code, report = audited(tmp_path, REQUESTS, vex("not_affected", justification="vulnerable_code_not_in_execute_path"))
    (finding,) = report["findings"]
    assert code == 0
    assert finding["state"] == "accepted"
    assert "vulnerable_code_not_in_execute_path" in finding["why"]


def test_openvex_about_a_part_of_a_product_counts_for_the_part(tmp_path: Path) -> None:
    document = vex("fixed")
    document["statements"][0]["products"] = [{"@id": "pkg:oci/image", "subcomponents": [{"@id": "pkg:pypi/requests"}]}]
    assert audited(tmp_path, REQUESTS, document)[0] == 0
    document["statements"][0]["products"][0]["subcomponents"] = [{"@id": "pkg:pypi/requests@1.0"}]
    assert audited(tmp_path, REQUESTS, document)[0] == 1


@pytest.mark.parametrize(("status", "code", "state"), [("affected", 1, "open"), ("under_investigation", 0, "unknown")])
def test_openvex_alone_can_find(tmp_path: Path, status: str, code: int, state: str) -> None:
    done, report = audited(tmp_path, vex(status))
    assert done == code
    assert [finding["state"] for finding in report["findings"]] == [state]


@pytest.mark.parametrize(
    "bad",
    ["{", "[]", "null", "1", '{"id": "x", "affected": 3}',
     '{"id": "x", "affected": [{"package": {"ecosystem": "PyPI"}}]}',
     '{"@context": "https://openvex.dev/ns", "statements": [{"status": "odd", "vulnerability": {"name": "a"}}]}'],
)  # fmt: skip
def test_a_bad_file_in_a_folder_is_named_and_the_others_are_judged(tmp_path: Path, bad: str) -> None:
    code, report = audited(tmp_path, REQUESTS, bad)
    assert code == 1
    assert len(report["findings"]) == len(report["unread"]) == 1
    assert "1.json" in report["unread"][0]
    code, report = audited(tmp_path, bad, bad)
    assert code == 2
    code, report = audited(tmp_path, REQUESTS, bad, folder=False)
    assert code == 2
    assert "Traceback" not in report["error"]
