"""The schema of a stack: the wanted version of each component, and why."""

from datetime import date
from typing import Annotated

from ingot.model.types import UNLOCKED, Facts, Spec, Strict


class PinOnSystem(Strict):
    """The range on one operating system instead of the pin's, and why."""

    version: Spec
    why: str


class Pin(Strict):
    """The range of one component in a stack, and the date of its next review.

    `by_os` has another range, with its own reason, for an operating system with other version numbers or other versions
    of the component; `facts` are those that the offer must have.
    """

    version: Spec
    by_os: dict[str, PinOnSystem] = {}
    facts: Facts = {}
    why: str
    review_after: Annotated[date, UNLOCKED]

    def on(self, os_name: str) -> PinOnSystem:
        """The range on an operating system, and its reason."""
        return self.by_os.get(os_name, PinOnSystem(version=self.version, why=self.why))


class Acceptance(Strict):
    """Why a stack takes versions with a known fault, and until which day."""

    why: Annotated[str, UNLOCKED]
    until: Annotated[date, UNLOCKED]


class Stack(Strict):
    """A dated set of pins, in the order in which the resolver decides them.

    `extends` names the stack whose pins come first; the pins here replace or follow them. `accept` maps the rules that
    may be broken to the reason, `accepts` the advisories, or bulletins with all of theirs, to reason and end. `systems`
    are the operating systems that it has locks for, or all if empty.
    """

    stack: str
    summary: Annotated[str, UNLOCKED]
    extends: Annotated[str, UNLOCKED] = ""
    systems: Annotated[list[str], UNLOCKED] = []
    pins: dict[str, Pin]
    accept: dict[str, str] = {}
    accepts: dict[str, Acceptance] = {}
