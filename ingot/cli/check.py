"""The command that checks a job before it runs: check."""

from pathlib import Path
from typing import Annotated

import typer

from ingot.cli.options import ArchOption, JsonOption, StackOption, catalog, ec2_name, print_json, select_image

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Example: ingot check --file train.sbatch --os debian13 --instance-type p5.48xlarge")
def check(
    files: Annotated[
        list[Path] | None,
        typer.Option("--file", help="Job script, Dockerfile, YAML or JSON of any kind, systemd unit; may be repeated."),
    ] = None,
    env: Annotated[list[str] | None, typer.Option("--env", help="NAME=VALUE of the job; may be repeated.")] = None,
    manifest: Annotated[
        Path | None, typer.Option("--manifest", help="Take versions from the manifest.json of an image.")
    ] = None,
    os_name: Annotated[
        str, typer.Option("--os", help="Take versions from the lock of this operating system.", show_default=False)
    ] = "",
    image: Annotated[str, typer.Option("--image", help="With --os: image.")] = "parallelcluster",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    instance_type: Annotated[
        str,
        typer.Option(
            "--instance-type",
            help="Instance type of the job, for example p5.48xlarge.",
            callback=ec2_name,
            show_default=False,
        ),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Check a job's environment for EFA and NCCL.

    With --manifest, also checks the versions in an image. Without --instance-type, a machine with EFA is assumed.
    Exits with 1 on errors, with 3 if a file names such a variable and nothing in it was understood, with 0 on
    warnings and info.
    """
    from ingot.console import out
    from ingot.errors import UsageError
    from ingot.plan import check as checks

    if manifest and os_name:
        raise UsageError("--manifest and --os exclude each other", hint="give one of them")
    versions = checks.Image()
    if os_name:
        whole, selection = select_image(image, os_name, arch, stack, stale=True)
        versions = checks.of_selection(selection)
    else:
        whole = catalog()
        versions = checks.of_manifest(manifest, whole) if manifest else versions
    report = checks.check(files or [], env or [], versions, whole, instance_type or None)
    print_json(report) if as_json else out.print(checks.render(report), markup=False)
    raise typer.Exit(checks.status(report))
