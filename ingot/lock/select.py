"""Makes the selection of a command and checks it once; nothing below checks again."""

from collections.abc import Mapping
from types import MappingProxyType

from ingot.catalog.advisories import require_current
from ingot.catalog.catalog import Catalog
from ingot.catalog.names import lineage
from ingot.errors import IngotError, UsageError
from ingot.lock.file import check, load, path_of
from ingot.lock.grade import grades
from ingot.model.image import DRIVERS
from ingot.model.lock import Lock
from ingot.model.target import ContainerSelection, ImageSelection, Target
from ingot.model.types import LOCAL_ARCH


def image(catalog: Catalog, target: Target, name: str, *, stale: bool = False) -> ImageSelection:
    """The image `name` for a target, from the committed lock.

    Raises UsageError on an unknown name or a missing lock. Raises IngotError on a lock that is older than the catalog,
    and on a stack that accepts an advisory until a day that has passed, unless `stale`: a finished image is inspected
    with the lock that it was built from.
    """
    catalog.image(name)
    path = path_of(target)
    lock = load(path)
    if not stale:
        check(lock, catalog)
        require_current(catalog, catalog.stack(target.stack))
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
    require_current(catalog, catalog.stack(target.stack))
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


def require_bootable(selection: ImageSelection) -> None:
    """IngotError if a local image has no minimal system to start from, or no kernel to boot."""
    if selection.lock.archive and "kernel" not in selection.image.roles:
        raise IngotError(
            f"the image {selection.name} has no kernel, which its disk needs to boot",
            place="images.yml: roles",
            hint="add the role kernel",
        )


def require_complete(
    selection: ImageSelection | ContainerSelection,
    lock: Lock,
    failed: Mapping[str, IngotError] = MappingProxyType({}),
    *,
    base: str = "",
    frozen: bool = False,
) -> None:
    """IngotError if `lock`, the part to be built, has unresolved components or lacks the accelerator's driver.

    With `frozen`, also if it has components without digests, or lacks the name of the base image `base`. `failed` says
    why components could not be recorded.
    """
    target = selection.target
    if isinstance(selection, ImageSelection):
        require_driver(selection)
    refused = ("unresolved", "signature") if frozen else ("unresolved",)
    missing = [
        f"{name} ({pin.grade}: {pin.lacks}{f'; {failed[name].message}' if name in failed else ''})"
        for name, pin in grades(lock).items()
        if pin.grade in refused
    ]
    if frozen and base and base not in lock.images:
        missing.append(f"its base image {base} (its name)")
    if missing:
        state = "not frozen" if frozen else "not fully resolved"
        options = f"--os {target.os} --arch {target.arch} --stack {target.stack}{' --region REGION' if base else ''}"
        raise IngotError(
            f"{selection.name} for {target.key} is {state}: {', '.join(missing)}",
            place=str(selection.lock_path),
            hint=f"`ingot lock record {options}` records what the vendors' hosts publish",
        )
