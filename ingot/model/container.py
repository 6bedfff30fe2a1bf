"""The shape of a framework container, and of what it is built on."""

from pydantic import Field

from ingot.model.types import Accelerator, Strict


class Container(Strict):
    """A framework container: the container it is made from (empty at the root), and the variants it has.

    `roles` are those of each variant; only the root has some.
    `script` is the training program in it, an absolute path, started by torchrun with `arguments`; `checkpoints` is the
    script's option that takes the folder of checkpoints. `command` is what a container without a script starts by
    itself; one with neither is only built upon.
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
        """What the container starts by itself; empty where it is only built upon."""
        torchrun = ["torchrun", "--standalone", "--nproc-per-node=2", self.script, *self.arguments]
        return torchrun if self.script else self.command


class ContainerSystem(Strict):
    """What the containers for an accelerator are built on, and for which Python and C library, as uv names these."""

    os: str
    python: str
    platform: str


class Containers(Strict):
    """The file `containers.yml`."""

    systems: dict[Accelerator, ContainerSystem] = {}
    containers: dict[str, Container]
