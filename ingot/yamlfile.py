"""Reads hand-written YAML and keeps the line of every key for error messages; writes data as one line of YAML."""

import difflib
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from ingot.errors import IngotError
from ingot.textfile import read_text

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Model = TypeVar("Model", bound=BaseModel)
Where = tuple[str | int, ...]
# Plain text that YAML reads as a boolean or null.
RESERVED = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")


# Deeper than anything that a person writes; Python's own stack holds many times as much.
DEEPEST = 100
# What aliases may grow to: a few lines of them can stand for more than a machine's memory holds.
MOST_NODES = 500_000
# What YAML does not allow in a text, and a Latin-1 file or a log may have.
UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def documents(text: str, path: Path, first: int = 1) -> Iterator[yaml.Node]:
    """The documents of a text that begins on line `first` of `path`, as nodes, of bounded depth and size.

    IngotError if it is not valid YAML, or nested too deeply, or its aliases grow too large or are in themselves.
    """
    loader = Loader(UNPRINTABLE.sub(" ", text))
    try:
        yield from _composed(loader, path, first)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + first}" if mark else str(path)
        raise IngotError(f"not valid YAML: {getattr(error, 'problem', None) or error}", place=place) from None
    finally:
        loader.dispose()


def _composed(loader: Any, path: Path, first: int) -> Iterator[yaml.Node]:
    """The documents of a loader's events. libyaml composes by recursion, and has no bounds."""
    anchors: dict[str, tuple[yaml.Node, int]] = {}
    # The collections around, with the key that waits for its value and the anchor.
    around: list[tuple[Any, list[Any], str | None]] = []
    # How many nodes each collection around has, aliases unfolded.
    sizes, grown = [0], 0
    while loader.check_event():
        event: Any = loader.get_event()
        node: Any = None
        begin: Any = event.start_mark
        end: Any = event.end_mark
        anchor = getattr(event, "anchor", None)
        where = f"{path}:{begin.line + first}"
        if isinstance(event, yaml.ScalarEvent):
            tag = event.tag or loader.resolve(yaml.ScalarNode, event.value, event.implicit)
            node = yaml.ScalarNode(tag, event.value, begin, end, event.style)
            size = 1
        elif isinstance(event, yaml.AliasEvent):
            if any(name == anchor for _, _, name in around):
                raise IngotError(f"the alias *{anchor} is inside of what it stands for", place=where)
            if anchor not in anchors:
                raise IngotError(f"not valid YAML: found undefined alias {anchor!r}", place=where)
            node, size = anchors[anchor]
            grown += size
            if grown > MOST_NODES:
                raise IngotError(f"its aliases stand for more than {MOST_NODES} values", place=where)
        elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            kind = yaml.MappingNode if isinstance(event, yaml.MappingStartEvent) else yaml.SequenceNode
            tag = event.tag or loader.resolve(kind, None, event.implicit)
            if len(around) >= DEEPEST:
                raise IngotError(f"nested more than {DEEPEST} levels deep", place=where, hint="make it flatter")
            around.append((kind(tag, [], begin, end, event.flow_style), [], anchor))
            sizes.append(1)
            continue
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            node, _, anchor = around.pop()
            size = sizes.pop()
        elif isinstance(event, yaml.DocumentStartEvent):
            anchors.clear()
            sizes, grown = [0], 0
            continue
        else:
            continue
        if anchor is not None and not isinstance(event, yaml.AliasEvent):
            anchors[anchor] = (node, size)
        sizes[-1] += size
        if not around:
            yield node
            continue
        parent, waiting, _ = around[-1]
        if isinstance(parent, yaml.SequenceNode):
            parent.value.append(node)
        elif waiting:
            parent.value.append((waiting.pop(), node))
        else:
            waiting.append(node)


def _index(node: yaml.Node, where: Where, lines: dict[Where, int], path: Path) -> None:
    """Record the line of every key below `node`; a duplicate key is an error."""
    lines[where] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            _index(item, (*where, number), lines, path)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise IngotError("a key must be text", place=f"{path}:{line}", hint="quote it")
            if key.value in seen:
                raise IngotError(f"duplicate key {key.value!r}", place=f"{path}:{line}", hint="remove one of them")
            seen.add(key.value)
            _index(value, (*where, key.value), lines, path)
            lines[(*where, key.value)] = line


def read(path: Path) -> tuple[Any, dict[Where, int]]:
    """The data in `path` and the line of each key; IngotError when it is missing or not valid YAML."""
    return parse(path, read_text(path))


def parse(path: Path, text: str) -> tuple[Any, dict[Where, int]]:
    """The data in `text`, read from `path`, and the line of each key; IngotError when it is not valid YAML."""
    lines: dict[Where, int] = {}
    nodes = list(documents(text, path))
    if not nodes:
        return None, lines
    if len(nodes) > 1:
        place = f"{path}:{nodes[1].start_mark.line + 1}"
        raise IngotError("not valid YAML: expected a single document in the stream", place=place)
    _index(nodes[0], (), lines, path)
    loader = Loader("")
    try:
        return loader.construct_document(nodes[0]), lines
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise IngotError(f"not valid YAML: {getattr(error, 'problem', error)}", place=place) from None
    finally:
        loader.dispose()


# What pydantic says of shapes, in words of YAML.
SHAPES = {
    "missing": "is missing",
    "model_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "list_type": "must be a list",
    "string_type": "must be text: quote it",
    "too_short": "must not be empty",
}


def place(path: Path, *where: str | int) -> str:
    """File and line of the key `where` in `path`, for an error about its value."""
    return f"{path}:{read(path)[1].get(where, 1)}"


def nearest(name: str, choices: Iterable[str]) -> str:
    """A hint with the choice closest to `name`, if any, and all choices."""
    names = sorted(set(choices))
    close = difflib.get_close_matches(name, names, n=1)
    listed = ", ".join(names)
    return f"did you mean {close[0]!r}? known: {listed}" if close else f"known: {listed}"


def closest(name: str, choices: Iterable[str]) -> str:
    """The choice most similar to `name`; empty if there are no choices."""
    return next(iter(difflib.get_close_matches(name, sorted(choices), n=1, cutoff=0)), "")


def _fields(model: type[BaseModel], where: Where) -> list[str]:
    """The valid names of a key at `where` below `model`, found by following the annotations."""
    annotation: Any = model
    for step in where:
        models = _models(annotation)
        field = next((m.model_fields[step].annotation for m in models if step in m.model_fields), None)
        if field is not None and isinstance(step, str):
            annotation = field
    names = [name for candidate in _models(annotation) for name in candidate.model_fields]
    return names or list(model.model_fields)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Every pydantic model in a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]


def load(path: Path, model: type[Model]) -> Model:
    """The file `path` as `model`; a wrong key or value is one error with file, line, key and the nearest name."""
    result: Model = _load(path, read_text(path), model)
    return result


# A command loads the same file in several places; a file whose text has not changed is parsed once.
@functools.lru_cache(maxsize=256)
def _load(path: Path, text: str, model: type[Model]) -> Model:
    data, lines = parse(path, text)
    return validated(path, data, lines, model)


def validated(path: Path, data: Any, lines: Mapping[Where, int], model: type[Model]) -> Model:
    """`data`, read from `path` with its keys on these lines, as `model`; an invalid key or value is one error."""
    try:
        return model.model_validate(data if data is not None else {})
    except ValidationError as error:
        # A misspelt key is also reported as missing; the unknown key is the more helpful error.
        problem = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        where = tuple(problem["loc"])
        at = where
        while at and at not in lines:
            at = at[:-1]
        key = ".".join(str(step) for step in where)
        place = f"{path}:{lines.get(at, 1)}"
        if problem["type"] == "extra_forbidden":
            hint = nearest(str(where[-1]), _fields(model, where[:-1]))
            raise IngotError(f"unknown key {key!r}", place=place, hint=hint) from None
        message = SHAPES.get(
            problem["type"], problem["msg"].removeprefix("Value error, ").replace("Input should be ", "must be ")
        )
        between = " " if problem["type"] in SHAPES else ": "
        raise IngotError(f"{key or path.name}{between}{message}", place=place) from None


def missing(data: Any, model: type[BaseModel]) -> list[str]:
    """The required keys of `model` that `data` lacks; none if `data` has another error, which is reported first."""
    try:
        model.model_validate(data)
    except ValidationError as error:
        problems = error.errors()
        if all(problem["type"] == "missing" for problem in problems):
            return [".".join(str(step) for step in problem["loc"]) for problem in problems]
    return []


def _scalar(value: str | int | bool) -> str:
    """A scalar that YAML reads back unchanged: plain where that is safe, else quoted."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    plain = re.fullmatch(r"[A-Za-z/][A-Za-z0-9+./~_@-]*", value) and value.lower() not in RESERVED
    return value if plain else "'" + value.replace("'", "''") + "'"


def flow(value: Any) -> str:
    """Data as YAML on one line, the same text for the same data."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    return _scalar(value)
