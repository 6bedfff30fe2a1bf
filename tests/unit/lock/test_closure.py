"""Of any repository, a closure holds what its packages need, or there is none: compared with trying everything."""

import itertools
from collections.abc import Iterator

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingot.errors import IngotError
from ingot.lock.closure import Closures, Need
from ingot.model.lock import VendorPackage
from ingot.sources.indexes import Build, Index
from ingot.sources.versions import Relation, fulfils

NAMES, VERSIONS = ("a", "b", "c", "d"), ("1", "2", "3")
RELATIONS = st.builds(
    Relation,
    st.sampled_from([*NAMES, "virtual", "libc6"]),
    st.sampled_from(["", "<", "=", ">="]),
    st.sampled_from("123"),
)
NEEDS = st.lists(st.lists(RELATIONS, min_size=1, max_size=2).map(tuple), max_size=2).map(tuple)
PROVIDES = st.sampled_from([(), (), (Relation("virtual", "=", "2"),)])
BUILDS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(VERSIONS), NEEDS, PROVIDES),
    min_size=1, max_size=9, unique_by=lambda row: row[:2],
)  # fmt: skip


def build(name: str, version: str, needs: tuple[tuple[Relation, ...], ...] = (), *provides: Relation) -> Build:
    return Build(name, version, VendorPackage(version=version, path=name, size=1, sha256="0" * 64), needs, provides)


def index(builds: list[Build]) -> Index:
    return Index("apt", {name: [b for b in builds if b.name == name] for name in {each.name for each in builds}})


def is_met(relation: Relation, chosen: dict[str, Build], there: Index) -> bool:
    """Whether what is chosen has it; or the distribution may, of which the repository has chosen no other version."""

    def has(one: Build) -> bool:
        of = [one.provides, (Relation(one.name, "=", one.version),)]
        return any(each.name == relation.name and fulfils("apt", each, relation) for each in itertools.chain(*of))

    anywhere = any(has(one) for builds in there.packages.values() for one in builds)
    return any(map(has, chosen.values())) or (not anywhere and relation.name not in chosen)


def is_whole(chosen: dict[str, Build], there: Index) -> bool:
    needs = (need for one in chosen.values() for need in one.needs)
    return all(any(is_met(relation, chosen, there) for relation in need) for need in needs)


def everything(there: Index) -> Iterator[dict[str, Build]]:
    """All that could be installed of a repository: no version of each package, or one."""
    for chosen in itertools.product(*([None, *builds] for builds in there.packages.values())):
        yield {one.name: one for one in chosen if one}


A, B = Relation("a", "", ""), Relation("b", "", "")
# What resolvelib alone finds no answer to, though there is one: c 1 and b 1.
MISSED = [
    ("c", "1", ((A, B), (B,)), ()),
    ("a", "1", (), ()),
    ("b", "1", ((Relation("a", "<", "1"), Relation("b", "=", "2")),), ()),
    ("b", "2", ((Relation("b", "<", "1"),),), ()),
]


@settings(deadline=None)
@example(MISSED)
@given(BUILDS)
def test_an_answer_is_whole_and_there_is_one_where_there_can_be(rows: list[tuple]) -> None:  # type: ignore[type-arg]
    there = index([build(name, version, needs, *provides) for name, version, needs, provides in rows])
    first = rows[0][0]
    closures = Closures(there, {})
    asked = {"x": [Need(first, tuple(closures.packages[first]), "x asks")]}
    try:
        files = closures.of(asked)["x"]
    except IngotError:
        assert not any(first in chosen and is_whole(chosen, there) for chosen in everything(there))
        return
    by_version = {(b.name, b.version): b for builds in there.packages.values() for b in builds}
    assert first in files
    assert is_whole({name: by_version[name, file.version] for name, file in files.items()}, there)
    assert Closures(there, {}).of(asked)["x"] == files
