"""The resolver takes the newest versions that satisfy every pin and rule, or explains why none do."""

import itertools
from collections.abc import Iterable
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from ingot.catalog.rules import Context, Need
from ingot.errors import IngotError
from ingot.lock.resolve import rejections, resolve
from ingot.lock.world import Candidate, World
from ingot.model.component import AptOffer, Component, Offer
from ingot.model.rule import Example, Examples, Rule
from ingot.model.types import Facts

DAY = date(2026, 11, 24)
OFFER = Offer(os=["x"], apt=AptOffer(version_of="p", packages=["p"]), source="test", checked=DAY)
EXAMPLES = Examples(finds=[Example(versions={})], passes=[Example(versions={})])


def component(name: str, *rules: Rule) -> Component:
    return Component(component=name, summary=name, offers=[OFFER], rules=list(rules))


def rule(id: str, when: str = "*", **kwargs: Any) -> Rule:
    return Rule(id=id, when=when, reason="so it is", source="test", checked=DAY, examples=EXAMPLES, **kwargs)


def version(name: str, text: str, facts: Facts | None = None) -> Candidate:
    return Candidate(name, Version(text) if text else None, text, facts or {}, text, OFFER)


def versions(name: str, *texts: str) -> list[Candidate]:
    return [version(name, text) for text in texts]


COMPONENTS = {
    "kernel": component("kernel"),
    "driver": component("driver", rule("no-new-kernel", ">=550,<551", refuses={"kernel": ">=6.12.107"})),
    "cuda": component("cuda", rule("floor", ">=13", requires={"driver": ">=580"})),
}
CANDIDATES = {
    "kernel": versions("kernel", "6.12.117", "6.12.90"),
    "driver": versions("driver", "550.163.01", "535.274.02"),
    "cuda": versions("cuda", "13.0", "12.4"),
}
WORLD = World(CANDIDATES, COMPONENTS, Context())
WISHES = [Need(name, "*", "stack: any") for name in CANDIDATES]


def texts(chosen: dict[str, Candidate]) -> dict[str, str]:
    return {name: candidate.text for name, candidate in chosen.items()}


def test_an_older_driver_is_taken_when_the_newest_does_not_fit_the_kernel() -> None:
    assert texts(resolve(WORLD, WISHES)) == {"kernel": "6.12.117", "driver": "535.274.02", "cuda": "12.4"}


def test_what_was_newer_is_kept_with_the_rule_that_refused_it() -> None:
    refused = rejections(resolve(WORLD, WISHES), WORLD, WISHES)
    assert refused["driver"][0].candidate.text == "550.163.01"
    assert "[no-new-kernel]" in refused["driver"][0].need
    assert "it is 6.12.117" in refused["driver"][0].need
    assert "[floor]" in refused["cuda"][0].need
    assert "kernel" not in refused


def test_an_impossible_wish_is_explained_by_pin_and_rule_with_the_nearest_change() -> None:
    with pytest.raises(IngotError) as caught:
        resolve(WORLD, [*WISHES, Need("cuda", ">=13", "stack: because")])
    assert caught.value.message.splitlines() == [
        "no set of versions fits:",
        "  cuda must be >=13 (stack: because)",
        "  driver must be >=580 (cuda 13.0: so it is [floor])",
        "  driver is available as 550.163.01, 535.274.02",
        "  cuda is available as 13.0, 12.4",
    ]
    change, accept = caught.value.hint.split("; ")
    assert change == "cuda 12.4 would fit instead of >=13 (stack: because)"
    assert accept == "or accept floor in the stack, with a reason"


def test_a_rule_about_a_component_that_is_left_out_asks_nothing() -> None:
    world = World({"cuda": CANDIDATES["cuda"]}, COMPONENTS, Context())
    assert texts(resolve(world, [Need("cuda", "*", "any")])) == {"cuda": "13.0"}


def test_a_rule_holds_only_where_it_says() -> None:
    components = {"cuda": component("cuda", rule("volta", ">=13", forbidden=True, where={"generation": ["volta"]}))}
    found = {
        generation: texts(resolve(World({"cuda": CANDIDATES["cuda"]}, components, Context(generation=generation)), []))
        for generation in ("volta", "hopper", "")
    }
    assert found == {"volta": {"cuda": "12.4"}, "hopper": {"cuda": "13.0"}, "": {"cuda": "13.0"}}


def test_what_a_rule_forbids_everywhere_is_explained_by_the_rule() -> None:
    world = World({"cuda": CANDIDATES["cuda"]}, {"cuda": component("cuda", rule("gone", forbidden=True))}, Context())
    with pytest.raises(IngotError, match=r"(?s)cuda 13\.0 cannot be: so it is \[gone\].*is available as nothing"):
        resolve(world, [Need("cuda", "*", "any")])


def test_an_accepted_rule_asks_nothing() -> None:
    world = World(CANDIDATES, COMPONENTS, Context(), ["no-new-kernel"])
    assert texts(resolve(world, WISHES))["driver"] == "550.163.01"


def test_a_wish_for_a_fact_chooses_among_offers_of_one_version() -> None:
    driver = [version("driver", "580", {"module": flavour}) for flavour in ("open", "closed")]
    world = World({"driver": driver}, COMPONENTS, Context())
    assert resolve(world, [Need("driver", "*", "any")])["driver"].facts == {"module": "open"}
    closed = Need("driver", "*", "--set", facts={"module": "closed"})
    assert resolve(world, [closed])["driver"].facts == {"module": "closed"}
    with pytest.raises(IngotError, match="driver must be module=open") as caught:
        resolve(world, [closed, Need("driver", "*", "the GPU", facts={"module": "open"})])
    assert "would fit instead of" in caught.value.hint


def test_the_same_version_can_be_asked_for() -> None:
    components = {
        "driver": component("driver"),
        "manager": component("manager", rule("same", requires={"driver": "=={version}"})),
    }
    world = World(
        {"driver": versions("driver", "595", "580", "570"), "manager": versions("manager", "580", "570")},
        components,
        Context(),
    )
    assert texts(resolve(world, [])) == {"driver": "580", "manager": "580"}


def test_nothing_is_held_against_a_version_that_nobody_knows() -> None:
    world = World({"driver": [version("driver", "")], "cuda": CANDIDATES["cuda"]}, COMPONENTS, Context())
    assert texts(resolve(world, [])) == {"driver": "", "cuda": "13.0"}


NAMES = ["a", "b", "c"]
SPECS = st.sampled_from([">=2", "<2", "==1", ">=3", "*", "!=2"])
Worlds = tuple[World, list[Need]]


@st.composite
def worlds(draw: st.DrawFn) -> Worlds:
    candidates = {
        name: [
            version(name, str(number), {"kind": kind})
            for number in range(draw(st.integers(1, 3)), 0, -1)
            for kind in draw(st.sampled_from([["x"], ["x", "y"]]))
        ]
        for name in NAMES
    }
    components = {}
    for name in NAMES:
        rules = []
        for number in range(draw(st.integers(0, 2))):
            what: dict[str, Any] = {"forbidden": True}
            if draw(st.booleans()):
                key = draw(st.sampled_from(["requires", "refuses"]))
                other = draw(st.sampled_from([other for other in NAMES if other != name]))
                what = {key: {other: draw(st.one_of(SPECS, st.just("=={version}")))}}
            about = {"facts": draw(st.sampled_from([{}, {"kind": "x"}, {"kind": "y"}]))}
            where = {"where": draw(st.sampled_from([{}, {"arch": ["x86_64"]}, {"arch": ["aarch64"]}]))}
            severity = {"severity": draw(st.sampled_from(["error", "warning"]))}
            rules.append(rule(f"{name}{number}", draw(SPECS), **what, **about, **where, **severity))
        components[name] = component(name, *rules)
    accepted = draw(st.sampled_from([[], ["a0"], ["b1"]]))
    wishes = [
        Need(name, draw(SPECS), "wish", facts=draw(st.sampled_from([{}, {"kind": "x"}, {"kind": "y"}])))
        for name in NAMES
    ]
    return World(candidates, components, Context(arch="x86_64"), accepted), wishes


def inside(spec: str, version: Version | None) -> bool:
    assert version is not None
    return spec == "*" or version in SpecifierSet(spec)


def by_hand(choice: Iterable[Candidate], world: World, wishes: list[Need]) -> bool:
    """Whether a choice breaks no wish and no rule, worked out apart from the code under test."""
    chosen = {candidate.component: candidate for candidate in choice}
    for wish in wishes:
        taken = chosen[wish.component]
        if not inside(wish.spec, taken.version) or not wish.facts.items() <= taken.facts.items():
            return False
    for name, taken in chosen.items():
        for each in world.components[name].rules:
            if each.severity != "error" or each.id in world.accepted or each.where.arch == ["aarch64"]:
                continue
            if not inside(each.when, taken.version) or not each.facts.items() <= taken.facts.items():
                continue
            required = all(inside(s.format(version=taken.text), chosen[o].version) for o, s in each.requires.items())
            refused = any(inside(s.format(version=taken.text), chosen[o].version) for o, s in each.refuses.items())
            if each.forbidden or not required or refused:
                return False
    return True


@settings(max_examples=400, deadline=None)
@given(worlds())
def test_it_answers_with_the_best_that_brute_force_finds_or_explains(made: Worlds) -> None:
    world, wishes = made
    choices = itertools.product(*(world.candidates[name] for name in NAMES))
    best = next((choice for choice in choices if by_hand(choice, world, wishes)), None)
    try:
        chosen = resolve(world, wishes)
    except IngotError as error:
        assert best is None
        assert error.hint
    else:
        assert best is not None
        assert list(chosen.values()) == list(best)


ADVISORY = {
    "id": "CVE-2026-1", "bulletin": "VENDOR-1", "kind": "vulnerability", "summary": "it breaks", "note": "",
    "severity": "high", "score": 7.8, "facts": {}, "affected": [{"versions": "<12.5", "fixed": "12.5.0"}],
    "unknown": [], "source": "https://example.org/1", "published": "2026-11-01",
}  # fmt: skip


def advised(*advisories: dict[str, Any], **kwargs: Any) -> dict[str, list[dict[str, Any]]]:
    about = {"component": "cuda", "python": "", "fact": "", "packages": {}, "backported": False, "not_from": []}
    return {"cuda": [{**about, **kwargs, "advisories": list(advisories)}]}


CUDAS = {"cuda": versions("cuda", "13.0", "12.4")}
OLD = [Need("cuda", "<13", "stack: old")]


def test_a_version_with_a_grave_fault_is_refused_with_the_fix_unless_the_stack_accepts_it() -> None:
    world = World(CUDAS, COMPONENTS, Context(), advisories=advised(ADVISORY))
    assert texts(resolve(world, [])) == {"cuda": "13.0"}
    with pytest.raises(IngotError) as caught:
        resolve(world, OLD)
    assert "cuda 12.4 cannot be: it breaks, high 7.8, fixed in 12.5.0 [CVE-2026-1]" in caught.value.message
    assert "accept VENDOR-1 under `accepts` in the stack, with a reason and an end" in caught.value.hint
    for name in ("CVE-2026-1", "VENDOR-1"):
        accepting = World(CUDAS, COMPONENTS, Context(), [name], advised(ADVISORY))
        assert texts(resolve(accepting, OLD)) == {"cuda": "12.4"}


def test_a_refused_version_that_nobody_wished_is_no_part_of_the_explanation() -> None:
    world = World(
        CUDAS, COMPONENTS, Context(), advisories=advised({**ADVISORY, "affected": [{"versions": ">=13", "fixed": ""}]})
    )
    assert texts(resolve(world, [])) == {"cuda": "12.4"}
    with pytest.raises(IngotError) as caught:
        resolve(world, [Need("cuda", "<12", "stack: older")])
    assert "CVE-2026-1" not in str(caught.value)


@pytest.mark.parametrize(
    ("advisory", "about"),
    [
        ({"affected": [{"versions": "<12", "fixed": ""}], "unknown": ["<12.5"]}, {}),
        ({"facts": {"edition": "enterprise"}}, {}),
        ({}, {"backported": True}),
        ({}, {"not_from": ["debian"]}),
    ],
)
def test_what_is_not_certain_refuses_nothing(advisory: dict[str, Any], about: dict[str, Any]) -> None:
    world = World(CUDAS, COMPONENTS, Context(), advisories=advised({**ADVISORY, **advisory}, **about))
    assert texts(resolve(world, OLD)) == {"cuda": "12.4"}
