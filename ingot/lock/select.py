"""Makes the selection of a command and checks it once; nothing below checks again."""

from ingot.catalog.catalog import Catalog
from ingot.catalog.names import lineage
from ingot.errors import IngotError, UsageError
from ingot.lock.file import check, load, path_of
from ingot.model.image import DRIVERS
from ingot.model.lock import Lock
from ingot.model.target import ContainerSelection, ImageSelection, Target
from ingot.model.types import LOCAL_ARCH


def image(catalog: Catalog, target: Target, name: str, *, stale: bool = False) -> ImageSelection:
    """The image `name` for a target, from the committed lock.

    Raises UsageError on an unknown name or a missing lock, and IngotError on a lock that is older than the catalog
    unless `stale`: a finished image is inspected with the lock that it was built from.
    """
    catalog.image(name)
    path = path_of(target)
    lock = load(path)
    if not stale:
        check(lock, catalog)
    return image_of_lock(catalog, target, name, lock)


def image_of_lock(catalog: Catalog, target: Target, name: str, lock: Lock) -> ImageSelection:
    """The same from any lock."""
    entry = catalog.image(name)
    return ImageSelection(name, entry, target, lock.of(entry.parts), path_of(target), lock.base_image(name, entry))


def container(
    catalog: Catalog, name: str, stack: str, os_name: str = "", arch: str = LOCAL_ARCH, accelerator: str = ""
) -> ContainerSelection:
    """The container `name`; variant and operating system have defaults.

    Raises UsageError on an unknown name and on a variant that is not built.
    """
    entry = catalog.container(name)
    wanted = accelerator or ("cpu" if "cpu" in entry.accelerators else entry.accelerators[0])
    variant = next((candidate for candidate in catalog.container_systems if candidate == wanted), None)
    if variant is None:
        choices = ", ".join(catalog.container_systems)
        raise UsageError(f"no container is built for {wanted!r}", place="--accelerator", hint=f"choose from: {choices}")
    target = catalog.target(stack, os_name or catalog.container_systems[variant].os, arch)
    variants = {
        candidate: f"{candidate} on {catalog.container_systems[candidate].os} {LOCAL_ARCH}"
        for candidate in entry.accelerators
    }
    if variants.get(variant) != (request := f"{variant} on {target.os} {target.arch}"):
        choices = ", ".join(variants.values())
        raise UsageError(f"the container {name} is not built for {request}", hint=f"choose from: {choices}")
    path = path_of(target)
    lock = load(path)
    check(lock, catalog)
    chain = [(candidate, catalog.container(candidate)) for candidate in reversed(lineage(name, catalog))]
    return ContainerSelection(name, chain, variant, target, lock, path)


def require_driver(selection: ImageSelection) -> None:
    """IngotError if the lock leaves out the driver of the image's accelerator."""
    lock, accelerator = selection.lock, selection.image.accelerator
    if (driver := DRIVERS.get(accelerator, "")) in lock.left_out:
        raise IngotError(
            f"{selection.target.key} has no {driver}: {lock.left_out[driver]}",
            hint=f"an image for {accelerator} needs an operating system whose lock has {driver}: choose it with --os",
        )


def require_complete(selection: ImageSelection | ContainerSelection, lock: Lock) -> None:
    """IngotError if `lock`, the part to be built, lacks a pin or the accelerator's driver."""
    target = selection.target
    if isinstance(selection, ImageSelection):
        require_driver(selection)
    if missing := lock.missing:
        raise IngotError(
            f"{selection.name} for {target.key} is not fully resolved: "
            + ", ".join(f"{name} ({what})" for name, what in missing.items()),
            place=str(selection.lock_path),
            hint=f"`ingot lock record --os {target.os} --arch {target.arch}` records what the vendors' hosts publish",
        )
