"""The list of dnf's versionlock holds a component's packages at the lock's versions, and what others wrote stays."""

import pytest

from plugins.filter import held

PINS = [{"name": "nvidia-imex", "version": "580.126.20-1"}, {"name": "nvidia-driver", "version": "3:580.126.20-1.el9"}]
OURS = "nvidia-driver-3:580.126.20-1.el9.*\nnvidia-imex-0:580.126.20-1.*\n"


def test_what_several_components_hold_stays_where_it_is() -> None:
    both = OURS + "libnvidia-container1-0:1.18.1-1.*\n"
    assert held.held(both, PINS) == both


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        (OURS, ""),
        ("nvidia-imex-0:570.1-1.*\nnvidia-driver-3:570.1-1.el9.x86_64\n", ""),
        ("!nvidia-imex-0:590.1-1.*\n", ""),
        ("# Added lock on Monday\nbash-0:5.1.8-9.el9.*\n", "# Added lock on Monday\nbash-0:5.1.8-9.el9.*\n"),
        # Others, of the driver's branch and of a name that begins alike.
        ("nvidia-imex-570-0:570.1-1.*\nnvidia-driver-libs-3:570.1-1.*\nnvidia-imex", None),
    ],
)
def test_the_packages_are_held_at_their_versions_and_nothing_else_moves(text: str, kept: str | None) -> None:
    expected = (f"{text}\n" if kept is None else kept) + OURS
    assert held.held(text, PINS) == expected
    assert held.held(expected, PINS) == expected


def test_what_the_lock_leaves_open_is_held_at_what_is_installed() -> None:
    pins = [{"name": "docker-ce", "version": "29.8.1*"}, {"name": "containerd.io", "version": ""}]
    there = {"docker-ce": "3:29.8.1-1.el9", "containerd.io": "2.3.6-1.el9"}
    assert held.held("", pins, there) == "containerd.io-0:2.3.6-1.el9.*\ndocker-ce-3:29.8.1-1.el9.*\n"
