"""A task counts for the role that the play named, whichever role its file lies in."""

from types import SimpleNamespace as Node
from typing import Any

import pytest

from plugins.callback import progress


def chain(*roles: str | None) -> Any:
    """A task inside blocks and includes of these roles, innermost first."""
    node = None
    for name in reversed(roles):
        role = None if name is None else Node(get_name=lambda name=name: name)
        node = Node(_role=role, _parent=node)
    return node


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ((None,), ""),
        (("ingot.ml.cuda", "ingot.ml.cuda", None), "cuda"),
        (("ingot.ml.component", "ingot.ml.cuda", None), "cuda"),
        (("ingot.ml.component", "ingot.ml.nccl", "ingot.ml.cuda"), "cuda"),
        (("ingot.ml.component", None), ""),
        (("ingot.ml.cuda", "other.stuff.all"), "cuda"),
        (("other.stuff.all",), ""),
    ],
)
def test_the_outermost_role_of_the_collection_counts(roles: tuple[str | None, ...], expected: str) -> None:
    assert progress.role_of(chain(*roles)) == expected


def test_a_failure_says_what_was_printed() -> None:
    assert progress.message_of({"msg": "non-zero return code", "stderr": "err\n", "stdout": "out"}) == (
        "non-zero return code\nerr\nout"
    )


def test_a_failure_in_a_loop_names_the_item() -> None:
    results = [{"item": "a", "msg": "fine"}, {"item": "b", "failed": True, "msg": "broken"}]
    assert progress.message_of({"msg": "One or more items failed", "results": results}) == (
        "One or more items failed\nb: broken"
    )
