"""The command line: reads options, calls one function, prints its answer. Modules are imported when a command runs."""

import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ingot import __version__
from ingot.errors import IngotError

app = typer.Typer(
    name="ingot",
    help="Machine images and containers for distributed training, from one lock file.",
    epilog="Example: ingot local parallelcluster --os debian13",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _images() -> list[str]:
    from ingot.catalog import read_catalog

    return sorted(read_catalog().images)


def _systems() -> list[str]:
    from ingot.catalog import read_catalog

    return sorted(read_catalog().operating_systems)


ImageArg = Annotated[str, typer.Argument(help="An image of catalog/images.yml.", autocompletion=_images)]
OsOption = Annotated[str, typer.Option("--os", help="Operating system.", autocompletion=_systems)]
ArchOption = Annotated[str, typer.Option("--arch", help="Architecture.")]
StackOption = Annotated[str, typer.Option("--stack", help="Stack; the newest by default.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def _stack(name: str) -> tuple[Any, str]:
    from ingot.catalog import read_catalog

    catalog = read_catalog()
    return catalog, name or catalog.newest_stack


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, default=str))


def _version(wanted: bool) -> None:
    if wanted:
        print(f"ingot {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Machine images and containers for distributed training, from one lock file."""


@app.command(epilog="Example: ingot setup")
def setup() -> None:
    """Install what local builds need: Docker, QEMU, mmdebstrap, and Packer with its plugins."""
    from ingot.console import Progress
    from ingot.setup import ensure_docker, ensure_local_tools, ensure_packer

    progress = Progress()
    for name, step in (("Docker", ensure_docker), ("local tools", ensure_local_tools), ("Packer", ensure_packer)):
        with progress.phase(name):
            step()


@app.command(epilog="Example: ingot local parallelcluster --os debian12 --rebuild")
def local(
    image: ImageArg,
    os_name: OsOption = "debian13",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build even if nothing has changed.")] = False,
    frozen: Annotated[bool, typer.Option("--frozen", help="Refuse if a pinned package has left the archive.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Build an image on this machine, make a disk of it, boot it, and verify it there."""
    from ingot.build import Request, local
    from ingot.console import Progress, out
    from ingot.report import render

    catalog, stack = _stack(stack)
    report = local(Request(image, os_name, arch, stack, rebuild, frozen), catalog, Progress())
    _print_json(report) if as_json else out.print(render(report))


@app.command(epilog="Example: ingot lock --os debian13   ·   ingot lock --check")
def lock(
    os_name: Annotated[str, typer.Option("--os", help="Only this operating system.", show_default=False)] = "",
    arch: Annotated[str, typer.Option("--arch", help="Only this architecture.", show_default=False)] = "",
    stack: StackOption = "",
    check: Annotated[bool, typer.Option("--check", help="Only check, offline, that locks match the catalog.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep every pin that the archive still holds.")] = False,
) -> None:
    """Resolve a stack into locks: exact versions and digests from signed archives and package indexes."""
    from ingot import lock as locks
    from ingot.console import Progress, out
    from ingot.paths import write_text

    catalog, stack = _stack(stack)
    catalog.stack(stack)
    systems = [os_name] if os_name else list(catalog.operating_systems)
    for name in systems:
        for each in [arch] if arch else catalog.operating_system(name).architectures:
            catalog.check_arch(name, each)
            path = locks.path_of(stack, name, each)
            if check:
                locks.check(locks.load(path), catalog)
                continue
            old = locks.load(path) if path.exists() else None
            progress = Progress()
            with progress.phase(f"lock {stack} {name}-{each}"):
                new = locks.make(catalog, stack, name, each, keep=old if keep else None).lock
            before = {**old.packages, **old.wheels} if old else {}
            for line in locks.changes(before, {**new.packages, **new.wheels}):
                out.print(f"  {line}", markup=False)
            write_text(path, locks.dump(new))
    if check:
        out.print(f"The locks of stack {stack} match the catalog.")


@app.command(epilog="Example: ingot plan parallelcluster --os debian13")
def plan(
    image: ImageArg,
    os_name: OsOption = "debian13",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say what an image will hold, why each version, what is left out, and how much will be downloaded."""
    from rich.markup import escape
    from rich.table import Table

    from ingot.console import out
    from ingot.plan import plan as make_plan

    catalog, stack = _stack(stack)
    data = make_plan(catalog, image, os_name, arch, stack)
    if as_json:
        _print_json(data)
        return
    table = Table("component", "version", "source", "why", box=None, pad_edge=False)
    for name, entry in data["components"].items():
        table.add_row(
            name, entry["version"], entry["source"], escape(entry["why"] + (" Held." if entry["hold"] else ""))
        )
    for name, why in data["left_out"].items():
        table.add_row(name, "–", "left out", escape(why))
    out.print(table)
    size, installed = data["download_bytes"] / 1e9, data["installed_bytes"] / 1e9
    out.print(f"\n{data['packages']} packages, {size:.2f} GB to download, {installed:.2f} GB installed.")


@app.command("list", epilog="Example: ingot list --json")
def list_(as_json: JsonOption = False) -> None:
    """List images, operating systems, stacks and components."""
    from ingot.console import out

    catalog, _ = _stack("")
    data = {
        "images": {name: image.summary for name, image in catalog.images.items()},
        "operating_systems": {name: system.name for name, system in catalog.operating_systems.items()},
        "stacks": {name: stack.summary for name, stack in catalog.stacks.items()},
        "components": {name: component.summary for name, component in catalog.components.items()},
    }
    if as_json:
        _print_json(data)
        return
    for kind, rows in data.items():
        out.print(kind.replace("_", " "))
        for name, summary in rows.items():
            out.print(f"  {name:26}{summary}", markup=False)


@app.command(epilog="Example: ingot boot parallelcluster --ssh 'modprobe nvidia; ingot-doctor; srun hostname'")
def boot(
    image: ImageArg,
    os_name: OsOption = "debian13",
    arch: ArchOption = "x86_64",
    ssh: Annotated[
        str, typer.Option("--ssh", help="Run this command in the machine, print what it says, exit as it does.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Boot a built disk in QEMU; open a shell, or run one command. Nothing is written to the disk."""
    from ingot.console import Progress
    from ingot.machine import boot as boot_disk
    from ingot.paths import build_dir

    catalog, _ = _stack("")
    catalog.image(image)
    catalog.check_arch(os_name, arch)
    folder = build_dir(image, os_name, arch)
    disk = folder / "disk.raw"
    if not disk.exists():
        raise IngotError("this image has no disk yet", place=str(disk), hint=f"run `make local-{image} OS={os_name}`")
    progress = Progress()
    with boot_disk(disk, log=folder / "boot.log") as machine:
        progress.note(f"ssh after {machine.wall_seconds:.1f} s; {machine.userspace}")
        if as_json and not ssh:
            _print_json({"wall_seconds": machine.wall_seconds, "systemd": machine.userspace})
            return
        if not ssh:
            raise typer.Exit(machine.shell())
        code, printed, errors = machine.ssh(ssh)
    if as_json:
        facts = {"wall_seconds": machine.wall_seconds, "systemd": machine.userspace}
        _print_json(facts | {"exit": code, "stdout": printed, "stderr": errors})
    else:
        sys.stdout.write(printed)
        sys.stderr.write(errors)
    raise typer.Exit(code)


@app.command(epilog="Example: ingot verify ssh://node1 --image parallelcluster --os debian13")
def verify(
    uri: Annotated[str, typer.Argument(help="docker://NAME, ssh://HOST or local://")],
    image: Annotated[str, typer.Option("--image", help="The image it should be.")] = "parallelcluster",
    os_name: OsOption = "debian13",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    ssh_config: Annotated[Path | None, typer.Option("--ssh-config", help="An ssh configuration file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the suite against a container, a machine or this system: is it what the lock says?"""
    from dataclasses import asdict

    from ingot.console import out
    from ingot.lock import path_of
    from ingot.paths import build_dir
    from ingot.verify import verify as run_suite

    catalog, stack = _stack(stack)
    catalog.image(image)
    log = build_dir(image, os_name, arch) / "verify.log"
    lock_path = path_of(stack, os_name, arch)
    result = run_suite(uri, lock_path=lock_path, image=image, log=log, ssh_config=ssh_config)
    if as_json:
        _print_json(asdict(result))
    else:
        for test, message in result.failures:
            out.print(f"failed: {test}\n  {message}", markup=False)
        for test, reason in result.skips:
            out.print(f"skipped: {test}: {reason}", markup=False)
        out.print(f"{result.passed} passed, {result.failed} failed, {result.skipped} skipped; log: {log}")
    raise typer.Exit(1 if result.failed else 0)


@app.command(epilog="Example: ingot check --file train.sbatch --os debian13 --instance-type p5.48xlarge")
def check(
    files: Annotated[
        list[Path] | None,
        typer.Option("--file", help="A job script, a Dockerfile or a Kubernetes manifest; may be repeated."),
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", help="NAME=VALUE, as the job would see it; may be repeated.")
    ] = None,
    manifest: Annotated[Path | None, typer.Option("--manifest", help="Versions: an image's manifest.json.")] = None,
    os_name: Annotated[
        str, typer.Option("--os", help="Versions: the lock of this operating system.", show_default=False)
    ] = "",
    image: Annotated[str, typer.Option("--image", help="With --os: the image.")] = "parallelcluster",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    instance_type: Annotated[
        str, typer.Option("--instance-type", help="What the job runs on, for example p5.48xlarge.", show_default=False)
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Judge the environment that a job sets for EFA and NCCL; exit 1 on an error, 0 on warnings and info alone."""
    from ingot import check as checks
    from ingot.console import out
    from ingot.errors import UsageError

    if manifest and os_name:
        raise UsageError("--manifest and --os both name versions", hint="give one of them")
    catalog, stack = _stack(stack)
    known = checks.Image()
    if manifest:
        known = checks.of_manifest(manifest, catalog)
    elif os_name:
        known = checks.of_lock(catalog, image, os_name, arch, stack)
    report = checks.check(files or [], env or [], known, instance_type or None)
    _print_json(report) if as_json else out.print(checks.render(report), markup=False)
    raise typer.Exit(1 if checks.failed(report) else 0)


@app.command(epilog="Example: ingot diff OLD.yml locks/2026.11/debian13-x86_64.yml")
def diff(
    before: Annotated[Path, typer.Argument(help="A lock or a manifest.")],
    after: Annotated[Path, typer.Argument(help="A lock or a manifest.")],
) -> None:
    """Compare two locks or two manifests and print release notes in Markdown."""
    from ingot.diff import notes, state

    print(notes(state(before), state(after)), end="")


@app.command(epilog="Example: ingot base --os debian12")
def base(os_name: OsOption = "debian13", arch: ArchOption = "x86_64", stack: StackOption = "") -> None:
    """Make the bare root file system of a lock as a Docker image, and print its name."""
    from ingot.base import ensure_base
    from ingot.lock import load, path_of
    from ingot.paths import cache_dir
    from ingot.setup import ensure_docker, ensure_local_tools

    catalog, stack = _stack(stack)
    catalog.check_arch(os_name, arch)
    ensure_docker()
    ensure_local_tools()
    print(ensure_base(load(path_of(stack, os_name, arch)), log=cache_dir("logs") / "base.log").tag)


@app.command("packer-env", epilog='Example: eval "$(ingot packer-env)"')
def packer_env() -> None:
    """Print the shell lines that let Packer be run by hand."""
    import shlex

    from ingot.setup import ensure_packer, packer_environment

    packer = ensure_packer()
    for name, value in packer_environment().items():
        print(f"export {name}={shlex.quote(value)}")
    print(f'export PATH={shlex.quote(str(packer.parent))}:"$PATH"')


class _Interrupted(BaseException):
    """Ctrl-C, or a plain `kill`, which must clean up just as well; typer would end without a word on the usual one."""


def _interrupt(*_: object) -> NoReturn:
    raise _Interrupted


def main() -> None:
    """Run the command line; a user's mistake is one message and an exit code, not a traceback."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app()
    except IngotError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except _Interrupted:
        print("interrupted; nothing is left running", file=sys.stderr)
        sys.exit(130)
