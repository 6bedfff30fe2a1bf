"""Markdown: conversion of Ansible's markup (`C(...)`, `O(...)` …), tables, wrapped paragraphs.

The markup is that of https://docs.ansible.com/ansible/latest/dev_guide/ansible_markup.html.
"""

import re
import textwrap
from collections.abc import Iterable, Sequence

from antsibull_docs_parser import dom
from antsibull_docs_parser.format import Formatter, LinkProvider, format_paragraphs
from antsibull_docs_parser.parser import Context, parse

from ingot.errors import IngotError

COLLECTION = "ingot.ml"
WIDTH = 120
# Code and links, which are not broken across lines.
WHOLE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)|\[[^\]]*\]\([^)]*\)")
# Text that would start a list, a heading or a quotation at the start of a line.
MARKER = re.compile(r" (?=(?:[-+*>]|#+|\d+[.)])(?: |$))")
JOINED = "\0"


def escape(text: str) -> str:
    """Plain text with Markdown's special characters escaped."""
    return re.sub(r"([\\`*<\[\]])|(?<!\w)_|_(?!\w)", lambda match: f"\\{match[0]}", text)


def code(text: str) -> str:
    """Text as code; may contain backticks."""
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


class _Markdown(Formatter):
    """Formats each kind of markup as Markdown."""

    def format_error(self, part: dom.ErrorPart) -> str:
        raise ValueError(part.message)

    def format_text(self, part: dom.TextPart) -> str:
        return escape(part.text)

    def format_bold(self, part: dom.BoldPart) -> str:
        return f"**{escape(part.text)}**"

    def format_italic(self, part: dom.ItalicPart) -> str:
        return f"*{escape(part.text)}*"

    def format_code(self, part: dom.CodePart) -> str:
        return code(part.text)

    def format_horizontal_line(self, part: dom.HorizontalLinePart) -> str:
        return "\n\n---\n\n"

    def format_link(self, part: dom.LinkPart) -> str:
        return f"[{escape(part.text)}]({part.url})"

    def format_url(self, part: dom.URLPart) -> str:
        return f"<{part.url}>"

    def format_rst_ref(self, part: dom.RSTRefPart) -> str:
        return escape(part.text)

    def format_env_variable(self, part: dom.EnvVariablePart) -> str:
        return code(part.name)

    def format_option_value(self, part: dom.OptionValuePart) -> str:
        return code(part.value)

    def format_module(self, part: dom.ModulePart, url: str | None) -> str:
        return _linked(code(part.fqcn), url)

    def format_plugin(self, part: dom.PluginPart, url: str | None) -> str:
        return _linked(code(part.plugin.fqcn), url)

    def format_option_name(self, part: dom.OptionNamePart, url: str | None) -> str:
        return _linked(code(part.name if part.value is None else f"{part.name}={part.value}"), url)

    def format_return_value(self, part: dom.ReturnValuePart, url: str | None) -> str:
        return _linked(code(part.name if part.value is None else f"{part.name}={part.value}"), url)


class _Roles(LinkProvider):
    """Links from a role's README to the READMEs of other roles of the collection."""

    def __init__(self, role: str) -> None:
        self.role = role

    def plugin_link(self, plugin: dom.PluginIdentifier) -> str | None:
        collection, _, name = plugin.fqcn.rpartition(".")
        ours = plugin.type == "role" and collection == COLLECTION and name != self.role
        return f"../{name}/README.md" if ours else None

    def plugin_option_like_link(
        self, plugin: dom.PluginIdentifier, entrypoint: str | None, what: str, name: list[str], current_plugin: bool
    ) -> str | None:
        return None if current_plugin else self.plugin_link(plugin)


def _linked(text: str, url: str | None) -> str:
    return f"[{text}]({url})" if url else text


def render(text: str | Sequence[str], role: str = "", entry: str = "main") -> list[str]:
    """The paragraphs of a description as Markdown, one line each; IngotError if the markup is invalid.

    `role` and `entry` are the role and entry point of the description.
    """
    plugin = dom.PluginIdentifier(f"{COLLECTION}.{role}", "role") if role else None
    context = Context(plugin, entry if role else None)
    try:
        paragraphs = [text] if isinstance(text, str) else text
        parts = parse([" ".join(paragraph.split()) for paragraph in paragraphs], context)
        return [
            format_paragraphs([part], formatter=_Markdown(), link_provider=_Roles(role), current_plugin=plugin)
            for part in parts
        ]
    except ValueError as error:
        raise IngotError(f"invalid markup in a description: {error}", place=f"roles/{role}") from None


def wrapped(text: str, indent: str = "") -> str:
    """Markdown text wrapped at 120 characters, with `indent` before every line but the first."""
    joined = WHOLE.sub(lambda match: match[0].replace(" ", JOINED), text)
    lines = textwrap.wrap(
        MARKER.sub(JOINED, joined), WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines).replace(JOINED, " ")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a `|` in a cell is escaped, also in code, as GitHub requires."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    lines += [f"| {' | '.join(cell.strip().replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines)
