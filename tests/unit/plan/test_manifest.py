"""A manifest of any shape is read, or what is wrong with it is one line, in every command that reads one."""

import json
from pathlib import Path
from typing import Any

import pytest

from ingot.errors import IngotError
from ingot.plan.manifest import Manifest
from tests.commandline import ingot

GOOD: dict[str, Any] = {
    "image": "parallelcluster",
    "declared": {
        "stack": "s",
        "os": "o",
        "arch": "a",
        "components": {"efa": {"version": "1.50.0", "source": "debian"}},
    },
    "observed": {"efa": "1.50.0", "nccl": None},
}
BAD = [
    *("", "[" * 100_000, "null", "[]", '"a"', '{"components": null}', "{}"),
    json.dumps({**GOOD, "observed": []}),
    json.dumps({**GOOD, "declared": {"components": {"efa": {}}, "stack": 1}}),
    json.dumps({**GOOD, "declared": {"components": {"efa": {"version": 1}}}}),
    json.dumps({**GOOD, "packages": [1]}),
]


def test_a_manifest_is_read() -> None:
    manifest = Manifest.of(GOOD, "m.json")
    assert (manifest.declared, manifest.observed, manifest.efa_source) == (
        {"efa": "1.50.0"},
        {"efa": "1.50.0"},
        "debian",
    )
    brought = Manifest.of({**GOOD, "declared": {"components": {}}, "brought": {"efa": {}}}, "m.json")
    assert brought.efa_source == "base_image"


def test_what_is_not_as_it_must_be_is_named() -> None:
    with pytest.raises(IngotError, match="declared must be a mapping"):
        Manifest.of({**GOOD, "declared": [1]}, "m.json")


@pytest.mark.parametrize("text", BAD)
def test_a_manifest_of_another_shape_is_one_line(tmp_path: Path, text: str) -> None:
    bad, good = tmp_path / "bad.json", tmp_path / "good.json"
    bad.write_text(text)
    good.write_text(json.dumps(GOOD))
    for words in (("check", "--env", "A=1", "--manifest", bad), ("diff", bad, good), ("pair", bad, good)):
        done = ingot(*words)
        assert done.returncode in (0, 1), words
        assert "Traceback" not in done.stderr
    assert ingot("check", "--env", "A=1", "--manifest", bad).returncode == 1 or '"packages"' in text


@pytest.mark.parametrize(
    "text", ["&a [*a]", "? [a]\n: b\n", "components:\n", "components: [1]\nstack: 1\n", "a: " + "[" * 200]
)
def test_a_lock_of_another_shape_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock.yml").write_text(text)
    for words in (("diff", tmp_path / "lock.yml", tmp_path / "lock.yml"), ("pair", tmp_path / "lock.yml", "a.json")):
        done = ingot(*words)
        assert done.returncode in (1, 2)
        assert "Traceback" not in done.stderr
        assert done.stderr.startswith("error: ")
