"""Reads shell text: the words of its commands.

tree-sitter's grammar finds quotes, expansions, here-documents and comments, even if the rest is not valid shell.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

BASH = Language(tree_sitter_bash.language())
# Nodes that are part of one word, or of none, whatever they contain.
NESTED = {"command_substitution", "process_substitution", "heredoc_body"}
OPENING = {"string": '"', "raw_string": "'", "ansi_c_string": "$'", "translated_string": '$"'}
WHOLE = NESTED | OPENING.keys() | {"expansion", "arithmetic_expansion", "comment"}
BLOCKS = {"if_statement", "case_statement", "for_statement", "c_style_for_statement", "while_statement", "subshell"}
BLOCKS |= {"list", "function_definition", "redirected_statement", "pipeline"}
# Text between those nodes: a joined line, an escaped character, a part of a word, the end of a command, or space.
TOKEN = re.compile(
    rb"(?P<join>\\\n)|\\(?P<escaped>.)|(?P<redirect>[<>]&|&>)|(?P<end>[\n;&|()])|\s+|(?P<plain>[^\\\s;&|()<>]+|.)",
    re.DOTALL,
)
ESCAPED = re.compile(r"\\(?:\n|([$`\"\\]))")
# The parser's error recovery takes time quadratic in the length of the text.
LONGEST = 1 << 14
# Text without quotes, expansions of commands and ends of lines.
PLAIN = re.compile(r"(?:[\w ./:=,^@%+~!-]|\$\w)*")
CUT = re.compile(rb"[\s;&|()]")


class Word(NamedTuple):
    """A word of a command, without its quotes; the line on which it begins, and its byte offset in the parsed text."""

    text: str
    line: int
    at: int = 0


def encoded(text: str) -> bytes:
    return text.encode(errors="replace").replace(b"\0", b" ")


class Nodes(NamedTuple):
    """The relevant nodes of a text, in order; nodes of `nested` do not contain each other."""

    whole: list[Node]
    nested: list[Node]
    blocks: list[Node]


def nodes_of(root: Node) -> Nodes:
    nodes = Nodes([], [], [])
    cursor = root.walk()
    nested_end = 0
    while True:
        node = cursor.node
        assert node is not None
        if node.type in BLOCKS:
            nodes.blocks.append(node)
        elif node.type in WHOLE:
            nodes.whole.append(node)
            if node.type in NESTED and node.start_byte >= nested_end:
                nodes.nested.append(node)
                nested_end = node.end_byte
        if cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return nodes


def _unquoted(node: Node) -> str | None:
    """The text of a node as part of a word; None for a quote that is never closed."""
    text = (node.text or b"").decode()
    opening = OPENING.get(node.type)
    if opening is None:
        return text
    if len(text) <= len(opening) or not text.endswith(opening[-1]):
        return None
    text = text[len(opening) : -1]
    return ESCAPED.sub(r"\1", text) if opening.endswith('"') else text


def _tokens(data: bytes, nodes: Iterable[Node]) -> Iterator[tuple[str, str, int]]:
    """Kind, text and offset of all parts; the kind is a group of TOKEN, "space", or a node type."""

    def between(begin: int, end: int) -> Iterator[tuple[str, str, int]]:
        for match in TOKEN.finditer(data, begin, end):
            yield match.lastgroup or "space", match[match.lastgroup or 0].decode(errors="replace"), match.start()

    at = 0
    for node in nodes:
        if node.start_byte >= at and (text := _unquoted(node)) is not None:
            yield from between(at, node.start_byte)
            yield node.type, text, node.start_byte
            at = node.end_byte
    yield from between(at, len(data))


def _words(data: bytes, nodes: Iterable[Node], line: int) -> Iterator[Word]:
    """The words; the end of a command is a word of line 0, and comments are dropped except #SBATCH."""
    parts: list[str] = []
    began, first, counted = line, 0, 0
    for kind, text, at in _tokens(data, nodes):
        line += data.count(b"\n", counted, at)
        counted = at
        if kind == "join":
            continue
        if kind not in ("space", "end", "comment", "heredoc_body"):
            if not parts:
                began, first = line, at
            parts.append(text)
            continue
        if parts:
            yield Word("".join(parts), began, first)
            parts = []
        if kind == "end":
            yield Word(text, 0)
        elif text.startswith("#SBATCH") and data[max(at - 1, 0) : at] in (b"", b"\n"):
            yield from (Word("sbatch", line), *words(text.removeprefix("#SBATCH"), line))
    if parts:
        yield Word("".join(parts), began, first)


def words(text: str, line: int = 1) -> list[Word]:
    """The words of one command."""
    if PLAIN.fullmatch(text):
        return [Word(word, line) for word in text.split()]
    data = encoded(text)
    whole = nodes_of(parsed(data)).whole
    return [word for word in _words(data, whole, line) if word.line]


def commands(data: bytes, nodes: Nodes, line: int) -> Iterator[list[Word]]:
    """The words of each command of a text that begins on `line`."""
    command: list[Word] = []
    for word in _words(data, nodes.whole, line):
        if word.line:
            command.append(word)
        elif command:
            yield command
            command = []
    if command:
        yield command


def parsed(data: bytes) -> Node:
    return Parser(BASH).parse(data).root_node


def pieces(data: bytes) -> Iterator[bytes]:
    """A text in pieces of about LONGEST bytes, cut between commands where possible."""
    begin = 0
    while len(data) - begin > LONGEST:
        end = data.rfind(b"\n", begin, begin + LONGEST) + 1
        if not end:
            cut = CUT.search(data, begin + LONGEST)
            end = cut.end() if cut else len(data)
        piece = data[begin:end]
        if end < len(data):
            root = parsed(piece)
            # The rest of an incomplete command, or of the last one, may follow in the next piece.
            parts = (node for node in root.children if node.has_error or not (node.is_named or node.type in "\n;;&"))
            last = next(
                (node for node in parts if node.start_byte > len(piece) // 8),
                root.children[-1] if root.children else root,
            )
            piece = piece[: piece.rfind(b"\n", 0, last.start_byte) + 1] or piece
        yield piece
        begin += len(piece)
    yield data[begin:]
