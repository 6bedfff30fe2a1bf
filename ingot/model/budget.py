"""The schema of `budgets.yml`: frozen, and strict about keys."""

from typing import Literal

from pydantic import Field

from ingot.model.types import Strict


class StepBudget(Strict):
    """How long a step of a build may take, as a ratio to a bare measurement of the same run: `of` the processor or the
    disk."""

    of: Literal["processor", "disk"]
    at_most: float


class SlowUnits(Strict):
    """How many units may take longer to start than `longer_than` times the kernel took, with its initrd."""

    longer_than: float
    at_most: int


class Budgets(Strict):
    """What a build may cost.

    `boot` is user space to kernel and initrd of the same boot; `size` the files of the image to what its packages state
    that they occupy; `failed_units` how many units may fail; `steps` are of local builds, by the name of the step.
    """

    boot: float | None = None
    size: float | None = None
    slow_units: SlowUnits | None = None
    failed_units: int | None = None
    steps: dict[str, StepBudget] = Field({})


class BudgetsFile(Strict):
    """The file `budgets.yml`."""

    budgets: Budgets
