"""The shape of a stack: what is wanted of each component, and why."""

from datetime import date
from typing import Annotated

from ingot.model.types import UNLOCKED, Facts, Spec, Strict


class Pin(Strict):
    """What a stack wants of one component, and until when that may stand unquestioned.

    `by_os` has another range for an operating system that numbers the component otherwise; `facts` are those that the
    offer must have.
    """

    version: Spec
    by_os: dict[str, Spec] = {}
    facts: Facts = {}
    why: str
    review_after: Annotated[date, UNLOCKED]

    def spec(self, os_name: str) -> str:
        """The range on an operating system."""
        return self.by_os.get(os_name, self.version)


class Stack(Strict):
    """A dated set of pins, in the order in which the resolver decides them.

    `extends` names the stack whose pins come first; those here replace or follow them. `accept` maps the rules that
    may be broken to the reason. `systems` are the operating systems that it has locks for, all of them if empty.
    """

    stack: str
    summary: Annotated[str, UNLOCKED]
    extends: Annotated[str, UNLOCKED] = ""
    systems: Annotated[list[str], UNLOCKED] = []
    pins: dict[str, Pin]
    accept: dict[str, str] = {}
