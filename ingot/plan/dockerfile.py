"""Reads which environment variables a Dockerfile sets in the image that it builds."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from ingot.plan.script import ALL, Found, How, assigned, pairs, script
from ingot.plan.shell import Word, words

FROM = re.compile(r"\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
NAMED = re.compile(r"\s*(ARG|ENV)\s+", re.IGNORECASE)
STARTS = re.compile(r"\s*(?:CMD|ENTRYPOINT)\s+", re.IGNORECASE)
RUNS = re.compile(r"\s*RUN\s", re.IGNORECASE)
VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::?-([^}]*))?[^}]*\})")
# https://docs.docker.com/reference/dockerfile/#here-documents
TAKES_HEREDOCS = re.compile(r"\s*(?:RUN|COPY|ADD)\s", re.IGNORECASE)
HEREDOC = re.compile(r"(?<!<)<<-?([\"']?)(\w+)\1")


@dataclass
class _Stage:
    """The variables that a stage sets, and the earlier stages that it may be based on."""

    below: list[int]
    found: list[Found] = field(default_factory=list)


def dockerfile(text: str, first: int = 1, how: How = ALL) -> Iterator[Found]:
    """The variables that ENV, CMD and ENTRYPOINT set in the last stage and in the stages that it is based on."""
    stages = [_Stage([])]
    numbers: dict[str, int] = {}
    defaults: dict[str, str] = {}
    understood: list[int] = []
    for parts, number in _instructions(text):
        line = number + first - 1
        if match := FROM.match(" ".join(part.removesuffix("\\") for part in parts)):
            stages.append(_Stage(_below(match[1].strip("\"'"), numbers, defaults)))
            if match[2]:
                numbers[match[2].lower()] = len(stages) - 1
        elif match := NAMED.match(parts[0]):
            whole = "\n".join([parts[0][match.end() :], *parts[1:]])
            if match[1].upper() == "ENV":
                stages[-1].found += _env(words(whole, line)) if how.reads(whole) else []
            else:
                arguments = words(whole, line)
                defaults |= {one.name: one.value for word in arguments for one in pairs(word) if one.value}
        elif match := STARTS.match(parts[0]):
            stages[-1].found += _started("\n".join([parts[0][match.end() :], *parts[1:]]), line, how)
        elif how.wanted and RUNS.match(parts[0]) and not any(">" in part or "tee" in part for part in parts):
            # What a step of the build exports ends with it.
            understood += range(line, line + len(parts))
    waiting, kept = [len(stages) - 1], set[int]()
    while waiting:
        if (number := waiting.pop()) not in kept:
            kept.add(number)
            waiting += stages[number].below
            yield from stages[number].found
    for number, stage in enumerate(stages):
        if how.wanted and number not in kept:
            understood += (one.line for one in stage.found)
    yield from (Found("", None, line, sets=False) for line in understood)


def _started(text: str, line: int, how: How) -> Iterator[Found]:
    """The variables that CMD or ENTRYPOINT sets: a list of words, or text of a shell."""
    if not how.reads(text):
        return
    try:
        listed = json.loads(text.replace("\\\n", " "))
    except (ValueError, RecursionError):
        listed = None
    if isinstance(listed, list):
        yield from assigned([Word(word, line) for word in listed if isinstance(word, str)], how)
    else:
        yield from script(text, line, how)


def _below(image: str, numbers: dict[str, int], defaults: dict[str, str]) -> list[int]:
    """The stages that `FROM image` may mean: several if part of the name is an argument without default."""
    image = VARIABLE.sub(lambda name: name[3] or defaults.get(name[1] or name[2], "*"), image).lower()
    if "*" not in image:
        return [numbers[image]] if image in numbers else []
    return [number for name, number in numbers.items() if image.strip("*") and fnmatchcase(name, image)]


def _env(arguments: list[Word]) -> Iterator[Found]:
    """The variables of the new form (A=B C=D) or the old one (A B)."""
    if arguments and "=" in arguments[0].text:
        for word in arguments:
            yield from pairs(word)
    elif len(arguments) > 1:
        yield Found(arguments[0].text, " ".join(word.text for word in arguments[1:]), arguments[0].line)


def _instructions(text: str) -> Iterator[tuple[list[str], int]]:
    """The lines of each instruction and the number of its first line; here-documents are skipped."""
    lines = text.splitlines()
    ends: dict[str, list[int]] = {}
    for number in range(len(lines) - 1, -1, -1):
        ends.setdefault(lines[number].strip(), []).append(number)
    at = 0
    while at < len(lines):
        start, parts = at, [lines[at].rstrip()]
        while at + 1 < len(lines) and (parts[-1].endswith("\\") or (len(parts) > 1 and not parts[-1])):
            at += 1
            # Docker drops comments and empty lines inside an instruction; keep the line for the count.
            comment = not lines[at].strip() or lines[at].lstrip().startswith("#")
            parts.append("\\" if comment else lines[at].rstrip())
        at += 1
        yield parts, start + 1
        if TAKES_HEREDOCS.match(parts[0]):
            for _, word in HEREDOC.findall("\n".join(parts)):
                markers = ends.get(word, [])
                while markers and markers[-1] < at:
                    markers.pop()
                at = markers[-1] + 1 if markers else at
