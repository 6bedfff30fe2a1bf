"""The door: makes what a command is about, and checks it once; nobody further down checks again."""

from ingot.catalog.catalog import Catalog
from ingot.catalog.names import lineage
from ingot.errors import IngotError, UsageError
from ingot.lock.file import check, load, path_of
from ingot.model.image import DRIVERS
from ingot.model.lock import Lock
from ingot.model.target import ContainerSelection, ImageSelection, Target
from ingot.model.types import LOCAL_ARCH


def image(catalog: Catalog, target: Target, name: str, *, stale: bool = False) -> ImageSelection:
    """The image `name` for a target, by the committed lock.

    Raises UsageError on an unknown name or a missing lock, and IngotError on a lock that is older than the catalog,
    but for `stale`: what was built is looked at by the lock that it was built from.
    """
    catalog.image(name)
    path = path_of(target)
    lock = load(path)
    if not stale:
        check(lock, catalog)
    return image_of_lock(catalog, target, name, lock)


def image_of_lock(catalog: Catalog, target: Target, name: str, lock: Lock) -> ImageSelection:
    """The same by a lock that need not be the committed one."""
    row = catalog.image(name)
    return ImageSelection(name, row, target, lock.of(row.parts), path_of(target), lock.base_image(name, row))


def container(
    catalog: Catalog, name: str, stack: str, os_name: str = "", arch: str = LOCAL_ARCH, accelerator: str = ""
) -> ContainerSelection:
    """The container `name`; variant and operating system are found where they are not named.

    Raises UsageError on an unknown name and on a variant that is not built.
    """
    row = catalog.container(name)
    wanted = accelerator or ("cpu" if "cpu" in row.accelerators else row.accelerators[0])
    known = next((each for each in catalog.container_systems if each == wanted), None)
    if known is None:
        there = ", ".join(catalog.container_systems)
        raise UsageError(f"no container is built for {wanted!r}", place="--accelerator", hint=f"there is: {there}")
    target = catalog.target(stack, os_name or catalog.container_systems[known].os, arch)
    variants = {each: f"{each} on {catalog.container_systems[each].os} {LOCAL_ARCH}" for each in row.accelerators}
    if variants.get(known) != (asked := f"{known} on {target.os} {target.arch}"):
        there = ", ".join(variants.values())
        raise UsageError(f"the container {name} is not built for {asked}", hint=f"there is: {there}")
    path = path_of(target)
    lock = load(path)
    check(lock, catalog)
    chain = [(each, catalog.container(each)) for each in reversed(lineage(name, catalog))]
    return ContainerSelection(name, chain, known, target, lock, path)


def require_driver(selection: ImageSelection) -> None:
    """IngotError where the lock leaves out what the image's accelerator cannot do without."""
    lock, accelerator = selection.lock, selection.image.accelerator
    if (driver := DRIVERS.get(accelerator, "")) in lock.left_out:
        raise IngotError(
            f"{selection.target.key} has no {driver}: {lock.left_out[driver]}",
            hint=f"an image for {accelerator} needs an operating system whose lock has {driver}: name it by --os",
        )


def require_complete(selection: ImageSelection | ContainerSelection, lock: Lock) -> None:
    """IngotError where `lock`, the part of it that is to be built, lacks a pin or the accelerator's driver."""
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
