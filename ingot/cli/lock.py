"""The commands for locks: lock, lock check, lock record, lock asked, lock images, lock containers."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ingot.cli.options import ArchOption as ArchitectureOption
from ingot.cli.options import FrozenOption, ImageArg, OsOption, StackOption, catalog

if TYPE_CHECKING:
    from ingot.catalog.catalog import Catalog

app = typer.Typer(rich_markup_mode=None, epilog="Example: ingot lock --os debian13   ·   ingot lock check --all")
SystemOption = Annotated[str, typer.Option("--os", help="Only this operating system.", show_default=False)]
ArchOption = Annotated[str, typer.Option("--arch", help="Only this architecture.", show_default=False)]
AllOption = Annotated[bool, typer.Option("--all", help="Every stack.")]


@app.callback(invoke_without_command=True)
def lock(
    context: typer.Context,
    os_name: SystemOption = "",
    arch: ArchOption = "",
    stack: StackOption = "",
    every: AllOption = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep every pin that the archive still has.")] = False,
) -> None:
    """Resolve a stack into locks.

    Debian is resolved to exact versions and digests from its signed archive and the package index. Vendors' systems are
    resolved offline from the versions in the catalog; a build records what is then missing, and so does `ingot lock
    record`. Prints how many components each lock has of each grade: digest, signature, base, unresolved.
    """
    if context.invoked_subcommand is None:
        _resolve(os_name, arch, stack, every, keep=keep)
    elif os_name or arch or stack or every or keep:
        from ingot.errors import UsageError

        command = context.invoked_subcommand
        raise UsageError(f"options before `{command}` have no effect", hint=f"write `ingot lock {command} …`")


@app.command(epilog="Example: ingot lock check --all")
def check(os_name: SystemOption = "", arch: ArchOption = "", stack: StackOption = "", every: AllOption = False) -> None:
    """Check offline that locks match the catalog.

    Exits with 1 if one does not, or if its stack accepts an advisory until a day that has passed.
    """
    from ingot.catalog.advisories import require_current
    from ingot.console import out
    from ingot.lock import file as locks
    from ingot.lock import images

    whole = catalog()
    stacks = _stacks(whole, stack, every)
    for name in stacks:
        require_current(whole, whole.stack(name))
    for target in locks.targets(whole, stacks, os_name, arch):
        locks.check_file(locks.path_of(target), whole)
    for name in stacks:
        images.check(whole, name)
    out.print(f"The locks of stack {', '.join(stacks)} match the catalog.")


@app.command(epilog="Example: ingot lock record --os ubuntu2404 --region us-east-1")
def record(
    os_name: SystemOption = "",
    arch: ArchOption = "",
    stack: StackOption = "",
    every: AllOption = False,
    region: Annotated[
        str, typer.Option("--region", help="Also record the base images of this region.", show_default=False)
    ] = "",
) -> None:
    """Record missing facts from vendors' hosts.

    Builds record what they lack by themselves; this records it for whole locks. Downloads and hashes files, and reads
    the indexes of vendors' repositories if their pinned keys signed them. Prints what cannot be recorded, and then
    exits with 1. With --region, also records the names of the newest base images, which needs AWS credentials.
    """
    _resolve(os_name, arch, stack, every, recording=True, region=region)


@app.command(epilog="Example: ingot lock asked ec2-cpu build/ec2-cpu/ubuntu2404-x86_64/ami/asked.json --os ubuntu2404")
def asked(
    image: ImageArg,
    file: Annotated[Path, typer.Argument(help="File that playbooks/asked.yml wrote on an instance.")],
    os_name: OsOption = "ubuntu2404",
    arch: ArchitectureOption = "x86_64",
    stack: StackOption = "",
    frozen: FrozenOption = False,
) -> None:
    """Record what an instance may install.

    Builds of AMIs do this by themselves before roles run: what apt or dnf would install from the system's own archive
    becomes part of the lock. Writes the digest of the image's inputs next to the file, for the manifest. With --frozen,
    exits with 1 if the archive offers something else than the lock has.
    """
    from ingot.cli.options import select_image
    from ingot.image.inputs import inputs_digest
    from ingot.lock import asked as answers
    from ingot.paths import write_text

    whole, selection = select_image(image, os_name, arch, stack)
    answers.take(whole, selection, file, frozen=frozen)
    facts = {"manifest_inputs_sha256": inputs_digest(selection, on_base=True)}
    write_text(file.with_name("inputs.json"), json.dumps(facts))


@app.command("images", epilog="Example: ingot lock images --all")
def list_images(stack: StackOption = "", every: AllOption = False) -> None:
    """Rewrite the digests of images, offline.

    IMAGES.txt next to a stack's locks has a digest of the contents of each image. Every command that writes a lock also
    updates it; after a change of only catalog/images.yml, run this instead of resolving locks.
    """
    from ingot.lock import images

    whole = catalog()
    for name in _stacks(whole, stack, every):
        images.write(whole, name)


@app.command(epilog="Example: ingot lock containers")
def containers() -> None:
    """Update the pinned Python packages of containers.

    Resolves containers/NAME/requirements*.in to exact versions with digests; every stack shares them.
    """
    from ingot.console import Progress, out
    from ingot.container import requirements
    from ingot.container.build import CONTAINERS

    whole = catalog()
    for name, source in requirements.sources(whole, CONTAINERS):
        with Progress().phase(f"lock {source.parent.name}/{source.name}"):
            changes = requirements.renew(name, source, whole)
        for package, (old, new) in changes.items():
            out.print(f"  {package} {old or '(none)'} -> {new or '(removed)'}", markup=False)


def _stacks(whole: "Catalog", stack: str, every: bool) -> list[str]:
    """The stacks that the options select; UsageError if --all and --stack are both given."""
    from ingot.errors import UsageError

    if every and stack:
        raise UsageError("--all and --stack exclude each other", hint="give one of them")
    whole.stack(stack or whole.newest_stack)
    return list(whole.stacks) if every else [stack or whole.newest_stack]


def _resolve(
    os_name: str,
    arch: str,
    stack: str,
    every: bool,
    *,
    keep: bool = False,
    recording: bool = False,
    region: str = "",
) -> None:
    """Resolve locks, record missing facts if `recording`, print the changes, and write the locks."""
    from ingot.console import Progress, err, out
    from ingot.errors import IngotError
    from ingot.lock import file as locks
    from ingot.lock import fill, images
    from ingot.lock import record as recorder
    from ingot.lock.grade import grades, summary
    from ingot.lock.make import make
    from ingot.paths import write_text

    whole = catalog()
    failed: dict[str, IngotError] = {}
    stacks = _stacks(whole, stack, every)
    for target in locks.targets(whole, stacks, os_name, arch):
        path = locks.path_of(target)
        progress = Progress()
        old = locks.earlier(path)
        if old is None and path.exists():
            progress.note(f"{path.name} was written by another release of Ingot and is replaced")
        with progress.phase(f"lock {target}"):
            new = make(whole, target, keep=old if keep else None).lock
            new = recorder.keep(new, old, fill.forbids(whole, new))
            if recording:
                # Newer base images replace those of the lock.
                new = new.model_copy(update={"images": {}}) if region else new
                bases = new.base_images if region else []
                new, unrecorded = fill.complete(whole, new, None, bases, region, progress.tell)
                failed |= {f"{target}: {component}": reason for component, reason in unrecorded.items()}
        for line in locks.changes(old, new):
            out.print(f"  {line}", markup=False)
        out.print(f"{target}: {summary(grades(new))}", markup=False)
        write_text(path, locks.dump(new))
    for name in stacks:
        images.write(whole, name)
    for fact, reason in failed.items():
        err.print(f"not recorded: {fact}: {reason}", markup=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)
