"""Framework containers: what they are called."""


def tag_of(name: str, accelerator: str, os_name: str, arch: str) -> str:
    """The local name of a container, `ingot/fsdp:cpu-debian13-x86_64`."""
    return f"ingot/{name}:{accelerator}-{os_name}-{arch}"
