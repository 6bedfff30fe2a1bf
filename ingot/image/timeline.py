"""When each piece of a build ran, and which pieces the whole waited for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ingot.console import Progress
from ingot.image.events import Converge

Span = Mapping[str, Any]
# Pieces that follow one another are so close; a longer gap is time that a phase itself took.
CLOSE_SECONDS = 0.5


def timeline(progress: Progress, converge: Converge, within: str) -> list[dict[str, Any]]:
    """Every phase and its parts, the roles that ran `within` a phase, and slow tasks: name, begin, seconds."""

    def span(kind: str, name: str, begin: float, seconds: float, within: str) -> dict[str, Any]:
        return {"kind": kind, "name": name, "begin": round(begin, 2), "seconds": round(seconds, 2), "within": within}

    def since(time: float) -> float:
        # A clock that was set back tells nothing.
        return max(0.0, time - progress.began)

    return [
        *(span("part" if s.within else "phase", s.name, s.begin, s.seconds, s.within) for s in progress.spans),
        *(span("role", s.role or "play", since(s.begin), s.seconds, within) for s in converge.stretches),
        *(span("task", t.task, since(t.begin), t.seconds, t.role or "play") for t in converge.slow),
    ]


def end_of(span: Span) -> float:
    """When it ended, in seconds since the whole began."""
    return float(span["begin"] + span["seconds"])


def of_kind(spans: Iterable[Span], *kinds: str) -> list[Span]:
    """The spans of some kinds, the first to begin first."""
    return sorted((span for span in spans if span["kind"] in kinds), key=lambda span: float(span["begin"]))


def critical(spans: Sequence[Span]) -> list[dict[str, Any]]:
    """The pieces that the whole waited for, in their order: of those side by side the last to end.

    Time of a phase in which none of its parts or roles ran is called by the name of the phase.
    """
    phases, pieces = of_kind(spans, "phase"), of_kind(spans, "part", "role")
    divided = {span["within"] for span in pieces}
    pieces += [span for span in phases if span["name"] not in divided]
    time = max((end_of(span) for span in phases), default=0.0)
    path: list[dict[str, Any]] = []

    def add(name: str, within: str, begin: float, end: float) -> None:
        path.append({"name": name, "within": within, "begin": round(begin, 2), "seconds": round(end - begin, 2)})

    while time > CLOSE_SECONDS:
        before = [span for span in pieces if span["begin"] < time - 0.01 and end_of(span) <= time + 0.01]
        last = max(before, key=end_of, default=None)
        reached = end_of(last) if last else 0.0
        if time - reached > CLOSE_SECONDS:
            middle = (reached + time) / 2
            covering = next((span["name"] for span in phases if span["begin"] <= middle <= end_of(span)), "between")
            add(covering, "", reached, time)
        if last is None:
            break
        add(last["name"], last["within"], last["begin"], reached)
        time = last["begin"]
    return path[::-1]
