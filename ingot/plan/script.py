"""Reads which environment variables shell text sets."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tree_sitter import Node

from ingot.plan.launchers import ANY, LAUNCHERS, PREFIXED, RUN_ARGUMENTS, Launcher, options, program
from ingot.plan.shell import Nodes, Word, commands, encoded, nodes_of, parsed, pieces, words

ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\+?=(.*)", re.DOTALL)
NAME = re.compile(r"[A-Za-z_]\w*")
HEREDOC = re.compile(rb"(?<!<)<<-?[ \t]*([\"']?)(\w+)\1")
HEREDOC_END = re.compile(rb"^[ \t]*(\w+)[ \t]*$", re.MULTILINE)
# The line above a here-document that is a comment, or is printed for people.
HELP = re.compile(rb"(?:^|[\s;&(){}])(?:cat|:)(?=[\s<])[^|>]*$")
STDERR = re.compile(rb"1?>\s*(?:&\s*2|/dev/stderr)")
# The rest of the line, where what a command prints is kept or run.
KEPT = re.compile(rb"[^\n]*?(?:(?<![2&])>>?\s*(?!&|/dev/(?:null|stdout|stderr))|\|\s*(?:sudo\s+)?(?:tee|bash|sh)\b)")
# The maximum depth of scripts in scripts: here-documents, substitutions, `bash -c`.
DEEPEST = 8
RESERVED = {"if", "then", "elif", "else", "while", "until", "do", "{", "!", "time", "exec"}
RUNS_TEXT = re.compile(r"-\w*c")
DECLARING = {"export", "declare", "typeset"}
# Commands that do not start a job, so a variable that is unset after them has had no effect yet.
HARMLESS = {":", ".", "[", "[[", "}", "cat", "cd", "date", "done", "echo", "esac", "false", "fi", "hostname", "mkdir"}
HARMLESS |= {"printf", "pwd", "set", "shift", "shopt", "source", "true"}
TRANSPARENT = RESERVED | DECLARING | {"env", "sudo", "mpirun_rsh"}
PRINTING = {"echo", "printf"}
# Commands that name variables and set none.
READING = PRINTING | {"unset", "test", "[", "[["}
# Options in the value of a variable: MPI_ARGS="-x A=1 -x B=2".
KEEPS_OPTIONS = re.compile(r"(?:^|\s)(?:-x|-e|-genv|-env|--env|--export)[\s=]")
WITHOUT_EQUALS = re.compile(r"<<|\bsetenv\b|-g?env\b|[\"'][\[{]|^[\[{]")
# How a finding names the list of variables that srun hands to its tasks.
EXPORTED = "srun --export"


class Found(NamedTuple):
    """A variable that is set, and its line; `value` is None if only the running job knows it.

    One that does not set is a line that was understood: it names variables, and sets none.
    """

    name: str
    value: str | None
    line: int
    sets: bool = True


@dataclass(frozen=True)
class How:
    """How a text is read: how deep it is in others, which variables matter (all if None), what reads other kinds."""

    depth: int = 0
    wanted: re.Pattern[str] | None = None
    embedded: Callable[[str, int, "How"], Iterator[Found]] | None = None

    @property
    def deeper(self) -> "How":
        return replace(self, depth=self.depth + 1)

    def reads(self, text: str) -> bool:
        """Whether a text may have something that matters."""
        return self.depth < DEEPEST and (self.wanted is None or self.wanted.search(text) is not None)


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


ALL = How()


def script(text: str, line: int = 1, how: How = ALL, printed: bool = True) -> Iterator[Found]:
    """The variables that shell text sets, including scripts in it: here-documents, substitutions and `bash -c`.

    `printed`: the output of its commands goes to the terminal unless the script redirects it.
    """
    if not how.reads(text) or ("=" not in text and not WITHOUT_EQUALS.search(text)):
        return
    data = encoded(text)
    # A here-document without an end would swallow the rest of the text.
    ends = {match[1]: match.start() for match in HEREDOC_END.finditer(data)}
    data = HEREDOC.sub(lambda mark: mark[0] if ends.get(mark[2], 0) > mark.end() else b" " * len(mark[0]), data)
    for piece in pieces(data):
        if how.reads(piece.decode(errors="replace")):
            nodes = nodes_of(parsed(piece))
            yield from _nested(piece, nodes, line, how, printed)
            yield from _set(piece, nodes, line, how)
        line += piece.count(b"\n")


def _nested(data: bytes, nodes: Nodes, line: int, how: How, printed: bool) -> Iterator[Found]:
    """The variables that the scripts in a script set."""
    blocks = _Blocks(nodes.blocks)
    for node in nodes.nested:
        text, first = (node.text or b"").decode(), line + node.start_point.row
        if node.type != "heredoc_body":
            inside = text[1:].removeprefix("(").removesuffix("`" if text[0] == "`" else ")")
            yield from script(inside, first, how.deeper, printed=False)
        elif text.startswith("#!") or not (printed and _is_help(data, node, blocks.around(node.start_byte))):
            # The body may begin in the middle of its line.
            begin = data.rfind(b"\n", 0, node.start_byte) + 1
            text = data[begin : node.end_byte].decode(errors="replace")
            yield from (how.embedded or script)(text, first, how.deeper)
        elif how.wanted:
            yield from _understood(range(first, first + text.count("\n") + 1))


def _understood(lines: Iterable[int]) -> Iterator[Found]:
    return (Found("", None, line, sets=False) for line in lines)


def _is_help(data: bytes, body: Node, around: Iterable[_Block]) -> bool:
    """Whether a here-document is a comment, or is only printed."""
    kinds = [block.kind for block in around]
    # A body begins with its first character other than space.
    above = data[: body.start_byte].rstrip()
    header = STDERR.sub(b"", above[above.rfind(b"\n") + 1 :])
    return kinds.count("redirected_statement") < 2 and "pipeline" not in kinds and HELP.search(header) is not None


def _set(data: bytes, nodes: Nodes, line: int, how: How) -> Iterator[Found]:
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
        if how.wanted and name in READING and how.depth < DEEPEST:
            yield from _understood(range(command[0].line, command[-1].line + command[-1].text.count("\n") + 1))
        if dropped := _unset(command, name):
            # An `unset` under a condition may not apply to what was set before the condition.
            for variable in dropped:
                for key, place, owner in unseen.pop(variable, []):
                    if place >= begin and owner == function:
                        del variables[key]
            continue
        matters = how.reads("\n".join(word.text for word in command))
        for one in _kept(command, data) if name in PRINTING else assigned(command, how) if matters else ():
            if not name or name in DECLARING:
                unseen.setdefault(one.name, []).append((len(variables), at, function))
            variables[len(variables)] = one
        if name and name not in DECLARING | HARMLESS and at != function:
            unseen.clear()
    yield from variables.values()


def _kept(command: list[Word], data: bytes) -> Iterator[Found]:
    """The variables in what `echo` prints, if it goes to a file or to a shell."""
    if not KEPT.match(data, command[0].at):
        return
    for word in command[1:]:
        text = re.sub(r"^(?:export|set)\s+", "", word.text.strip())
        yield from pairs(word, text)


def _unset(command: Iterable[Word], name: str) -> list[str]:
    """The variables that a command removes from the environment."""
    texts = [word.text for word in command]
    if name not in ("unset", "export") or "-f" in texts or (name == "export" and "-n" not in texts):
        return []
    return [text.partition("=")[0] for text in texts[texts.index(name) + 1 :] if not text.startswith("-")]


def pairs(word: Word, text: str | None = None) -> Iterator[Found]:
    """The variable that a word NAME=VALUE sets, or `text` instead of the word."""
    if match := ASSIGNMENT.fullmatch(word.text if text is None else text):
        yield Found(PREFIXED.sub("", match[1]), match[2], word.line)


def assigned(command: list[Word], how: How = ALL) -> Iterator[Found]:
    """The variables that a command sets: before its name, as arguments of export or env, by options of launchers."""
    if not any("=" in word.text or WITHOUT_EQUALS.search(word.text) for word in command):
        return
    # What begins with an option is the rest of a command: an array, or the value of a variable.
    programs = {"$"} if command[0].text.startswith("-") else set[str]()
    leading = True
    for before, word, after in zip([Word("", 0), *command], command, [*command[1:], Word("", 0)], strict=False):
        text = word.text
        if leading and ASSIGNMENT.fullmatch(text):
            yield from pairs(word)
            yield from _options_in(word, text.partition("=")[2], how)
        elif (RUNS_TEXT.fullmatch(before.text) and " " in text) or (programs & RUN_ARGUMENTS and " " in text):
            yield from script(text, word.line, how.deeper)
        elif text[:1] in ("{", "[") and '"' in text and how.embedded:
            yield from how.embedded(text, word.line, how.deeper)
        elif before.text == "setenv" and NAME.fullmatch(text):
            yield Found(text, after.text, word.line)
        elif before.text == "mca_base_env_list":
            yield from (one for part in text.split(";") for one in pairs(word, part))
        elif (launchers := options(programs)) and (set_here := [*_by_option(before, word, after, launchers, how)]):
            yield from set_here
            if before.text == "--export" or text.startswith("--export="):
                yield from _exported(programs, word, text.removeprefix("--export="))
        elif text.startswith("--env="):
            yield from pairs(word, text.removeprefix("--env="))
        elif before.text == "--env" or ({"set", "env"} <= programs and programs & {"kubectl", "oc"} and "=" in text):
            yield from pairs(word)
        elif before.text not in ("-u", "--unset") or "env" not in programs:
            name = program(text)
            if name != "$" or programs <= TRANSPARENT | LAUNCHERS.keys():
                programs.add(name)
            # More assignments may follow these and their options.
            leading = name in TRANSPARENT - {"exec"} or (leading and (text.startswith("-") or name == "exec"))


def _options_in(word: Word, value: str, how: How) -> Iterator[Found]:
    """The variables that options of a launcher set, if the value of a variable holds them."""
    if "=" in value and how.depth < DEEPEST and KEEPS_OPTIONS.search(value):
        inside = [part._replace(line=part.line + word.line - 1) for part in words(value)]
        if inside and inside[0].text.startswith("-"):
            yield from assigned(inside, how.deeper)


def _by_option(before: Word, word: Word, after: Word, launchers: list[Launcher], how: How) -> Iterator[Found]:
    """The variables that an option of a launcher sets with this word: its value, or the option itself."""
    option, _, rest = word.text.partition("=")
    for one in launchers:
        for name, value in ((before.text, word.text), (option, rest)):
            if name in one.pair:
                yield from pairs(word, value)
            if name in one.several:
                yield from _several(word, value)
            if name in one.text and value:
                yield from _options_in(word, value, how)
        if before.text in one.two:
            yield from pairs(word) if "=" in word.text else [Found(word.text, after.text, word.line)]
        # docker run -eA=1
        if one is not ANY and word.text[:2] in one.pair and len(word.text) > 2:
            yield from pairs(word, word.text[2:])


def _several(word: Word, text: str) -> Iterator[Found]:
    # Slurm and Apptainer split at every comma, so no value contains one.
    for part in text.split(","):
        yield from pairs(word, part)


def _exported(programs: set[str], word: Word, text: str) -> Iterator[Found]:
    if "srun" in programs:
        yield Found(EXPORTED, text, word.line)
