"""The table of the rules about environment variables."""

from ingot.catalog.settings import SettingRule
from ingot.docs.markdown import table


def rules(rows: list[SettingRule]) -> str:
    """A Markdown table of the rules about environment variables."""
    head = ["variable", "rule", "where", "severity", "reason and fix", "source"]
    return table(head, [_row(rule) for rule in rows])


def _row(rule: SettingRule) -> list[str]:
    names = ", ".join(f"`{name}`" for name in rule.variables)
    source = f"[{rule.checked}]({rule.source})"
    return [names, _demand(rule), _where(rule), rule.severity, f"{rule.reason} {rule.fix}", source]


def _demand(rule: SettingRule) -> str:
    if rule.never:
        return "never set"
    if rule.must:
        return f"must be `{rule.must}`"
    kind, patterns = ("not", rule.never_values) if rule.never_values else ("only", rule.only_values)
    return f"{kind} {', '.join(f'`{pattern}`' for pattern in patterns)}"


def _where(rule: SettingRule) -> str:
    when = rule.when
    parts = [f"has {' and '.join(when.has)}"] if when.has else []
    parts += [f"{name} {text}" for name, text in when.versions.items()]
    parts += [" or ".join(f"{name} {text}" for name, text in when.any_version.items())] if when.any_version else []
    parts += [" ".join(f"`{glob}`" for glob in when.instance_types)] if when.instance_types else []
    return "; ".join(parts + ([when.accelerator] if when.accelerator else [])) or "everywhere"
