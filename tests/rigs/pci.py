"""The PCI devices of EC2's instance types, as the catalog's sources name them, as a folder like /sys has them."""

from pathlib import Path

from ingot.catalog.instance_types import describe, family_of, read_types

# vendor:device, class, and vital product data.
Device = tuple[str, str, bytes]
GPU, SWITCH, NETWORK, SYSTEM = "0x030200", "0x068000", "0x020000", "0x088000"
# What EC2 has and the catalog's recording lacks, with the ids that the programs of the gates know and cite.
BEYOND: dict[str, list[Device]] = {"p3": [("10de:1db1", GPU, b"")], "p6e-gb200": [("10de:2941", GPU, b"")]}

# Of each family with an accelerator or EFA, a type with EFA and one without, as far as their devices are known.
_known = {
    name: entry
    for name, entry in read_types().types.items()
    if (entry.device or entry.efa) and None not in (entry.devices, entry.efa) and "pci" not in describe(name)["unknown"]
}
NAMES = sorted(
    {(family_of(name), bool(entry.efa), entry.devices == 1): name for name, entry in _known.items()}.values()
)


def tree(root: Path, devices: list[Device]) -> Path:
    """A folder like /sys with PCI devices."""
    for number, (pci, kind, vpd) in enumerate(devices):
        folder = root / "bus" / "pci" / "devices" / f"0000:{number:02x}:00.0"
        folder.mkdir(parents=True)
        vendor, device = pci.split(":")
        (folder / "vendor").write_text(f"0x{vendor}\n")
        (folder / "device").write_text(f"0x{device}\n")
        (folder / "class").write_text(f"{kind}\n")
        (folder / "uevent").write_text(f"PCI_CLASS={int(kind, 16):X}\nPCI_ID={pci.upper()}\n")
        (folder / "vpd").write_bytes(vpd)
    return root


def sees(folder: Path) -> str:
    """The option by which a container sees the devices of such a folder."""
    return f"--volume={folder / 'bus' / 'pci' / 'devices'}:/sys/bus/pci/devices:ro"


def devices_of(instance_type: str) -> list[Device]:
    """The devices of an instance type, its ordinary network card among them."""
    # PCI_DEV_ID_ENA_VF: https://github.com/amzn/amzn-drivers, kernel/linux/ena/ena_netdev.h
    found: list[Device] = [("1d0f:ec20", NETWORK, b"")]
    if instance_type in BEYOND:
        return [*found, *BEYOND[instance_type]]
    facts = describe(instance_type)
    kind = GPU if facts["accelerator"] == "nvidia" else SYSTEM
    found += [(pci, kind, b"") for pci in facts["pci"][:1]] * (facts["devices"] or 0)
    found += [(pci, SWITCH, b"") for pci in facts["switch_pci"]]
    # Not every source names the switches' device; the class is what counts.
    if facts["nvswitch"] == "host" and not facts["switch_pci"]:
        found.append(("10de:ffff", SWITCH, b""))
    if facts["nvswitch"] == "bridge":
        found.append(("15b3:1021", "0x020700", b"\x82\x10\0\x90SMDL=SW_MNG\0\x78"))
    # One more with each generation; where no source names it, any will do.
    generation = (facts["efa_device"] or {}).get("generation") or 1
    return found + [(f"1d0f:efa{generation - 1}", NETWORK, b"")] * (facts["efa"] or 0)
