"""EC2's instance types: what its API says of a type, and what people know of its family."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from pydantic import Field

from ingot.model.types import Accelerator, Arch, Spec, Strict


class Efa(Strict):
    """An EFA device: its generation, and whether it supports RDMA read and write (None if unknown)."""

    generation: int | None = None
    read: bool | None = None
    write: bool | None = None


class Family(Strict):
    """The hand-written facts of a family; the head of the file explains each key."""

    accelerator: Accelerator
    generation: str = ""
    capability: str = ""
    module: Literal["open", "closed", "either", ""] = ""
    module_of_eks: Literal["open", "closed", ""] = ""
    driver: Spec = "*"
    open_driver: Spec = "*"
    pci: list[str] = Field([])
    nvswitch: Literal["host", "bridge", ""] = ""
    switch_pci: list[str] = Field([])
    cores_per_logical: int = 1
    efa: Efa | None = None
    unknown: list[str] = Field([])
    confidence: Literal["A", "B", "C", "D"]
    from_: list[str] = Field(alias="from", min_length=1)
    note: str = ""


class InstanceType(Strict):
    """A type's facts from the EC2 API; None is unknown. Memory is in MiB, per device for `device_memory_mib`; storage
    is in GB, of `disks` equal disks. `cores` are Neuron cores of a device. EFA is on the network card `first_efa_card`
    and those after it, one on each."""

    vcpus: int | None
    memory_mib: int | None
    arch: Arch
    device: str = ""
    devices: int | None = 0
    device_memory_mib: int | None = 0
    cores: int = 0
    efa: int | None
    network_cards: int | None
    first_efa_card: int | None = 0
    network: str | None
    storage_gb: int | None = 0
    disks: int | None = 0
    usage: list[str] | None = Field(["on-demand", "spot"])


class OwnType(Strict):
    """Facts of a type that the API's answer lacks or has wrong; `unknown` names those that no source has."""

    facts: dict[str, Any]
    unknown: list[str] = Field([])
    from_: list[str] = Field(alias="from", min_length=1)
    note: str = ""


class LeftOut(Strict):
    """Why Ingot has no image for a family."""

    why: str
    source: str = Field(min_length=1)
    checked: date


class Ordinary(Strict):
    """Families without an accelerator that have the same EFA device."""

    efa: Efa
    families: list[str]


class Families(Strict):
    """The file `accelerators.yml`."""

    sources: dict[str, str]
    checked: date
    families: dict[str, Family]
    cpu: list[Ordinary]
    types: dict[str, OwnType]
    floors: dict[str, dict[str, list[int]]]
    left_out: dict[str, LeftOut]

    def ordinary(self) -> dict[str, Efa]:
        """The EFA device of each family without an accelerator."""
        return {name: group.efa for group in self.cpu for name in group.families}


@dataclass(frozen=True)
class InstanceTypes:
    """Types by name; `recorded` names the source and day of the API's response."""

    recorded: str
    types: Mapping[str, InstanceType]
