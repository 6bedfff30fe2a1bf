"""Reads which environment variables shell text sets."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tree_sitter import Node

from ingot.plan.shell import Nodes, Word, commands, encoded, nodes_of, pieces

ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\+?=(.*)", re.DOTALL)
HEREDOC = re.compile(rb"(?<!<)<<-?[ \t]*([\"']?)(\w+)\1")
HEREDOC_END = re.compile(rb"^[ \t]*(\w+)[ \t]*$", re.MULTILINE)
# The line above a here-document that is a comment, or is printed for people.
HELP = re.compile(rb"(?:^|[\s;&(){}])(?:cat|:)(?=[\s<])[^|>]*$")
STDERR = re.compile(rb"1?>\s*(?:&\s*2|/dev/stderr)")
# The maximum depth of scripts in scripts: here-documents, substitutions, `bash -c`.
DEEPEST = 8
RESERVED = {"if", "then", "elif", "else", "while", "until", "do", "{", "!", "time", "exec"}
RUNS_TEXT = re.compile(r"-\w*c")
DECLARING = {"export", "declare", "typeset"}
# Commands that do not start a job, so a variable that is unset after them has had no effect yet.
HARMLESS = {":", ".", "[", "[[", "}", "cat", "cd", "date", "done", "echo", "esac", "false", "fi", "hostname", "mkdir"}
HARMLESS |= {"printf", "pwd", "set", "shift", "shopt", "source", "true"}
TRANSPARENT = RESERVED | DECLARING | {"env", "sudo"}
# Options that take NAME=VALUE, and the programs that have them.
TAKES_PAIR = {"-e": {"docker", "podman", "nerdctl", "enroot"}, "-x": {"mpirun", "mpiexec", "orterun", "prterun"}}
SLURM = {"srun", "sbatch", "salloc"}


class Found(NamedTuple):
    """A variable that is set, and its line; `value` is None if only the running job knows it."""

    name: str
    value: str | None
    line: int


class _Block(NamedTuple):
    """A function, a condition, a loop and the like; `function` is the start of the innermost function, or -1."""

    kind: str
    begin: int
    end: int
    function: int


class _Blocks:
    """The blocks around a place in the text, innermost last."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._later = [*nodes][::-1]
        self._around: list[_Block] = []

    def around(self, at: int) -> list[_Block]:
        """The blocks around the byte `at`, which must not decrease from call to call."""
        while self._later and self._later[-1].start_byte <= at:
            node = self._later.pop()
            begin = node.start_byte
            self._leave(begin)
            outer = self._around[-1].function if self._around else -1
            own = begin if node.type == "function_definition" else outer
            self._around.append(_Block(node.type, begin, node.end_byte, own))
        self._leave(at)
        return self._around

    def _leave(self, at: int) -> None:
        while self._around and self._around[-1].end <= at:
            self._around.pop()


def script(text: str, line: int = 1, depth: int = 0, printed: bool = True) -> Iterator[Found]:
    """The variables that shell text sets, including scripts in it: here-documents, substitutions and `bash -c`.

    `printed`: the output of its commands goes to the terminal unless the script redirects it.
    """
    if depth >= DEEPEST or "=" not in text:
        return
    data = encoded(text)
    # A here-document without an end would swallow the rest of the text.
    ends = {match[1]: match.start() for match in HEREDOC_END.finditer(data)}
    data = HEREDOC.sub(lambda mark: mark[0] if ends.get(mark[2], 0) > mark.end() else b" " * len(mark[0]), data)
    for piece, root in pieces(data):
        nodes = nodes_of(root)
        yield from _nested(piece, nodes, line, depth, printed)
        yield from _set(piece, nodes, line, depth)
        line += piece.count(b"\n")


def _nested(data: bytes, nodes: Nodes, line: int, depth: int, printed: bool) -> Iterator[Found]:
    """The variables that the scripts in a script set."""
    blocks = _Blocks(nodes.blocks)
    for node in nodes.nested:
        text, first = (node.text or b"").decode(), line + node.start_point.row
        if node.type != "heredoc_body":
            inside = text[1:].removeprefix("(").removesuffix("`" if text[0] == "`" else ")")
            yield from script(inside, first, depth + 1, printed=False)
        elif text.startswith("#!") or not (printed and _is_help(data, node, blocks.around(node.start_byte))):
            yield from script(text, first, depth + 1)


def _is_help(data: bytes, body: Node, around: Iterable[_Block]) -> bool:
    """Whether a here-document is a comment, or is only printed."""
    kinds = [block.kind for block in around]
    # A body begins with its first character other than space.
    above = data[: body.start_byte].rstrip()
    header = STDERR.sub(b"", above[above.rfind(b"\n") + 1 :])
    return kinds.count("redirected_statement") < 2 and "pipeline" not in kinds and HELP.search(header) is not None


def _set(data: bytes, nodes: Nodes, line: int, depth: int) -> Iterator[Found]:
    """The variables that the commands of a script set, except those that are unset before they can have an effect."""
    blocks = _Blocks(nodes.blocks)
    variables: dict[int, Found] = {}
    # Where variables are set that no program has seen yet, and in which function.
    unseen: dict[str, list[tuple[int, int, int]]] = {}
    for command in commands(data, nodes, line):
        at, around = command[0].at, blocks.around(command[0].at)
        begin, function = (around[-1].begin, around[-1].function) if around else (0, -1)
        texts = (word.text for word in command)
        name = next((text for text in texts if text not in RESERVED and not ASSIGNMENT.match(text)), "")
        if dropped := _unset(command, name):
            # An `unset` under a condition may not apply to what was set before the condition.
            for variable in dropped:
                for key, place, owner in unseen.pop(variable, []):
                    if place >= begin and owner == function:
                        del variables[key]
            continue
        for one in assigned(command, depth):
            if not name or name in DECLARING:
                unseen.setdefault(one.name, []).append((len(variables), at, function))
            variables[len(variables)] = one
        if name and name not in DECLARING | HARMLESS and at != function:
            unseen.clear()
    yield from variables.values()


def _unset(command: Iterable[Word], name: str) -> list[str]:
    """The variables that a command removes from the environment."""
    texts = [word.text for word in command]
    if name not in ("unset", "export") or "-f" in texts or (name == "export" and "-n" not in texts):
        return []
    return [text.partition("=")[0] for text in texts[texts.index(name) + 1 :] if not text.startswith("-")]


def pairs(word: Word, text: str | None = None) -> Iterator[Found]:
    """The variable that a word NAME=VALUE sets, or `text` instead of the word."""
    if match := ASSIGNMENT.fullmatch(word.text if text is None else text):
        yield Found(match[1], match[2], word.line)


def assigned(command: list[Word], depth: int = 0) -> Iterator[Found]:
    """The variables that a command sets: before its name, as arguments of export or env, by options of launchers."""
    if not any("=" in word.text for word in command):
        return
    programs: set[str] = set()
    leading = True
    for before, word in zip([Word("", 0), *command], command, strict=False):
        option, _, rest = word.text.partition("=")
        if leading and ASSIGNMENT.fullmatch(word.text):
            yield from pairs(word)
        elif RUNS_TEXT.fullmatch(before.text) and " " in word.text:
            yield from script(word.text, word.line, depth + 1)
        elif option == "--export" and rest:
            yield from _exported(word, rest)
        elif before.text == "--export" and programs & SLURM:
            yield from _exported(word, word.text)
        elif option == "--env" and rest:
            yield from pairs(word, rest)
        elif before.text == "--env" or (before.text in TAKES_PAIR and programs & TAKES_PAIR[before.text]):
            yield from pairs(word)
        elif before.text not in ("-u", "--unset") or "env" not in programs:
            name = word.text.rpartition("/")[2]
            programs.add(name)
            # More assignments may follow these and their options.
            leading = name in TRANSPARENT or (leading and word.text.startswith("-"))


def _exported(word: Word, text: str) -> Iterator[Found]:
    # Slurm also splits at every comma, so no value contains one.
    for part in text.split(","):
        yield from pairs(word, part)
