"""A Dockerfile sets what is left in the image: no builder's variables, and nothing of the files written in it."""

import pytest

from ingot.plan.dockerfile import dockerfile


def found(text: str) -> list[tuple[str, str | None, int]]:
    """What `text` sets, in the order of its lines."""
    return sorted(((one.name, one.value, one.line) for one in dockerfile(text) if one.sets), key=lambda one: one[2])


def test_a_dockerfile_sets_what_is_in_its_last_stage() -> None:
    text = (
        "ARG FROM=cuda\nFROM base AS Common\nENV A=1\nFROM common AS build\nENV NO=1\nFROM ${FROM} as runtime\n"
        "ENV NO=1\nFROM --platform=linux/amd64 common\nCOPY --from=build /out /out\nENV B=2\n"
    )
    assert found(text) == [("A", "1", 3), ("B", "2", 10)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ARG KIND=gpu\nFROM a AS for-gpu\nENV A=1\nFROM b AS for-cpu\nENV B=1\nFROM for-${KIND}", ["A"]),
        ("FROM a AS for-gpu\nENV A=1\nFROM b AS for-cpu\nENV B=1\nFROM for-${KIND:-cpu}", ["B"]),
        ("ARG KIND\nFROM a AS for-gpu\nENV A=1\nFROM b AS for-cpu\nENV B=1\nFROM c AS d\nFROM for-$KIND", ["A", "B"]),
        ("FROM a AS b\nENV A=1\nFROM registry.example/b:$TAG\nENV B=1", ["B"]),
        ("FROM a\nRUN <<EOF\nENV A=1\nEOF\nENV B=1", ["B"]),
        ("FROM a\nRUN x && \\\n  cat <<-'EOF' > y <<Z\nENV A=1\n\tEOF\nENV A=1\nZ\nENV B=1", ["B"]),
        ("FROM a\nRUN cat <<<EOF << x\nENV A=1\nEOF\nENV B=1", ["A", "B"]),
        ("FROM a\nRUN <<EOF\nENV A=1\nEOF\nRUN <<EOF\nENV A=1\nEOF\nENV B=1", ["B"]),
        ("FROM a\nRUN <<EOF\nENV A=1\n", ["A"]),
    ],
)
def test_a_dockerfile_is_read_by_stage_and_without_here_documents(text: str, expected: list[str]) -> None:
    assert [name for name, _, _ in found(text)] == expected
