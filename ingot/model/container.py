"""The shape of a framework container, and of what it is built on."""

from pydantic import Field

from ingot.model.types import Accelerator, Strict


class Container(Strict):
    """A framework container: the container it is made from (empty at the root), and the variants it has.

    `roles` are those of each variant; only the root has some.
    `script` is the training program in it, an absolute path, started by torchrun with `arguments`; a container without
    one is only built upon. `checkpoints` is the script's option that takes the folder of checkpoints.
    """

    summary: str
    parent: str = ""
    accelerators: list[Accelerator] = Field(min_length=1)
    roles: dict[Accelerator, list[str]] = {}
    script: str = Field(default="", pattern=r"^(/\S+)?$")
    arguments: list[str] = []
    checkpoints: str = ""


class ContainerSystem(Strict):
    """What the containers for an accelerator are built on, and for which Python and C library, as uv names these."""

    os: str
    python: str
    platform: str


class Containers(Strict):
    """The file `containers.yml`."""

    systems: dict[Accelerator, ContainerSystem] = {}
    containers: dict[str, Container]
