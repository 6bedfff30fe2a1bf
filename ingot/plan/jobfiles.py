"""Reads the environment variables that job scripts, Dockerfiles and Kubernetes manifests set, with file and line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from ingot.errors import IngotError
from ingot.plan.dockerfile import dockerfile
from ingot.plan.script import Found, assigned, script
from ingot.plan.shell import Word
from ingot.yamlfile import Loader

DOCKERFILE = re.compile(r"(?:docker|container)file(?:\..*)?|.*\.(?:docker|container)file", re.IGNORECASE)


@dataclass(frozen=True)
class Setting:
    """A variable that is set; `value` is None if only the running job knows it."""

    name: str
    value: str | None
    place: str


def settings(path: Path) -> list[Setting]:
    """The variables that the file sets, in order; IngotError if it is unreadable. An unknown kind is a shell script."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise IngotError("there is no such file", place=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise IngotError(f"cannot be read: {reason}", place=str(path)) from None
    if DOCKERFILE.fullmatch(path.name):
        variables = dockerfile(text)
    elif path.suffix in (".yml", ".yaml", ".json"):
        variables = _manifest(text, path)
    else:
        variables = script(text)
    return [
        Setting(one.name, one.value, f"{path}:{one.line}")
        for one in sorted(dict.fromkeys(variables), key=lambda one: one.line)
    ]


def _manifest(text: str, path: Path) -> Iterator[Found]:
    """The variables that any list of variables, `command` or `args` sets, in documents of any kind."""
    try:
        for document in yaml.compose_all(text, Loader):
            if document is not None:
                yield from _below(document)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise IngotError(f"not valid YAML: {getattr(error, 'problem', error)}", place=place) from None


def _below(node: yaml.Node) -> Iterator[Found]:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _below(item)
    elif isinstance(node, yaml.MappingNode):
        keys = {key.value: value for key, value in node.value}
        # Kubernetes uses the first name, AWS Batch and ECS the second.
        for key in ("env", "environment"):
            if isinstance(keys.get(key), yaml.SequenceNode):
                for item in keys[key].value:
                    yield from _variable(item)
        command = [word for key in ("command", "args") for word in _scalars(keys.get(key))]
        yield from assigned(command)
        for value in keys.values():
            yield from _below(value)


def _variable(node: yaml.Node) -> Iterator[Found]:
    """One entry {name, value} of an `env` list; with `valueFrom` only the cluster knows the value."""
    if isinstance(node, yaml.MappingNode):
        keys = {key.value: value for key, value in node.value}
        name, value = keys.get("name"), keys.get("value")
        if isinstance(name, yaml.ScalarNode):
            text = value.value if isinstance(value, yaml.ScalarNode) else None if "valueFrom" in keys else ""
            yield Found(name.value, text, name.start_mark.line + 1)


def _scalars(node: yaml.Node | None) -> list[Word]:
    """The words of a command that is a list; the text of a block scalar begins on the line after its indicator."""
    if not isinstance(node, yaml.SequenceNode):
        return []
    items = [item for item in node.value if isinstance(item, yaml.ScalarNode)]
    return [Word(item.value, item.start_mark.line + 1 + (item.style in ("|", ">"))) for item in items]
