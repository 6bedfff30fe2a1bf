"""Reads the environment variables that a job's files set, with file and line, and says where nothing was understood.

A file is a shell script, a Dockerfile, YAML or JSON of any kind, a systemd unit, or settings line by line: by its name,
else by its first line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ingot.errors import IngotError
from ingot.plan.devices import Request, of_nodes, of_script
from ingot.plan.dockerfile import dockerfile
from ingot.plan.loose import loosely
from ingot.plan.script import EXPORTED, Found, How, pairs, script
from ingot.plan.shell import words
from ingot.plan.structured import nodes_of, structured
from ingot.textfile import read_text

DOCKERFILE = re.compile(r"(?:^|.*[._-])(?:docker|container)file(?:[._-].*)?", re.IGNORECASE)
# What a template's name ends in: job.yaml.j2, job.yaml-template.
TEMPLATE = re.compile(
    r"(?:[._-](?:templ(?:ate)?|tmpl|tpl|j2|jinja2?|in|dist|example|sample|gotmpl|erb|envsubst|bak|orig|txt))+$", re.I
)
STRUCTURED = {"yaml", "yml", "json", "jsonc", "json5"}
SCRIPTS = {"sh", "bash", "zsh", "ksh", "sbatch", "slurm", "job", "env", "csh", "pbs", "lsf"}
LOOSE = {"py", "toml", "tf", "tfvars", "hcl", "ini", "cfg", "conf", "properties", "mk", "lua", "nomad", "jsonnet"}
LOOSE |= {"libsonnet", "js", "ts", "go", "rs", "rb", "xml", "groovy", "ipynb", "service", "cue", "nix", "r", "jl"}
SHEBANG = re.compile(r"#!\s*\S*?(?:env\s+(?:-\S+\s+)*)?(\w+)[\d.]*\s*(?:\s.*)?$")
UNIT = re.compile(r"^\[(?:Service|Manager)\]\s*$", re.MULTILINE)
# The first line that is neither empty nor a comment, of YAML and of a Dockerfile.
KEY = re.compile(r"(?:-\s+)?[\"']?[\w./-]+[\"']?\s*:(?:\s|$)|-\s+\w")
FROM = re.compile(r"(?:FROM|ARG)\s+\S", re.IGNORECASE)
# A here-document with a manifest.
MANIFEST = re.compile(
    r"<<-?[ \t]*[\"']?(\w+)[\"']?[^\n]*\n((?:---\n|#[^\n]*\n)*apiVersion:.{0,100000}?)\n[ \t]*\1$",
    re.DOTALL | re.MULTILINE,
)
# What a name is followed by where something sets it.
SETS = re.compile(r"[\"'\])]*\s*(?:[:?+]?=|:|,)")
COMMENT = re.compile(r"\s*(?:#|//)|.*\s#\s")


@dataclass(frozen=True)
class Setting:
    """A variable that is set; `value` is None if only the running job knows it."""

    name: str
    value: str | None
    place: str


@dataclass(frozen=True)
class JobFile:
    """What a file sets, in order; `unclear` is the first place that names a variable where nothing was understood."""

    path: Path
    text: str
    kind: str
    settings: list[Setting] = field(default_factory=list)
    unclear: tuple[str, str] | None = None


def settings(path: Path) -> list[Setting]:
    """The variables that the file sets, in order; IngotError if it is unreadable."""
    return job_file(path).settings


def job_file(path: Path, wanted: re.Pattern[str] | None = None) -> JobFile:
    """What the file sets of the variables that matter: those whose names `wanted` finds, or all.

    IngotError if it is unreadable, or YAML or JSON that is not valid.
    """
    text = read_text(path)
    kind = kind_of(path.name, text)
    try:
        found = [*_of_kind(kind, text, 1, How(wanted=wanted, embedded=partial(_embedded, path)), path)]
    except RecursionError:
        raise IngotError("cannot be read: nested too deeply", place=str(path)) from None
    set_here = [one for one in found if one.sets]
    variables = [
        Setting(one.name, one.value, f"{path}:{one.line}")
        for one in sorted(dict.fromkeys(set_here), key=lambda one: one.line)
        if not wanted or wanted.search(one.name)
    ]
    silent = all(one.name == EXPORTED for one in variables)
    unclear = _unclear(kind, text, wanted, {one.line for one in found}) if wanted and silent else None
    return JobFile(path, text, kind, variables, unclear and (unclear[0], f"{path}:{unclear[1]}"))


def kind_of(name: str, text: str) -> str:
    """`dockerfile`, `structured`, `unit`, `loose`, `script`, or `text`, which may have commands in it."""
    name = TEMPLATE.sub("", name)
    suffix = name.rpartition(".")[2].lower() if "." in name else ""
    if suffix in STRUCTURED:
        return "structured"
    if DOCKERFILE.fullmatch(name) and suffix not in SCRIPTS:
        return "dockerfile"
    if suffix in SCRIPTS:
        return "script"
    if UNIT.search(text):
        return "unit"
    if suffix in LOOSE or name.lower() in ("makefile", "gnumakefile"):
        return "loose"
    kind = _kind_within(text)
    return "text" if kind == "script" and suffix and not SHEBANG.match(text.partition("\n")[0]) else kind


def _kind_within(text: str) -> str:
    """The kind of a text without a name, by its first lines."""
    if match := SHEBANG.match(text.partition("\n")[0]):
        return "loose" if match[1].startswith("python") else "script"
    lines = (line.strip() for line in text.split("\n", 200)[:200])
    lines = (line for line in lines if line and not line.startswith(("#", "---", "{{", "{%", "//")))
    first, second = next(lines, ""), next(lines, "")
    if FROM.match(first) and (first[:4].upper() == "FROM" or FROM.match(second)):
        return "dockerfile"
    if KEY.match(first) or (first[:1] in ("{", "[") and (first[1:2] in ('"', "{", "[") or second[:1] in ('"', "{"))):
        return "structured"
    return "unit" if UNIT.search(text) else "script"


def requests(file: JobFile) -> list[Request]:
    """What asks for no EFA devices in a file: pods, jobs of AWS Batch, `docker run`."""
    if file.kind == "structured":
        return list(of_nodes(nodes_of(file.text, file.path)))
    found = list(of_script(file.text)) if file.kind in ("script", "text", "loose") else []
    for match in MANIFEST.finditer(file.text) if file.kind == "script" else ():
        line = file.text.count("\n", 0, match.start(2)) + 1
        found += of_nodes(nodes_of(match[2], file.path), line)
    return found


def _of_kind(kind: str, text: str, line: int, how: How, path: Path) -> Iterator[Found]:
    if kind == "structured":
        return structured(text, path, line, how)
    reader = {"dockerfile": dockerfile, "unit": _unit, "loose": loosely}.get(kind, script)
    return reader(text, line, how)


def _embedded(path: Path, text: str, line: int, how: How) -> Iterator[Found]:
    """The variables of a text inside another one: a here-document, a block of YAML; what is not valid is a script."""
    kind = _kind_within(text)
    if not how.reads(text):
        return
    try:
        found = [*_of_kind(kind, text, line, how, path)]
    except IngotError:
        found = [*loosely(text, line, how)] if kind == "structured" else []
    yield from found


def _unit(text: str, first: int, how: How) -> Iterator[Found]:
    """The variables of a systemd unit, in which a backslash joins lines."""
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        begin, joined = at, [lines[at]]
        while joined[-1].endswith("\\") and at + 1 < len(lines):
            at += 1
            joined.append(lines[at])
        at += 1
        key, _, value = "\n".join(joined).partition("=")
        if key.strip() in ("Environment", "DefaultEnvironment") and how.reads(value):
            yield from (one for word in words(value, first + begin) for one in pairs(word))
        elif key.strip().startswith("Exec"):
            yield from script(value.strip().lstrip("@-:+!"), first + begin, how.deeper)


def _unclear(kind: str, text: str, wanted: re.Pattern[str], understood: set[int]) -> tuple[str, int] | None:
    """The first variable that matters and is named where nothing was understood, and its line."""
    for match in wanted.finditer(text):
        begin = text.rfind("\n", 0, match.start()) + 1
        before, after = text[begin : match.start()], text[match.end() : match.end() + 40]
        if not match[0].isidentifier() or before.endswith(("$", "${", "{")) or COMMENT.match(before):
            continue
        # A script that names a variable without a value reads it or passes it on.
        if kind in ("script", "dockerfile") and not SETS.match(after):
            continue
        line = text.count("\n", 0, match.start()) + 1
        if line not in understood:
            return match[0], line
    return None
