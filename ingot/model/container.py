"""The schema of a framework container and of its base."""

from pydantic import Field

from ingot.model.types import Accelerator, Strict


class Container(Strict):
    """A framework container: its parent container (empty at the root), and its variants.

    `roles` are the roles of each variant; only the root has any.
    `script` is the absolute path of its training program, started by torchrun with `arguments`; `checkpoints` is the
    script's option for the folder of checkpoints. `command` is the default command of a container without a script; one
    with neither is only a base for others.
    """

    summary: str
    parent: str = ""
    accelerators: list[Accelerator] = Field(min_length=1)
    roles: dict[Accelerator, list[str]] = {}
    script: str = Field(default="", pattern=r"^(/\S+)?$")
    arguments: list[str] = []
    checkpoints: str = ""
    command: list[str] = []

    @property
    def start(self) -> list[str]:
        """The container's default command; empty if it is only a base for others."""
        torchrun = ["torchrun", "--standalone", "--nproc-per-node=2", self.script, *self.arguments]
        return torchrun if self.script else self.command


class ContainerSystem(Strict):
    """The base of the containers for an accelerator, and their Python and platform as uv names them."""

    os: str
    python: str
    platform: str


class Containers(Strict):
    """The file `containers.yml`."""

    systems: dict[Accelerator, ContainerSystem] = {}
    containers: dict[str, Container]
