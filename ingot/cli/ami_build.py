"""The command that builds an AMI; `ingot.cli.ami` has the others."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ingot.cli.options import ArchOption, ImageArg, JsonOption, OsOption, StackOption, print_json, select_image
from ingot.errors import UsageError

app = typer.Typer()


@app.command(epilog="Example: ingot ami build parallelcluster --os al2023 --region eu-west-1")
def build(
    image: ImageArg,
    os_name: OsOption = "ubuntu2404",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    region: Annotated[
        str, typer.Option("--region", envvar=["AWS_REGION", "AWS_DEFAULT_REGION"], help="Where to build.")
    ] = "",
    instance_types: Annotated[
        list[str] | None,
        typer.Option("--instance-type", help="Build on this one; may be repeated, first choice first."),
    ] = None,
    subnets: Annotated[list[str] | None, typer.Option("--subnet", help="Build in this one; may be repeated.")] = None,
    on_demand: Annotated[bool, typer.Option("--on-demand", help="Do not try spot instances first.")] = False,
    instance_profile: Annotated[
        str, typer.Option("--instance-profile", help="Log in by Session Manager, with this profile's permissions.")
    ] = "",
    kms_key: Annotated[str, typer.Option("--kms-key", help="Encrypt with this key instead of the account's own.")] = "",
    signing_key: Annotated[
        Path | None,
        typer.Option("--signing-key", help="Sign modules with this key, and let the AMI start with Secure Boot on."),
    ] = None,
    signing_certificate: Annotated[
        Path | None, typer.Option("--signing-certificate", help="The key's certificate, in PEM or DER.")
    ] = None,
    trust: Annotated[
        list[Path] | None,
        typer.Option("--trust", help="A certificate that the boot loader is signed with; may be repeated."),
    ] = None,
    on_error: Annotated[
        str, typer.Option("--on-error", help="cleanup, or abort to leave a failed build's instance to look at.")
    ] = "cleanup",
    debug: Annotated[
        bool, typer.Option("--debug", help="Let Packer ask at the terminal before each of its steps, and show its log.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Build an AMI, verify it and tag it.

    The suite runs on the instance before it becomes an AMI, and on a new instance of the AMI afterwards.
    """
    from ingot.ami.build import build as build_ami
    from ingot.ami.capacity import Options
    from ingot.ami.uefi import SigningKey
    from ingot.console import Progress, out
    from ingot.image.packer import DEBUG

    if on_error not in ("cleanup", "abort"):
        raise UsageError(f"unknown value {on_error!r} of --on-error", hint="give cleanup or abort")
    if debug and not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask at", place="--debug", hint="leave it out")
    signing = None
    if signing_key and signing_certificate:
        signing = SigningKey(signing_key, signing_certificate, trust or [])
    elif signing_key or signing_certificate or trust:
        hint = "a key, its certificate, and whom else firmware is to trust: docs/secure-boot.md"
        raise UsageError("--signing-key and --signing-certificate go together", hint=hint)
    catalog, selection = select_image(image, os_name, arch, stack)
    options = Options(
        region, instance_types or [], subnets or [], on_demand, instance_profile, kms_key,
        [f"-on-error={on_error}", *([DEBUG] if debug else [])], signing,
    )  # fmt: skip
    report = build_ami(selection, options, catalog, Progress(quiet=debug))
    if as_json:
        print_json(report)
        return
    out.print(f"{report['ami']} {report['name']} in {report['region']}", markup=False)
    out.print(f"{report['parameter']} names it", markup=False)
    out.print(f"suite on an instance of it: {report['suite']['passed']} passed; more in {report['dir']}", markup=False)
