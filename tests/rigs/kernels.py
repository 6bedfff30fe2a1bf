"""The kernel that simulated modules are built for: the one whose headers the rig's image has."""

from functools import cache

from systems import docker, tools_image

from ingot.locked import Lock, LockedComponent


@cache
def release() -> str:
    """Its release."""
    return docker("run", "--rm", tools_image(), "sh", "-euc", "basename /lib/modules/*").strip()


def with_kernel(lock: Lock) -> Lock:
    """`lock` for that kernel, as one that the system has already: no role of a test installs it."""
    facts = {**lock.components["kernel"].facts, "release": release()}
    kernel = LockedComponent(version=release().partition("+")[0], source="base_image", facts=facts, why="The rig's.")
    return lock.model_copy(update={"components": {**lock.components, "kernel": kernel}})
