"""The commands for images on this machine: setup, local, report, boot, verify, base, packer-env."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ingot.cli.options import (
    ArchOption,
    BuildJsonOption,
    FrozenOption,
    ImageArg,
    JsonOption,
    OsOption,
    StackOption,
    StrictOption,
    at,
    print_json,
    select_image,
)
from ingot.errors import IngotError

app = typer.Typer()


@app.command(epilog="Example: ingot setup   ·   ingot setup ami")
def setup(
    what: Annotated[Literal["all", "ami"], typer.Argument(help="For all builds, or for those of AMIs alone.")] = "all",
) -> None:
    """Install the tools that builds need.

    Installs Docker, QEMU, mmdebstrap, and Packer with its plugins; for AMIs, only ssh and Packer. Skips tools that are
    already installed.
    """
    from ingot.console import Progress
    from ingot.image.setup import ensure_ami_tools, ensure_docker, ensure_local_tools, ensure_packer

    local = [("Docker", ensure_docker), ("local tools", ensure_local_tools)]
    progress = Progress()
    for name, step in [*(local if what == "all" else [("ssh", ensure_ami_tools)]), ("Packer", ensure_packer)]:
        with progress.phase(name):
            step()


@app.command(epilog="Example: ingot local parallelcluster --os debian12 --rebuild")
def local(
    image: ImageArg,
    os_name: OsOption = "debian13",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build even if no input has changed.")] = False,
    frozen: FrozenOption = False,
    strict: StrictOption = False,
    as_json: BuildJsonOption = False,
) -> None:
    """Build, boot and verify an image on this machine.

    First records what it lacks in its lock. Skips an image whose inputs have not changed since its last build.
    """
    from ingot.console import Progress, out
    from ingot.image import budgets
    from ingot.image.build import local
    from ingot.image.report import render

    catalog, selection = select_image(image, os_name, arch, stack, local=True)
    report = local(selection, catalog, Progress(events=as_json), rebuild=rebuild, frozen=frozen)
    print_json(report) if as_json else out.print(render(report))
    if strict:
        budgets.insist(report.get("over_budget", []), str(selection.dir))


@app.command(epilog="Example: ingot report parallelcluster --os debian12")
def report(image: ImageArg = "parallelcluster", os_name: OsOption = "debian13", arch: ArchOption = "x86_64") -> None:
    """Open the report of the last build.

    Of a local build and an AMI build, the newer one. Prints where the page is; opens it if there is a browser.
    """
    import webbrowser

    from ingot.image import verdict

    _, selection = select_image(image, os_name, arch, stale=True)
    pages = [folder / verdict.PAGE for folder in (selection.dir, selection.dir / "ami")]
    finished = sorted((page for page in pages if page.exists()), key=lambda page: page.stat().st_mtime)
    if not finished:
        raise IngotError(
            "no finished build of this image has a report",
            place=str(pages[0]),
            hint=f"run `make local-{image} OS={os_name}` or `make ami-{image} OS={os_name}`",
        )
    print(finished[-1])
    if sys.stdout.isatty() and _has_browser():
        webbrowser.open(finished[-1].as_uri())


def _has_browser() -> bool:
    """Whether a browser can show a page: this is a Mac, or a session with a display."""
    return sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


@app.command(epilog="Example: ingot boot parallelcluster --ssh 'modprobe nvidia; ingot-doctor; srun hostname'")
def boot(
    image: ImageArg,
    os_name: OsOption = "debian13",
    arch: ArchOption = "x86_64",
    ssh: Annotated[
        str, typer.Option("--ssh", help="Run this command in the machine; print its output and exit with its status.")
    ] = "",
    secure: Annotated[
        bool, typer.Option("--secure-boot", help="Boot with Secure Boot and test that unsigned modules are refused.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Open a shell or run a command in a built image.

    QEMU runs it, with KVM if available. The disk stays unchanged.
    """
    from contextlib import ExitStack
    from dataclasses import asdict

    from ingot.console import Progress
    from ingot.image import verdict
    from ingot.image.machine import boot as boot_disk

    _, selection = select_image(image, os_name, arch, local=True, stale=True)
    folder = selection.dir
    disk = folder / verdict.DISK
    if not disk.exists():
        raise IngotError("the image is not built", place=str(disk), hint=f"run `make local-{image} OS={os_name}`")
    progress = Progress()
    if verdict.read(folder, [verdict.DISK]) is None:
        progress.note(f"this disk has not passed the suite; `make local-{image} OS={os_name}` builds one that has")
    facts: dict[str, Any] = {}
    with ExitStack() as stack:
        options: dict[str, Any] = {}
        if secure:
            from ingot.image import secure_boot

            options["start"] = stack.enter_context(secure_boot.start_disk(disk, log=folder / "boot.log"))
            options["firmware"] = secure_boot.FIRMWARE
        machine = stack.enter_context(boot_disk(disk, log=folder / "boot.log", **options))
        progress.note(f"ssh after {machine.wall_seconds:.1f} s; {machine.userspace}")
        facts = {"wall_seconds": machine.wall_seconds, "systemd": machine.userspace}
        if secure:
            proof = secure_boot.prove(machine)
            facts["secure_boot"] = asdict(proof)
            progress.note(f"Secure Boot: the kernel is signed, and locked down to {proof.lockdown}")
            if proof.module:
                progress.note(f"module {proof.module} unsigned: {proof.unsigned}; signed: {proof.signed}")
        if as_json and not ssh:
            print_json(facts)
            return
        if not ssh:
            if secure and not sys.stdin.isatty():
                return
            raise typer.Exit(machine.shell())
        code, stdout, stderr = machine.ssh(ssh)
    if as_json:
        print_json(facts | {"exit": code, "stdout": stdout, "stderr": stderr})
    else:
        sys.stdout.write(stdout)
        sys.stderr.write(stderr)
    raise typer.Exit(code)


@app.command(epilog="Example: ingot verify ssh://node1 --image parallelcluster --os debian13")
def verify(
    uri: Annotated[str, typer.Argument(help="docker://NAME, ssh://HOST or local://")],
    image: Annotated[str, typer.Option("--image", help="Expected image.")] = "parallelcluster",
    os_name: OsOption = "debian13",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    target: Annotated[
        Literal["local", "instance", "ami"],
        typer.Option("--target", help="Kind of machine: built locally, an instance before its AMI, or of an AMI."),
    ] = "local",
    ssh_config: Annotated[Path | None, typer.Option("--ssh-config", help="ssh configuration file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Test a container or machine against its lock.

    The suite checks that every component matches the lock. Exits with 1 if a test fails.
    """
    from dataclasses import asdict

    from ingot.console import out
    from ingot.image.verify import verify as run_suite

    _, selection = select_image(image, os_name, arch, stack, stale=True)
    log = selection.dir / "verify.log"
    result = run_suite(uri, lock_path=selection.lock_path, image=image, log=log, target=target, ssh_config=ssh_config)
    if as_json:
        print_json(asdict(result))
    else:
        for test, message in result.failures:
            out.print(f"failed: {test}\n  {message}", markup=False)
        for test, reason in result.skips:
            out.print(f"skipped: {test}: {reason}", markup=False)
        out.print(f"{result.passed} passed, {result.failed} failed, {result.skipped} skipped; log: {log}")
    raise typer.Exit(1 if result.failed else 0)


@app.command(epilog="Example: ingot base --os debian12")
def base(os_name: OsOption = "debian13", arch: ArchOption = "x86_64", stack: StackOption = "") -> None:
    """Make the bare system that images start from.

    Prints the name of its Docker image, which has the base packages in the lock's versions.
    """
    from ingot.image.base import ensure_base
    from ingot.image.setup import ensure_docker, ensure_local_tools
    from ingot.lock.file import load, path_of
    from ingot.paths import cache_dir

    _, target = at(os_name, arch, stack, local=True)
    ensure_docker()
    ensure_local_tools()
    print(ensure_base(load(path_of(target)), log=cache_dir("logs") / "base.log").tag)


@app.command("packer-env", epilog='Example: eval "$(ingot packer-env)"')
def packer_env() -> None:
    """Print shell lines to run Packer by hand."""
    import shlex

    from ingot.image.setup import ensure_packer, packer_environment

    packer = ensure_packer()
    for name, value in packer_environment().items():
        print(f"export {name}={shlex.quote(value)}")
    print(f'export PATH={shlex.quote(str(packer.parent))}:"$PATH"')
