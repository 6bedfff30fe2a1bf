"""Turns what `ingot-doctor --pytorch --json` said on several nodes into what differs between them.

Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# A name of its own is what makes a node one, and how much is free changes while a job runs.
OWN = {"hostname", "huge_pages_free"}


def documents(path: str) -> tuple[list[dict[str, Any]], str]:
    """The JSON documents in a file, one after the other, as `srun` writes those of its tasks, and what is wrong with
    the rest of it, empty if nothing is."""
    found: list[dict[str, Any]] = []
    try:
        text, reader, at = Path(path).read_text(encoding="utf-8-sig").strip(), json.JSONDecoder(), 0
        while at < len(text):
            document, end = reader.raw_decode(text, at)
            found.append(checked(document, path))
            at = end + len(text[end:]) - len(text[end:].lstrip())
    except (OSError, ValueError, RecursionError) as error:
        return found, str(error)
    return found, "" if found else "it is empty"


def checked(document: Any, path: str) -> dict[str, Any]:
    """A document whose shape is what is compared of it; ValueError if it is none."""
    about = document.get("pytorch") if isinstance(document, dict) else None
    facts = about.get("facts") if isinstance(about, dict) else None
    if not isinstance(facts, dict):
        raise ValueError("it is not what ingot-doctor --pytorch --json says")
    assert isinstance(document, dict) and isinstance(about, dict)
    parts = {"observed": document.get("observed") or {}, "environment": about.get("environment") or {}}
    for name, part in parts.items():
        if not isinstance(part, dict):
            raise ValueError(f"its {name} is not a mapping")
    facts = {**facts, "hostname": str(facts.get("hostname") or Path(path).name)}
    return {"observed": parts["observed"], "pytorch": {**about, "facts": facts, "environment": parts["environment"]}}


def named(all_documents: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, document) of each: the node's name, with the rank behind it where a node ran several."""
    hosts = [each["pytorch"]["facts"]["hostname"] for each in all_documents]
    for number, each in enumerate(all_documents):
        host = hosts[number]
        rank = each["pytorch"].get("rank") or number
        yield (f"{host}:{rank}" if hosts.count(host) > 1 else host), each


def differences(nodes: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, list[str]]]]:
    """(what, {value: names of nodes}) of each fact, component and variable that is not the same everywhere."""
    flat = {}
    for name, each in nodes:
        about = each["pytorch"]
        flat[name] = {
            **{fact: value for fact, value in about["facts"].items() if fact not in OWN},
            **{f"component {part}": version for part, version in each["observed"].items()},
            **{f"variable {variable}": value for variable, value in about["environment"].items()},
        }
    found = []
    for what in dict.fromkeys(key for facts in flat.values() for key in facts):
        values: dict[str, list[str]] = {}
        for name, facts in flat.items():
            value = facts.get(what)
            shown = ", ".join(map(str, value)) if isinstance(value, list) else "absent" if value is None else str(value)
            values.setdefault(shown, []).append(name)
        if len(values) > 1:
            # What most nodes have first: the others are those to look at.
            found.append((what, dict(sorted(values.items(), key=lambda pair: -len(pair[1])))))
    return found


def lines(nodes: list[tuple[str, dict[str, Any]]], found: list[tuple[str, dict[str, list[str]]]]) -> Iterator[str]:
    """What a person reads: of the value that most have the number of nodes, of the others their names."""
    if not found:
        yield f"{len(nodes)} nodes are the same."
    for what, values in found:
        yield what
        width = max(map(len, values))
        for number, (value, names) in enumerate(values.items()):
            who = f"{len(names)} nodes" if number == 0 and len(names) > 2 else ", ".join(names)
            yield f"  {value.ljust(width)}  {who}"
