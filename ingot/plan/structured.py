"""Reads the environment variables that YAML and JSON set: manifests of any kind, values, settings of services.

A template (Helm, Jinja) is read with its expressions as text.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from ingot.errors import IngotError
from ingot.plan.loose import loosely
from ingot.plan.script import DEEPEST, NAME, Found, How, assigned, pairs, script
from ingot.plan.shell import Word
from ingot.yamlfile import documents

# Keys whose mapping or list has variables: env, environment, extraEnvVars, env_vars, containerEnv, Variables …
ENVIRONMENT = re.compile(r"[\w.-]*env(?:ironment)?(?:s|[-_]?vars?|[-_]?variables?|[-_]?map)?|variables|literals", re.I)
# Keys whose text, or whose list of words, is a command; and those whose list has a command in each item.
COMMANDS = re.compile(r"command|args|cmd|entry_?point|(?:post|pre|on)_?\w*command", re.IGNORECASE)
SCRIPTS = re.compile(
    r"commands|scripts?|run|setup|before_script|after_script|source|user_?data|bash_?command", re.IGNORECASE
)
PROSE = re.compile(r"description|message|notes?|comments?|docs?|documentation|help|title|summary", re.IGNORECASE)
# What a template's engine replaces.
EXPRESSION = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|<%.*?%>", re.DOTALL)
ALONE = re.compile(r"^[ \t]*(?:(?:\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|<%.*?%>)[ \t]*)+$", re.DOTALL | re.MULTILINE)
LATER = re.compile(r"\$\{[^{}\n]*\}")
# Characters with a meaning in YAML, each with one that has none: an expression keeps its length and its text.
SPECIAL = "{}[]\"':,#&*!|>%@`\\-?"
HIDE = {ord(special): 0xE001 + at for at, special in enumerate(SPECIAL)}
SHOW = {code: special for special, code in HIDE.items()}
# What is larger is read line by line, which takes a hundredth of the time.
LARGEST = 1 << 20
# CloudFormation's functions whose value is known when the stack is made.
LATER_TAGS = ("!Ref", "!GetAtt", "!ImportValue", "!FindInMap", "!Select", "!If", "!Join", "!Split")


def is_template(text: str) -> bool:
    return EXPRESSION.search(text) is not None


def structured(text: str, path: Path, first: int, how: How) -> Iterator[Found]:
    """The variables that YAML or JSON sets, which begins on line `first` of `path`.

    IngotError if it is not valid, unless it is a template, whose lines are then read one by one.
    """
    if len(text) > LARGEST and how.wanted:
        yield from loosely(text, first, how)
        return
    template = is_template(text)
    try:
        yield from _read(_plain(text) if template else text, path, first, how)
    except IngotError as error:
        if not template and LATER.search(text):
            # ${NAME} in a flow mapping, which envsubst replaces.
            try:
                yield from _read(LATER.sub(_hidden, text), path, first, how)
                return
            except IngotError:
                template = True
        if not template or "not valid YAML" not in error.message:
            raise
        yield from loosely(text, first, how)


def _plain(text: str) -> str:
    """A template's text with its expressions as plain words; lines of expressions alone are empty."""
    emptied = ALONE.sub(lambda match: "\n" * match[0].count("\n"), text)
    return EXPRESSION.sub(lambda match: match[0].replace("\n", " ").translate(HIDE), emptied)


def nodes_of(text: str, path: Path) -> list[yaml.Node]:
    """The documents of YAML or JSON, with a template's expressions as text; none if they are not valid or too large."""
    if len(text) > LARGEST:
        return []
    try:
        return list(documents(_spaced(LATER.sub(_hidden, _plain(text))), path))
    except IngotError:
        return []


def _hidden(match: re.Match[str]) -> str:
    return match[0].translate(HIDE)


def _read(text: str, path: Path, first: int, how: How) -> list[Found]:
    seen: set[int] = set()
    return [one for node in documents(_spaced(text), path, first) for one in _below(node, "", first, how, seen)]


def _spaced(text: str) -> str:
    """JSON indents by tabs as well."""
    return re.sub(r"^[ ]*\t[ \t]*", lambda match: " " * len(match[0]), text, flags=re.MULTILINE)


def _text(node: yaml.ScalarNode) -> str:
    return str(node.value).translate(SHOW)


def _below(node: yaml.Node, key: str, first: int, how: How, seen: set[int]) -> Iterator[Found]:
    """The variables that a node sets, which has `key` above it; what aliases stand for counts once."""
    if not isinstance(node, yaml.ScalarNode):
        if id(node) in seen:
            return
        seen.add(id(node))
    line = node.start_mark.line + first
    if isinstance(node, yaml.ScalarNode):
        # The text of a block scalar begins on the line after its indicator.
        block = node.style in ("|", ">")
        yield from _scalar(_text(node), key, line + block, how, block)
    elif isinstance(node, yaml.SequenceNode):
        yield from _sequence(node, key, first, how, seen)
    elif isinstance(node, yaml.MappingNode):
        yield from _mapping(node, key, first, how, seen)


def _scalar(text: str, key: str, line: int, how: How, block: bool) -> Iterator[Found]:
    if how.depth >= DEEPEST or not how.reads(text) or PROSE.fullmatch(key):
        return
    if (block or "\n" in text) and how.embedded:
        yield from how.embedded(text, line, how.deeper)
    elif COMMANDS.fullmatch(key) or SCRIPTS.fullmatch(key):
        yield from script(text, line, how.deeper)
    elif text[:1] in ("{", "[") and '"' in text and how.embedded:
        yield from how.embedded(text, line, how.deeper)


def _sequence(node: yaml.SequenceNode, key: str, first: int, how: How, seen: set[int]) -> Iterator[Found]:
    words = [
        Word(_text(item), item.start_mark.line + first + (item.style in ("|", ">")))
        for item in node.value
        if isinstance(item, yaml.ScalarNode)
    ]
    if ENVIRONMENT.fullmatch(key):
        yield from (one for word in words for one in pairs(word))
    elif SCRIPTS.fullmatch(key):
        yield from (one for word in words for one in script(word.text, word.line, how.deeper))
        words = []
    for item in node.value:
        # A mapping's commands are read with its other keys.
        if not isinstance(item, yaml.ScalarNode) or (words and not COMMANDS.fullmatch(key)):
            yield from _below(item, key, first, how, seen)


def _mapping(node: yaml.MappingNode, above: str, first: int, how: How, seen: set[int]) -> Iterator[Found]:
    keys = {_text(key): value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
    lines = {_text(key): key.start_mark.line + first for key, _ in node.value if isinstance(key, yaml.ScalarNode)}
    lower = {name.lower(): value for name, value in keys.items()}
    yield from _named(lower, first)
    # A list of variables has entries with a name.
    mapped = ENVIRONMENT.fullmatch(above) and not {"name", "key"} & lower.keys()
    # An argument of a command may stand in the key after it.
    command = [
        Word(_text(item), item.start_mark.line + first + (item.style in ("|", ">")))
        for key, value in keys.items()
        if COMMANDS.fullmatch(key) and isinstance(value, yaml.SequenceNode)
        for item in value.value
        if isinstance(item, yaml.ScalarNode)
    ]
    if command:
        yield from assigned(command, how.deeper)
    for key, value in keys.items():
        is_variable = NAME.fullmatch(key) and (mapped or (how.wanted and how.wanted.fullmatch(key)))
        if is_variable and (isinstance(value, yaml.ScalarNode) or _is_later(value)):
            yield Found(key, _value(value), lines[key])
        else:
            yield from _below(value, key, first, how, seen)
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            yield from _below(value, "", first, how, seen)


def _is_later(node: yaml.Node) -> bool:
    """Whether a mapping stands for a value: {Ref: …}, {Fn::Sub: …}, {valueFrom: …}."""
    keys = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
    return len(keys) == 1 and str(keys[0]).startswith(("Ref", "Fn::", "valueFrom", "secret"))


def _value(node: yaml.Node | None) -> str | None:
    """The value of a variable; None if it is known only later."""
    if isinstance(node, yaml.ScalarNode) and node.tag not in LATER_TAGS:
        return "" if node.tag == "tag:yaml.org,2002:null" else _text(node)
    return None


def _named(keys: dict[str, yaml.Node], first: int) -> Iterator[Found]:
    """One entry of a list of variables: {name, value}, {Name, Value}, {key, value}; with `valueFrom` the value is
    known only later."""
    name = keys.get("name", keys.get("key"))
    if not isinstance(name, yaml.ScalarNode) or not NAME.fullmatch(_text(name)):
        return
    line = name.start_mark.line + first
    if "value" in keys:
        yield Found(_text(name), _value(keys["value"]), line)
    elif "valuefrom" in keys or "value_from" in keys:
        yield Found(_text(name), None, line)
    elif len(keys) == 1 and _text(name).isupper():
        yield Found(_text(name), "", line)
