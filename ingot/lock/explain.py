"""Explains why no set of versions fits, and which change would make one fit."""

from collections.abc import Sequence

from resolvelib import ResolutionImpossible

from ingot.catalog.rules import Need
from ingot.errors import IngotError
from ingot.lock.world import World, solve

# How many versions of a component an explanation lists.
LISTED = 6


def _fits(world: World, wishes: Sequence[Need]) -> bool:
    """Whether there is a solution."""
    try:
        solve(world, wishes)
    except ResolutionImpossible:
        return False
    return True


def _core(world: World, wishes: Sequence[Need]) -> tuple[World, list[Need], list[str]]:
    """The smallest part of an impossible world that is still impossible: its components, wishes and rules.

    A failed search can stop anywhere; only the parts that cannot be removed explain the failure.
    """
    wished = {wish.component for wish in wishes if wish.spec != "*" or wish.facts}
    for name in sorted(world.candidates, key=lambda name: name in wished):
        smaller = world.without(name)
        world = world if _fits(smaller, wishes) else smaller
    needed = [wish for wish in wishes if wish.component in world.candidates]
    for wish in list(needed):
        rest = [other for other in needed if other is not wish]
        needed = needed if _fits(world, rest) else rest
    accepted, rules = list(world.accepted), []
    for rule in [rule.id for name in world.candidates for rule in world.components[name].rules]:
        if _fits(world.accepting([*accepted, rule]), needed):
            rules.append(rule)
        else:
            accepted.append(rule)
    return world.accepting(accepted), needed, rules


def explained(world: World, wishes: Sequence[Need]) -> IngotError:
    """The failure as an error: the conflicting needs, the available versions, and the nearest change that fits."""
    core, needed, rules = _core(world, wishes)
    lines = [str(wish) for wish in needed if wish.spec != "*" or wish.facts]
    listed_rules: set[str] = set()
    for name in core.candidates:
        lines += _useless(core, name, [wish for wish in needed if wish.component == name])
        for candidate in core.of(name):
            if all(wish.allows(candidate) for wish in needed if wish.component == name):
                lines += [str(need) for need in core.needs(candidate) if need.rule not in listed_rules]
                listed_rules |= {need.rule for need in core.needs(candidate)}
    for name in core.candidates:
        texts = list(dict.fromkeys(candidate.text or "an unknown version" for candidate in core.of(name)))
        more = f" and {len(texts) - LISTED} more" if len(texts) > LISTED else ""
        lines.append(f"{name} is available as {', '.join(texts[:LISTED]) or 'nothing'}{more}")
    accept = f"; or accept {', '.join(rules)} in the stack, with a reason" if rules else ""
    if faults := _faults(core, needed):
        accept += f"; or accept {', '.join(faults)} under `accepts` in the stack, with a reason and an end"
    hint = _nearest(world, wishes, needed) + accept
    return IngotError("no set of versions fits:\n  " + "\n  ".join(lines), hint=hint)


def _useless(core: World, name: str, wishes: Sequence[Need]) -> list[str]:
    """Why versions cannot be taken: all that a rule forbids, and of those that an advisory refuses, the wished ones."""
    told = [
        core.useless(candidate)
        for candidate in core.candidates[name]
        if core.forbids(candidate) or all(wish.allows(candidate) for wish in wishes)
    ]
    return [*dict.fromkeys(filter(None, told))][:LISTED]


def _faults(core: World, needed: Sequence[Need]) -> list[str]:
    """The advisories, or their bulletins, without which the wishes would fit; none if they are not the reason."""
    faults = [
        fault
        for name in core.candidates
        for candidate in core.candidates[name]
        if all(wish.allows(candidate) for wish in needed if wish.component == name)
        for fault in core.faults(candidate)
    ]
    names = list(dict.fromkeys(fault["bulletin"] or fault["id"] for fault in faults))
    return names if names and _fits(core.accepting([*core.accepted, *names]), needed) else []


def _nearest(world: World, wishes: Sequence[Need], needed: Sequence[Need]) -> str:
    """A change to one of the conflicting wishes that makes the others fit."""
    for wish in needed:
        if wish.spec == "*" and not wish.facts:
            continue
        try:
            chosen = solve(world, [other for other in wishes if other is not wish])[wish.component]
        except ResolutionImpossible:
            continue
        facts = "".join(f" with {name}={chosen.facts[name]}" for name in wish.facts if name in chosen.facts)
        wished = wish.spec if wish.spec != "*" else " and ".join(f"{n}={v}" for n, v in wish.facts.items())
        return f"{chosen}{facts} would fit instead of {wished} ({wish.reason})"
    return "widen several of these pins, or leave a component out"
