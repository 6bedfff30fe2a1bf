"""The rules about environment variables do what their own examples say, and a mistake in them is one sentence."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from ingot import paths
from ingot.catalog.settings import Example, SettingRule, engine, plain, read_settings
from ingot.errors import IngotError

RULES = read_settings()


def found(rule: SettingRule, example: Example) -> list[str]:
    """The severities that the rule alone finds in an example."""
    environment = [{"name": name, "value": value, "place": ""} for name, value in example.env.items()]
    findings = engine().evaluate(
        plain([rule]), environment, example.versions, example.instance_type, example.accelerator
    )
    return [finding["severity"] for finding in findings]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_finds_what_its_examples_say(rule: SettingRule) -> None:
    missed = [example.env for example in rule.examples.finds if found(rule, example) != [rule.severity]]
    assert missed == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_lets_pass_what_its_examples_say(rule: SettingRule) -> None:
    refused = [example.env for example in rule.examples.passes if found(rule, example)]
    assert refused == []


def test_versions_are_named_as_an_image_observes_them() -> None:
    path = paths.ROOT / "plugins" / "module_utils" / "component_facts.py"
    spec = importlib.util.spec_from_file_location("component_facts", path)
    assert spec and spec.loader
    facts = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(facts)
    known = {*facts.observe("/nowhere"), *facts.details("/nowhere")}
    named = {name for rule in RULES for name in (*rule.when.versions, *rule.when.any_version)}
    assert named
    assert named - known == set()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copy(paths.CATALOG / "settings.yml", tmp_path))


def spoil(file: Path, old: str, new: str) -> int:
    """Replace the first `old` by `new` and return the line it stands on."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


def test_an_unknown_key_is_named_with_file_line_and_nearest_name(copy: Path) -> None:
    line = spoil(copy, "severity: error", "severty: error")
    with pytest.raises(IngotError, match=r"unknown key 'rules\.0\.severty'") as caught:
        read_settings(copy)
    assert caught.value.place == f"{copy}:{line}"
    assert "did you mean 'severity'" in caught.value.hint


def test_an_unknown_condition_names_the_nearest(copy: Path) -> None:
    line = spoil(copy, "instance_types: ['p*', 'g*']", "instance_type: ['p*', 'g*']")
    with pytest.raises(IngotError, match="unknown key") as caught:
        read_settings(copy)
    assert caught.value.place == f"{copy}:{line}"
    assert "did you mean 'instance_types'" in caught.value.hint


@pytest.mark.parametrize("key", ["source", "examples", "fix", "checked"])
def test_a_rule_without_source_or_examples_is_refused(copy: Path, key: str) -> None:
    lines = copy.read_text().splitlines(keepends=True)
    start = next(number for number, line in enumerate(lines) if line.startswith(f"    {key}:"))
    end = start + 1
    while lines[end].startswith("      "):
        end += 1
    copy.write_text("".join(lines[:start] + lines[end:]))
    with pytest.raises(IngotError, match=f"rules.0.{key} is missing"):
        read_settings(copy)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("- id: gdr-level-loc", "- id: rdmav", "duplicate rule 'rdmav'"),
        ("    never: true\n", "    never: true\n    must: '1'\n", "one of 'never', 'never_values'"),
        ("    never: true\n", "", "one of 'never', 'never_values'"),
        ("    must: simple\n", "    must: simple\n    only_values: [simple]\n", "one of 'never', 'never_values'"),
        ("variables: [NCCL_PROTO]", "variables: ['NCCL_PROT*']", "'must' needs exactly one variable"),
        ("'<=1.5.0'", "'about 1.5'", "not a version range: 'about 1.5'"),
        ("'<=1.5.0'", "'~=1.5'", "not a version range: '~=1.5'"),
        ("[loc, '0']", "['(loc', '0']", "not a regular expression"),
        ("source: https://github.com", "source: heard at github.com", "source"),
        ("severity: error", "severity: fatal", "severity"),
    ],
)
def test_a_malformed_rule_is_refused_with_its_place(copy: Path, old: str, new: str, message: str) -> None:
    spoil(copy, old, new)
    with pytest.raises(IngotError) as caught:
        read_settings(copy)
    assert message in caught.value.message
    assert caught.value.place.startswith(f"{copy}:")


def test_a_rule_that_stands_twice_is_named_with_its_line(copy: Path) -> None:
    line = spoil(copy, "- id: gdr-level-loc", "- id: rdmav")
    with pytest.raises(IngotError) as caught:
        read_settings(copy)
    assert caught.value.place == f"{copy}:{line}"
