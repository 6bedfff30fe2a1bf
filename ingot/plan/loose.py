"""Reads the environment variables that a file sets, where no grammar of the file is known here, or it is too large.

For languages of settings and for Python: `NAME = "value"`, `"NAME": "value"`, `environ["NAME"] = "value"`, and an entry
of `name` and `value`.
"""

import re
from collections.abc import Iterator

from ingot.plan.script import Found, How

COMMENT = re.compile(r"\s*(?:#|//|;|--\s)")
VALUE = r"(?P<value>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|[^\s,;)}\]\"']+)"
# What stands after a name that is set.
SET = re.compile(rf"""["']?\s*\]?[ \t]*(?:[:?+]?=|:|,|=>)[ \t]*(?:str\()?[fr]?{VALUE}""")
# What stands around a name whose value is the next entry.
NAMED = re.compile(r"""["']?\bname["']?\s*[:=]\s*["']?$""", re.IGNORECASE)
GIVEN = re.compile(rf"""["']?\s*(?:,|\n)?\s*-?\s*["']?\bvalue["']?\s*[:=][ \t]*{VALUE}""", re.IGNORECASE)
ANY_NAME = re.compile(r"\b[A-Z][A-Z0-9_]+\b")
# How far a name may be from the beginning of its line, where a comment would begin.
NEAR = 200


def loosely(text: str, first: int, how: How) -> Iterator[Found]:
    """The variables that matter and that a text sets, which begins on line `first`."""
    line, counted = first, 0
    for match in (how.wanted or ANY_NAME).finditer(text):
        line += text.count("\n", counted, match.start())
        counted = match.start()
        begin = max(text.rfind("\n", 0, counted) + 1, counted - NEAR)
        before = text[begin:counted]
        if COMMENT.match(before):
            continue
        entry = GIVEN if NAMED.search(before) else SET
        if value := entry.match(text, match.end()):
            yield Found(match[0], _bare(value["value"]), line)


def _bare(value: str) -> str | None:
    """A value without its quotes; None for an expression of the language."""
    if value[:1] in ('"', "'"):
        return value[1:-1]
    return value if re.fullmatch(r"[\w.^/:+-]+", value) and not re.fullmatch(r"[a-z_]+(?:\.\w+)+", value) else None
