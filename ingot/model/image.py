"""The shape of a machine image: platform, accelerator, roles."""

from collections.abc import Collection
from typing import Annotated

from ingot.model.types import UNLOCKED, Accelerator, Platform, Strict

# What an accelerator cannot do without.
DRIVERS = {"nvidia": "nvidia_driver", "neuron": "neuron"}


class Image(Strict):
    """A machine image: platform, accelerator and the roles that make it, in order.

    `given` are components without a role, whose version decides the platform's base image.
    """

    platform: Platform
    accelerator: Accelerator
    summary: Annotated[str, UNLOCKED]
    roles: list[str]
    given: list[str] = []

    @property
    def parts(self) -> list[str]:
        """The roles, and the components that the base image brings."""
        return [*self.roles, *self.given]

    def without(self, brought: Collection[str]) -> "Image":
        """The image on a base image that brings some of its components."""
        return self.model_copy(update={"roles": [role for role in self.roles if role not in brought]})


class Images(Strict):
    """The file `images.yml`."""

    images: dict[str, Image]
