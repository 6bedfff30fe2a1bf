"""The command that judges a job before it runs: check."""

from pathlib import Path
from typing import Annotated

import typer

from ingot.cli.options import ArchOption, JsonOption, StackOption, catalog, print_json, select_image

app = typer.Typer(rich_markup_mode=None)


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
    """Judge a job's environment for EFA and NCCL.

    With --manifest, also the versions in an image. The exit status is 1 on an error, 0 on warnings and info alone.
    """
    from ingot.console import out
    from ingot.errors import UsageError
    from ingot.plan import check as checks

    if manifest and os_name:
        raise UsageError("--manifest and --os both name versions", hint="give one of them")
    known = checks.Image()
    if os_name:
        whole, selection = select_image(image, os_name, arch, stack, stale=True)
        known = checks.of_selection(selection)
    else:
        whole = catalog()
        known = checks.of_manifest(manifest, whole) if manifest else known
    report = checks.check(files or [], env or [], known, whole, instance_type or None)
    print_json(report) if as_json else out.print(checks.render(report), markup=False)
    raise typer.Exit(1 if checks.failed(report) else 0)
