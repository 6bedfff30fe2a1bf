"""Every rule of the catalog finds what its examples say, and lets pass what they say."""

import pytest
from packaging.version import Version

from ingot.catalog.read import read_catalog
from ingot.catalog.rules import Context, Part, broken
from ingot.model.rule import Example, Rule

CATALOG = read_catalog()
RULES = [(name, rule) for name, component in CATALOG.components.items() for rule in component.rules]


def found(owner: str, example: Example) -> set[str]:
    parts = [
        Part(name, Version(text), text, example.facts if name == owner else {})
        for name, text in example.versions.items()
    ]
    return {each.rule for each in broken(parts, CATALOG.components, Context(**example.where))}


@pytest.mark.parametrize(("owner", "rule"), RULES, ids=[rule.id for _, rule in RULES])
def test_a_rule_finds_and_passes_what_its_examples_say(owner: str, rule: Rule) -> None:
    for example in rule.examples.finds:
        assert rule.id in found(owner, example), f"passes {example.versions} {example.where}"
    for example in rule.examples.passes:
        assert owner in example.versions
        assert rule.id not in found(owner, example), f"finds {example.versions} {example.where}"


def test_rules_of_every_severity_are_reported_the_worst_first() -> None:
    order = {"error": 0, "warning": 1, "info": 2}
    parts = [
        Part(name, Version(text), text, {})
        for _, rule in RULES
        for example in rule.examples.finds
        for name, text in example.versions.items()
    ]
    severities = [order[each.severity] for each in broken(parts, CATALOG.components)]
    assert severities == sorted(severities)
