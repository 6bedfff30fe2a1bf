"""How sure each pin of a lock is: digest, signature, base or unresolved. Whoever asks, asks here."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from ingot.model.lock import Lock, LockedComponent
from ingot.model.types import Grade
from ingot.paths import collection_module

# The rules, which the collection's lookup applies as well.
rules = collection_module("grades")
GRADES: tuple[Grade, ...] = rules.GRADES


@dataclass(frozen=True)
class Pin:
    """The grade of a component, and what keeps it from the grade `digest`."""

    grade: Grade
    lacks: str


def grades(lock: Lock, brought: Collection[str] = ()) -> dict[str, Pin]:
    """The grade of each component of a lock, or of an image's part of it; `brought` are those of its base image."""
    plain = {
        "base_images": lock.base_images,
        "container_image": lock.container_image,
        "packages": lock.packages,
        "repositories": {name: repository.model_dump() for name, repository in lock.repositories.items()},
        "unresolved": lock.unresolved,
        "wheels": lock.wheels,
    }
    return {
        name: Pin(*rules.grade(name, entry.model_dump(), plain, brought)) for name, entry in lock.components.items()
    }


def counts(pins: Iterable[Pin]) -> dict[Grade, int]:
    """The number of components by grade, best first; grades without a component are left out."""
    total = Counter(pin.grade for pin in pins)
    return {grade: total[grade] for grade in GRADES if total[grade]}


def summary(pins: Mapping[str, Pin]) -> str:
    """The counts as text: `12 digest, 3 signature`."""
    return ", ".join(f"{count} {grade}" for grade, count in counts(pins.values()).items())


def unresolved(lock: Lock) -> dict[str, str]:
    """What each unresolved component lacks."""
    return {name: pin.lacks for name, pin in grades(lock).items() if pin.grade == "unresolved"}


def wanted(entry: LockedComponent, package: str) -> str:
    """The version of a vendor's package as far as it is known, perhaps without its build; empty for any that fits."""
    return str(rules.wanted(entry.model_dump(), package)).removesuffix("*")
