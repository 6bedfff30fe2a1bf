"""The shape of a stack: what is wanted of each component, and why."""

from datetime import date
from typing import Annotated

from ingot.model.types import UNLOCKED, Facts, Spec, Strict


class PinOnSystem(Strict):
    """What is wanted on one operating system in place of the pin's range, and why."""

    version: Spec
    why: str


class Pin(Strict):
    """What a stack wants of one component, and until when that may stand unquestioned.

    `by_os` has another range, with its own reason, for an operating system that numbers the component otherwise or has
    other versions of it; `facts` are those that the offer must have.
    """

    version: Spec
    by_os: dict[str, PinOnSystem] = {}
    facts: Facts = {}
    why: str
    review_after: Annotated[date, UNLOCKED]

    def on(self, os_name: str) -> PinOnSystem:
        """The range on an operating system, and the reason for it."""
        return self.by_os.get(os_name, PinOnSystem(version=self.version, why=self.why))


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
