"""Turns job scripts, Dockerfiles and Kubernetes manifests into the environment variables that they set, with place."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import yaml

from ingot.errors import IngotError
from ingot.yamlfile import Loader

ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\+?=(.*)", re.DOTALL)
HEREDOC = re.compile(r"(?<!<)<<-?\s*([\"']?)(\w+)\1[^\n]*\n(.*?)^\s*\2\s*$", re.DOTALL | re.MULTILINE)
DOCKERFILE = re.compile(r"(?:docker|container)file(?:\..*)?|.*\.(?:docker|container)file", re.IGNORECASE)
SEPARATORS = "\n;&|()"
KEYWORDS = {
    "if",
    "then",
    "elif",
    "else",
    "while",
    "until",
    "do",
    "{",
    "!",
    "time",
    "exec",
    "export",
    "declare",
    "typeset",
}
CONTAINERS = {"docker", "podman", "nerdctl", "enroot"}
MPI = {"mpirun", "mpiexec", "orterun", "prterun"}
SLURM = {"srun", "sbatch", "salloc"}


@dataclass(frozen=True)
class Setting:
    """A variable that is set; `value` is None where only the job will know it."""

    name: str
    value: str | None
    place: str


class Word(NamedTuple):
    """A word of a command, without its quotes, and the line on which it begins."""

    text: str
    line: int


def settings(path: Path) -> list[Setting]:
    """What the file sets, in order; IngotError when it cannot be read. A file of unknown kind is a shell script."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise IngotError("there is no such file", place=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise IngotError(f"cannot be read: {reason}", place=str(path)) from None
    if DOCKERFILE.fullmatch(path.name):
        found = _dockerfile(text)
    elif path.suffix in (".yml", ".yaml", ".json"):
        found = _manifest(text, path)
    else:
        found = _script(text)
    return [Setting(name, value, f"{path}:{line}") for name, value, line in sorted(found, key=lambda each: each[2])]


Found = Iterator[tuple[str, str | None, int]]


def _enclosed(text: str, start: int) -> int:
    """The end of the $(…) or ${…} whose bracket opens at `start`; `start` itself when nothing closes it."""
    opening, closing = text[start], ")" if text[start] == "(" else "}"
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == opening) - (text[at] == closing)
        if depth == 0:
            return at
    return start


def _closing(text: str, start: int) -> int:
    """Where the quote that opens at `start` closes, or -1; in double quotes a backslash protects."""
    at = start + 1
    while at < len(text) and text[at] != text[start]:
        at += 2 if text[at] == "\\" and text[start] == '"' else 1
    return at if at < len(text) else -1


def _words(text: str, line: int = 1) -> Iterator[Word]:
    """The words of shell text; a separator of commands is a word of its own, and of comments only #SBATCH is left."""
    at, word, began = 0, "", 0
    while at < len(text):
        sign, step, part = text[at], 1, None
        if text.startswith("\\\n", at):
            step = 2
        elif sign == "\\" and at + 1 < len(text):
            step, part = 2, text[at + 1]
        elif sign in "\"'" and (end := _closing(text, at)) > 0:
            step, part = end + 1 - at, text[at + 1 : end].replace("\\\n", "")
        elif sign == "$" and text[at + 1 : at + 2] in ("(", "{"):
            step = _enclosed(text, at + 1) + 1 - at
            part = text[at : at + step]
        elif sign == "#" and not began:
            end = text.find("\n", at)
            comment = text[at : end if end >= 0 else len(text)]
            step = len(comment)
            if comment.startswith("#SBATCH") and (at == 0 or text[at - 1] == "\n"):
                yield Word("sbatch", line)
                yield from _words(comment.removeprefix("#SBATCH"), line)
        elif not sign.isspace() and sign not in SEPARATORS:
            part = sign
        if part is not None:
            word, began = word + part, began or line
        elif began and step == 1:
            yield Word(word, began)
            word, began = "", 0
        if part is None and step == 1 and sign in SEPARATORS:
            yield Word(sign, 0)
        line += text.count("\n", at, at + step)
        at += step
    if began:
        yield Word(word, began)


def _commands(words: Iterable[Word]) -> Iterator[list[Word]]:
    """The words grouped into commands."""
    command: list[Word] = []
    for word in words:
        if word.line:
            command.append(word)
        elif command:
            yield command
            command = []
    if command:
        yield command


def _script(text: str, line: int = 1) -> Found:
    """What shell text sets; a here-document is a script of its own, whose quotes never reach beyond it."""
    for body in HEREDOC.finditer(text):
        yield from _script(body[3], line + text.count("\n", 0, body.start(3)))
    text = HEREDOC.sub(lambda body: "\n" * body[0].count("\n"), text)
    for command in _commands(_words(text, line)):
        yield from _assigned(command)


def _pairs(word: Word, text: str | None = None) -> Found:
    if match := ASSIGNMENT.fullmatch(word.text if text is None else text):
        yield match[1], match[2], word.line


def _assigned(command: list[Word]) -> Found:
    """What one command sets: before its name, as arguments of export or env, and through options of launchers."""
    programs: set[str] = set()
    leading = True
    for before, word in zip([Word("", 0), *command], command, strict=False):
        option, _, rest = word.text.partition("=")
        if leading and ASSIGNMENT.fullmatch(word.text):
            yield from _pairs(word)
        elif re.fullmatch(r"-\w*c", before.text) and " " in word.text:
            yield from _script(word.text, word.line)
        elif option == "--export" and rest:
            yield from _exported(word, rest)
        elif before.text == "--export" and programs & SLURM:
            yield from _exported(word, word.text)
        elif option == "--env" and rest:
            yield from _pairs(word, rest)
        elif before.text == "--env" or (before.text, True) in (
            ("-e", bool(programs & CONTAINERS)),
            ("-x", bool(programs & MPI)),
        ):
            yield from _pairs(word)
        else:
            name = word.text.rpartition("/")[2]
            programs.add(name)
            # After these, and after options of theirs, assignments go on.
            leading = name in KEYWORDS | {"env", "sudo"} or (leading and word.text.startswith("-"))


def _exported(word: Word, text: str) -> Found:
    # Slurm, too, cuts at every comma, so that no value holds one.
    for part in text.split(","):
        yield from _pairs(word, part)


def _dockerfile(text: str) -> Found:
    """What the ENV instructions set, in their new form (A=B C=D) and in the old one (A B)."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        start, parts = at, [lines[at]]
        while at + 1 < len(lines) and (parts[-1].rstrip().endswith("\\") or (len(parts) > 1 and not parts[-1])):
            at += 1
            # Docker drops comments and empty lines inside an instruction; the line stays, for the count.
            comment = not lines[at].strip() or lines[at].lstrip().startswith("#")
            parts.append("\\" if comment else lines[at])
        at += 1
        if match := re.match(r"\s*ENV\s+", parts[0], re.IGNORECASE):
            parts[0] = parts[0][match.end() :]
            words = [word for word in _words("\n".join(part.rstrip() for part in parts), start + 1) if word.line]
            if words and "=" in words[0].text:
                for word in words:
                    yield from _pairs(word)
            elif len(words) > 1:
                yield words[0].text, " ".join(word.text for word in words[1:]), words[0].line


def _manifest(text: str, path: Path) -> Found:
    """What every list of variables, `command` and `args` in the documents sets, of whatever kind they are."""
    try:
        for document in yaml.compose_all(text, Loader):
            if document is not None:
                yield from _below(document)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise IngotError(f"is not YAML: {getattr(error, 'problem', error)}", place=place) from None


def _below(node: yaml.Node) -> Found:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _below(item)
    elif isinstance(node, yaml.MappingNode):
        keys = {key.value: value for key, value in node.value}
        # Kubernetes calls it by the one name, AWS Batch and ECS by the other.
        for key in ("env", "environment"):
            if isinstance(keys.get(key), yaml.SequenceNode):
                for item in keys[key].value:
                    yield from _variable(item)
        command = [word for key in ("command", "args") for word in _scalars(keys.get(key))]
        yield from _assigned(command)
        for value in keys.values():
            yield from _below(value)


def _variable(node: yaml.Node) -> Found:
    """One entry {name, value} of an `env` list; with `valueFrom` only the cluster knows the value."""
    if isinstance(node, yaml.MappingNode):
        keys = {key.value: value for key, value in node.value}
        name, value = keys.get("name"), keys.get("value")
        if isinstance(name, yaml.ScalarNode):
            text = value.value if isinstance(value, yaml.ScalarNode) else None if "valueFrom" in keys else ""
            yield name.value, text, name.start_mark.line + 1


def _scalars(node: yaml.Node | None) -> list[Word]:
    """The words of a command that is a list; the text of a block begins on the line after its mark."""
    if not isinstance(node, yaml.SequenceNode):
        return []
    items = [item for item in node.value if isinstance(item, yaml.ScalarNode)]
    return [Word(item.value, item.start_mark.line + 1 + (item.style in ("|", ">"))) for item in items]
