"""What an argument spec says in Ansible's markup, a README says in Markdown."""

import pytest

from ingot.docs.markdown import render, table, wrapped
from ingot.errors import IngotError


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("runs C(ldconfig)", "runs `ldconfig`"),
        ("set to V(false)", "set to `false`"),
        ("set E(NCCL_PROTO)", "set `NCCL_PROTO`"),
        ("see O(efa_kmod)", "see `efa_kmod`"),
        ("with O(efa_kmod=false)", "with `efa_kmod=false`"),
        ("an I(index) and a B(lock)", "an *index* and a **lock**"),
        ("L(the changelog, https://example.org/a_b)", "[the changelog](https://example.org/a_b)"),
        ("see U(https://example.org/)", "see <https://example.org/>"),
        ("M(ansible.builtin.copy)", "`ansible.builtin.copy`"),
        ("as P(ingot.ml.pin#lookup) says", "as `ingot.ml.pin` says"),
        ("RV(ansible.builtin.command#module:stdout)", "`stdout`"),
        ("V(a\\) b)", "`a) b`"),
        ("C(echo `date`)", "`` echo `date` ``"),
    ],
)
def test_each_kind_of_markup_has_its_markdown(text: str, markdown: str) -> None:
    assert render(text, "efa") == [markdown]


def test_another_role_is_a_link_to_its_readme_and_the_role_itself_is_none() -> None:
    text = "P(ingot.ml.cuda#role), P(ingot.ml.efa#role), O(ingot.ml.cuda#role:main:cuda_pin), P(other.team.cuda#role)"
    cuda, own, option, foreign = render(text, "efa")[0].split(", ")
    assert cuda == "[`ingot.ml.cuda`](../cuda/README.md)"
    assert own == "`ingot.ml.efa`"
    assert option == "[`cuda_pin`](../cuda/README.md)"
    assert foreign == "`other.team.cuda`"


def test_plain_text_is_shown_as_it_is() -> None:
    assert render("2.*.1 <b> [x] `y` _z_ but nvidia_driver") == [r"2.\*.1 \<b> \[x\] \`y\` \_z\_ but nvidia_driver"]


def test_a_list_of_paragraphs_stays_one_and_each_paragraph_is_one_line() -> None:
    assert render(["one\n  two", "three"]) == ["one two", "three"]


def test_wrong_markup_is_an_error_that_names_the_role() -> None:
    with pytest.raises(IngotError, match="invalid markup") as caught:
        render("see C(ldconfig", "efa")
    assert caught.value.place == "roles/efa"


def test_wrapping_tears_no_code_or_link_apart() -> None:
    words, command = "word " * 22, "`docker run --rm --device nvidia.com/gpu=all`"
    link = "[a long title of a page](https://example.org/)"
    lines = wrapped(f"{words}{command} {words}{link}").splitlines()
    assert all(len(line) <= 120 for line in lines)
    assert sum(command in line for line in lines) == sum(link in line for line in lines) == 1


@pytest.mark.parametrize("marker", ["-", "+", "1.", "#", ">"])
def test_wrapping_begins_no_list_or_heading(marker: str) -> None:
    for length in range(110, 121):
        (first, second) = wrapped(f"{'x' * length} {marker} {'y' * 20}").splitlines()
        assert not second.startswith(marker), first


def test_a_bar_in_a_cell_does_not_begin_another() -> None:
    assert table(["a", "b"], [["`x | y`", " z "]]) == "| a | b |\n|---|---|\n| `x \\| y` | z |"
