"""Reads `advisories/*.yml`, and says which versions a lock must not take; loads the engine that judges versions."""

import functools
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from ingot import paths
from ingot.catalog.catalog import Catalog
from ingot.errors import IngotError, UsageError
from ingot.model.advisory import Advisories, Advisory
from ingot.model.stack import Acceptance, Stack
from ingot.yamlfile import closest, load, nearest, place

FOLDER = "advisories"
Plain = dict[str, Any]


@functools.cache
def engine() -> Any:
    """The module that judges versions."""
    return paths.collection_module("advisory_rules")


def files_of(folders: Iterable[Path]) -> list[Path]:
    """The files of advisories in the folders of a catalog."""
    return [file for folder in folders for file in sorted((folder / FOLDER).glob("*.yml"))]


def read_advisories(files: Iterable[Path], components: Collection[str]) -> list[Advisories]:
    """The files of advisories, checked; IngotError with file and line at the first problem.

    A later file, such as a team's own, replaces an advisory of an earlier one about the same with the same id.
    """
    merged: dict[tuple[str, str, str], tuple[Advisories, dict[str, Advisory]]] = {}
    for path in files:
        file = load(path, Advisories)
        _check(path, file, components)
        key = (file.component, file.python, file.fact)
        below = merged[key][1] if key in merged else {}
        merged[key] = (file, below | {advisory.id: advisory for advisory in file.advisories})
    return [file.model_copy(update={"advisories": [*table.values()]}) for file, table in merged.values()]


def _check(path: Path, file: Advisories, components: Collection[str]) -> None:
    about = file.fact or file.component or file.python
    if path.stem != about:
        key = "fact" if file.fact else "component" if file.component else "python"
        raise IngotError(
            f"the file is about {about!r}", place=place(path, key), hint=f"name it {about}.yml, or write {path.stem!r}"
        )
    if file.component and file.component not in components:
        hint = nearest(file.component, components)
        raise UsageError(f"unknown component {file.component!r}", place=place(path, "component"), hint=hint)
    if file.python and file.python != engine().python_name(file.python):
        hint = f"write {engine().python_name(file.python)!r}, as the package index does"
        raise IngotError(f"not a normal name: {file.python!r}", place=place(path, "python"), hint=hint)
    seen: set[str] = set()
    for number, advisory in enumerate(file.advisories):
        if advisory.id in seen:
            at = place(path, "advisories", number, "id")
            raise IngotError(f"duplicate advisory {advisory.id!r}", place=at, hint="merge the two")
        seen.add(advisory.id)


def plain(files: Iterable[Advisories]) -> list[Plain]:
    """The files in the engine's format."""
    return [file.model_dump(mode="json", exclude={"advisories": {"__all__": {"checked"}}}) for file in files]


def known(files: Iterable[Advisories]) -> set[str]:
    """The names that a stack can accept: advisories and bulletins."""
    return {name for file in files for advisory in file.advisories for name in (advisory.id, advisory.bulletin) if name}


def check_accepted(stack: Stack, file: Path, names: Collection[str]) -> None:
    """UsageError if a stack accepts what is neither an advisory nor a bulletin."""
    for name in stack.accepts:
        if name not in names:
            at = place(file, "accepts", name)
            raise UsageError(
                f"unknown advisory {name!r}",
                place=at,
                hint=f"did you mean {closest(name, names)!r}? catalog/{FOLDER} has them all",
            )


def accepts(stack: Stack) -> dict[str, dict[str, str]]:
    """What a stack accepts, in the engine's format."""
    return {name: {"why": entry.why, "until": entry.until.isoformat()} for name, entry in stack.accepts.items()}


def everything(catalog: Catalog) -> Plain:
    """All advisories and what the stacks accept, for machines."""
    stacks = {name: accepted for name, stack in catalog.stacks.items() if (accepted := accepts(stack))}
    return {"files": plain(catalog.advisories), "accepts": stacks}


def today() -> date:
    """The day by which ends are judged."""
    return date.today()


def lapsed(stack: Stack) -> dict[str, Acceptance]:
    """What a stack has accepted until a day that has passed."""
    return {name: entry for name, entry in stack.accepts.items() if entry.until < today()}


def require_current(catalog: Catalog, stack: Stack) -> None:
    """IngotError that names the first acceptance of the stack whose end has passed."""
    for name, entry in lapsed(stack).items():
        file = next(
            catalog.files[f"stacks/{written}"]
            for written in _line(catalog, stack.stack)
            if name in load(catalog.files[f"stacks/{written}"], Stack).accepts
        )
        raise IngotError(
            f"stack {stack.stack} accepts {name} until {entry.until}, which has passed",
            place=place(file, "accepts", name),
            hint="take a fixed version, or review the reason and set a new end",
        )


def _line(catalog: Catalog, name: str) -> list[str]:
    """A stack and those that it extends, nearest first."""
    names = [name]
    while other := catalog.stacks[names[-1]].extends:
        names.append(other)
    return names


def deciding(files: Iterable[Advisories], component: str) -> list[Advisories]:
    """The advisories about a component that the resolver obeys."""
    results = []
    for file in files:
        severe = [advisory for advisory in file.advisories if advisory.severity in engine().REFUSED]
        if file.component == component and severe:
            results.append(file.model_copy(update={"advisories": severe}))
    return results


def refusals(files: Mapping[str, Iterable[Plain]], thing: Plain) -> list[Plain]:
    """The open findings by which the resolver refuses a version, worst first."""
    found: list[Plain] = engine().judge(files.get(thing["name"], ()), [thing], {}, today().isoformat())
    return [finding for finding in found if finding["state"] == "open"]
