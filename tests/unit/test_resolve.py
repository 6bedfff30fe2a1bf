"""The resolver takes the newest versions that satisfy every pin and rule, or explains why none do."""

import itertools
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from ingot.errors import IngotError
from ingot.models import AptOffer, Component, Offer, Rule
from ingot.resolve import Candidate, Need, needs_of, rejections, resolve

OFFER = Offer(os=["x"], apt=AptOffer(version_of="p", packages=["p"]), source="test", checked=date(2026, 11, 24))


def component(name: str, *rules: Rule) -> Component:
    return Component(component=name, summary=name, offers=[OFFER], rules=list(rules))


def rule(id: str, when: str, **kwargs: dict[str, str]) -> Rule:
    return Rule(id=id, when=when, reason="so it is", source="test", checked=date(2026, 11, 24), **kwargs)


def versions(name: str, *texts: str) -> list[Candidate]:
    return [Candidate(name, Version(text), text, text, OFFER) for text in texts]


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
WISHES = [Need(name, "*", "stack: any") for name in CANDIDATES]


def test_an_older_driver_is_taken_when_the_newest_does_not_fit_the_kernel() -> None:
    chosen = resolve(CANDIDATES, COMPONENTS, WISHES)
    assert {name: c.text for name, c in chosen.items()} == {
        "kernel": "6.12.117",
        "driver": "535.274.02",
        "cuda": "12.4",
    }


def test_what_was_newer_is_kept_with_the_rule_that_refused_it() -> None:
    chosen = resolve(CANDIDATES, COMPONENTS, WISHES)
    refused = rejections(chosen, CANDIDATES, COMPONENTS, WISHES)
    assert refused["driver"][0].candidate.text == "550.163.01"
    assert "[no-new-kernel]" in refused["driver"][0].need
    assert "it is 6.12.117" in refused["driver"][0].need
    assert "[floor]" in refused["cuda"][0].need
    assert "kernel" not in refused


def test_an_impossible_wish_is_explained_by_pin_and_rule() -> None:
    with pytest.raises(IngotError) as caught:
        resolve(CANDIDATES, COMPONENTS, [*WISHES, Need("cuda", ">=13", "stack: because")])
    assert "cuda must be >=13 (stack: because)" in str(caught.value) or "[floor]" in str(caught.value)
    assert "driver exists as 550.163.01, 535.274.02" in str(caught.value)


def test_a_rule_about_a_component_that_is_left_out_asks_nothing() -> None:
    candidates = {"cuda": CANDIDATES["cuda"]}
    assert resolve(candidates, COMPONENTS, [Need("cuda", "*", "any")])["cuda"].text == "13.0"


NAMES = ["a", "b", "c"]
SPECS = st.sampled_from([">=2", "<2", "==1", ">=3", "*"])


@st.composite
def catalogs(draw: st.DrawFn) -> tuple[dict[str, list[Candidate]], dict[str, Component], list[Need]]:
    candidates = {n: versions(n, *[str(v) for v in range(draw(st.integers(1, 3)), 0, -1)]) for n in NAMES}
    components = {}
    for name in NAMES:
        rules = [
            rule(
                f"{name}{i}",
                draw(SPECS),
                **{draw(st.sampled_from(["requires", "refuses"])): {draw(st.sampled_from(NAMES)): draw(SPECS)}},
            )
            for i in range(draw(st.integers(0, 2)))
        ]
        components[name] = component(name, *rules)
    return candidates, components, [Need(name, draw(SPECS), "wish") for name in NAMES]


@settings(max_examples=200, deadline=None)
@given(catalogs())
def test_it_answers_exactly_when_brute_force_finds_an_answer(
    world: tuple[dict[str, list[Candidate]], dict[str, Component], list[Need]],
) -> None:
    candidates, components, wishes = world

    def fits(chosen: dict[str, Candidate]) -> bool:
        needs = wishes + [need for c in chosen.values() for need in needs_of(c, components[c.component])]
        return all(need.allows(chosen[need.component].version) for need in needs)

    possible = any(
        fits(dict(zip(NAMES, choice, strict=True))) for choice in itertools.product(*(candidates[n] for n in NAMES))
    )
    try:
        chosen = resolve(candidates, components, wishes)
    except IngotError:
        assert not possible
    else:
        assert fits(chosen)
