"""The schema of a machine image: platform, accelerator, roles."""

from collections import Counter
from collections.abc import Collection
from typing import Annotated

from pydantic import Field, model_validator

from ingot.model.types import UNLOCKED, Accelerator, Platform, Strict

# The driver component of each accelerator.
DRIVERS = {"nvidia": "nvidia_driver", "neuron": "neuron"}


class Image(Strict):
    """A machine image: platform, accelerator and the roles that make it, in order.

    `given` are components without a role, whose version selects the platform's base image.
    """

    platform: Platform
    accelerator: Accelerator
    summary: Annotated[str, UNLOCKED]
    roles: list[str] = Field(min_length=1)
    given: list[str] = []

    @model_validator(mode="after")
    def _has_each_role_once(self) -> "Image":
        if twice := [role for role, count in Counter(self.roles).items() if count > 1]:
            raise ValueError(f"the role {twice[0]} is listed twice")
        return self

    @property
    def parts(self) -> list[str]:
        """The roles, and the components that select the base image."""
        return [*self.roles, *self.given]

    def without(self, brought: Collection[str]) -> "Image":
        """The image on a base image that brings some of its components."""
        return self.model_copy(update={"roles": [role for role in self.roles if role not in brought]})


class Images(Strict):
    """The file `images.yml`."""

    images: dict[str, Image]
