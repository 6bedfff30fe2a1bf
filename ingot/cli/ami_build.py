"""The command that builds an AMI: ami build."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ingot.cli.options import (
    ArchOption,
    BuildJsonOption,
    FrozenOption,
    ImageArg,
    OsOption,
    StackOption,
    StrictOption,
    ec2_name,
    print_json,
    select_image,
)
from ingot.errors import UsageError

app = typer.Typer()


@app.command(epilog="Example: ingot ami build parallelcluster --os al2023 --region eu-west-1")
def build(
    image: ImageArg,
    os_name: OsOption = "ubuntu2404",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    region: Annotated[
        str,
        typer.Option(
            "--region",
            envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
            help="Region to build in; the profile's own by default.",
        ),
    ] = "",
    instance_types: Annotated[
        list[str] | None,
        typer.Option(
            "--instance-type", help="Instance type to build on, first choice first; may be repeated.", callback=ec2_name
        ),
    ] = None,
    subnets: Annotated[list[str] | None, typer.Option("--subnet", help="Subnet to build in; may be repeated.")] = None,
    on_demand: Annotated[bool, typer.Option("--on-demand", help="Skip spot instances.")] = False,
    instance_profile: Annotated[
        str, typer.Option("--instance-profile", help="Connect through Session Manager with this instance profile.")
    ] = "",
    kms_key: Annotated[
        str, typer.Option("--kms-key", help="Encrypt with this key instead of the account's default.")
    ] = "",
    signing_key: Annotated[
        Path | None,
        typer.Option("--signing-key", help="Sign kernel modules with this key and enable Secure Boot."),
    ] = None,
    signing_certificate: Annotated[
        Path | None, typer.Option("--signing-certificate", help="Certificate of --signing-key, in PEM or DER.")
    ] = None,
    trust: Annotated[
        list[Path] | None,
        typer.Option("--trust", help="Certificate of the boot loader's signer; may be repeated."),
    ] = None,
    on_error: Annotated[
        str, typer.Option("--on-error", help="cleanup, or abort to keep the instance of a failed build.")
    ] = "cleanup",
    frozen: FrozenOption = False,
    strict: StrictOption = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show Packer's log and confirm each of its steps.")] = False,
    as_json: BuildJsonOption = False,
) -> None:
    """Build an AMI, verify it and tag it.

    First records what the image lacks in its lock. Runs the suite on the instance before the AMI is made, and on a new
    instance of the AMI afterwards.
    """
    from ingot.ami.build import build as build_ami
    from ingot.ami.capacity import Options
    from ingot.ami.uefi import SigningKey
    from ingot.console import Progress, out
    from ingot.image import budgets
    from ingot.image.packer import DEBUG

    if on_error not in ("cleanup", "abort"):
        raise UsageError(f"unknown value {on_error!r}", place="--on-error", hint="use cleanup or abort")
    if debug and not sys.stdin.isatty():
        raise UsageError("standard input is not a terminal", place="--debug", hint="leave it out")
    signing = None
    if signing_key and signing_certificate:
        signing = SigningKey(signing_key, signing_certificate, trust or [])
    elif signing_key or signing_certificate or trust:
        hint = "give both, and --trust for other certificates: docs/secure-boot.md"
        raise UsageError("--signing-key and --signing-certificate need each other", hint=hint)
    catalog, selection = select_image(image, os_name, arch, stack)
    options = Options(
        region, instance_types or [], subnets or [], on_demand, instance_profile, kms_key,
        [f"-on-error={on_error}", *([DEBUG] if debug else [])], signing,
    )  # fmt: skip
    report = build_ami(selection, options, catalog, Progress(quiet=debug, events=as_json), frozen=frozen)
    if as_json:
        print_json(report)
    else:
        out.print(f"{report['ami']} {report['name']} in {report['region']}", markup=False)
        out.print(f"channel: {report['parameter']}", markup=False)
        out.print(f"suite on the AMI: {report['suite']['passed']} passed; files: {report['dir']}", markup=False)
        for line in report["over_budget"]:
            out.print(f"over budget: {line}", markup=False)
    if strict:
        budgets.insist(report["over_budget"], report["dir"])
