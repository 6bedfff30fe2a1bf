"""Versions of packages are ordered, and relations between packages hold, as Debian and rpm say they do."""

import shutil
import subprocess
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.sources.versions import KEYS, Kind, Relation, fulfils

# What version numbers are made of; few of each, so that they are often alike.
DEBIAN = st.from_regex(r"([01]:)?[0-2][01a~.+]{0,4}(-[01a~.+]{1,3})?", fullmatch=True)
RPM = st.from_regex(r"([01]:)?[0-2][01aB~^._+]{0,4}(-[01a~^.]{1,3})?", fullmatch=True)


# Debian: deb-version(7) and Debian policy 5.6.12, the last two as dpkg does. rpm: the project's tests/rpmvercmp.at and
# rpm-version(7).
@pytest.mark.parametrize(
    ("kind", "rising"),
    [
        ("apt", ["1~~", "1~~a", "1~", "1", "1a"]),
        ("apt", ["1.0~beta1~svn1245", "1.0~beta1", "1.0", "1.0-1", "1.0+b1-1", "1.0.1"]),
        ("apt", ["2.9", "2.10", "2.10.1-1", "1:0.4", "2:0.1"]),
        ("apt", ["2.31.2-1+cuda12.9", "2.31.2-1+cuda13.3", "2.31.2-2", "2.31.2-10"]),
        ("rpm", ["1.0~rc1~git123", "1.0~rc1", "1.0~rc2", "1.0", "1.0^20160101", "1.0^20160102", "1.0.1"]),
        ("rpm", ["xyz.4", "2", "8", "10xyz", "10.1xyz"]),
        ("rpm", ["5.5p1", "5.5p2", "5.5p10", "5.6p1", "6.0", "6.0.rc1", "10a2", "10b2", "10.0001", "10.0039"]),
        ("rpm", ["9.9-9", "1:0.1-1", "1:0.1-1.el9", "1:0.1-2", "2:0.1-1"]),
    ],
)
def test_documented_examples_are_in_order(kind: Kind, rising: list[str]) -> None:
    assert all(KEYS[kind](one) < KEYS[kind](other) for one, other in pairwise(rising))


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [("apt", "0:1.0-0", "1.0"), ("apt", "1.01", "1.1"), ("rpm", "0:2_0", "2.0"), ("rpm", "10.0001", "10.1")],
)
def test_what_is_written_otherwise_may_be_the_same(kind: Kind, one: str, other: str) -> None:
    assert KEYS[kind](one) == KEYS[kind](other)


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not on this machine")
@settings(max_examples=150, deadline=None)
@given(DEBIAN, DEBIAN)
def test_debians_order_is_dpkgs(one: str, other: str) -> None:
    mine = KEYS["apt"](one), KEYS["apt"](other)
    sign = "lt" if mine[0] < mine[1] else "gt" if mine[0] > mine[1] else "eq"
    assert subprocess.run(["dpkg", "--compare-versions", one, sign, other], check=False).returncode == 0


@given(RPM, RPM)
def test_rpms_tilde_is_before_and_caret_after_a_version_and_both_before_its_successors(one: str, more: str) -> None:
    base, _, _ = one.partition("-")
    key = KEYS["rpm"]
    assert key(f"{base}~{more}") < key(base) < key(f"{base}^{more}") < key(f"{base}.1")


@pytest.mark.parametrize(
    ("kind", "provided", "needed", "holds"),
    [
        # Debian policy 7.5: what provides no version satisfies no versioned relation.
        ("apt", ("", ""), ("", ""), True),
        ("apt", ("", ""), (">=", "1"), False),
        ("apt", ("=", "2"), ("", ""), True),
        ("rpm", ("", ""), (">=", "1"), True),
        # rpm(8), rpm-dependencies: without a release any release fits.
        ("rpm", ("=", "1.0-3.el9"), ("=", "1.0"), True),
        ("rpm", ("=", "1.0-3.el9"), ("=", "1.0-2.el9"), False),
        ("rpm", ("=", "1:1.0-3"), ("=", "1.0"), False),
        ("rpm", (">=", "2"), ("=", "3"), True),
        ("rpm", ("<", "2"), (">=", "2"), False),
        ("apt", ("=", "1.0-3"), ("=", "1.0"), False),
    ],
)
def test_what_is_provided_satisfies_what_is_needed(
    kind: Kind, provided: tuple[str, str], needed: tuple[str, str], holds: bool
) -> None:
    assert fulfils(kind, Relation("a", *provided), Relation("a", *needed)) is holds
