"""The command line: reads options, calls one function, prints its answer. Modules are imported when a command runs."""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ingot import __version__
from ingot.cli import ami as cli_ami
from ingot.cli import ami_build as cli_ami_build
from ingot.cli import container as cli_container
from ingot.cli import export as cli_export
from ingot.cli import image as cli_image
from ingot.cli import launch as cli_launch
from ingot.cli import mirror as cli_mirror
from ingot.cli import nccl as cli_nccl
from ingot.cli import stack as cli_stack
from ingot.cli.options import ArchOption, JsonOption, StackOption, find_stack, print_json, types
from ingot.errors import IngotError

app = typer.Typer(
    name="ingot",
    help="Machine images and containers for distributed training, from one lock file.",
    epilog="Example: ingot local parallelcluster --os debian13",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"ingot {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    own: Annotated[
        Path | None,
        typer.Option("--catalog", envvar="INGOT_CATALOG", help="A team's own catalog, laid over Ingot's."),
    ] = None,
) -> None:
    """Machine images and containers for distributed training, from one lock file."""
    if own:
        os.environ["INGOT_CATALOG"] = str(own)


app.add_typer(cli_image.app)
app.add_typer(cli_stack.app)
app.add_typer(cli_container.app)
app.add_typer(cli_mirror.app)
app.add_typer(cli_launch.app)
app.add_typer(cli_nccl.app, name="nccl")
cli_ami.app.add_typer(cli_ami_build.app)
app.add_typer(cli_ami.app, name="ami")
app.add_typer(cli_export.app, name="export")
catalog_app = typer.Typer(help="Write generated parts of the catalog.", rich_markup_mode=None)
app.add_typer(catalog_app, name="catalog")


@app.command(epilog="Example: ingot init team && ingot --catalog team lock --os debian13")
def init(folder: Annotated[Path, typer.Argument(help="A folder that is empty or does not exist yet.")]) -> None:
    """Begin a catalog of one's own: a stack that extends the newest one, with comments; its locks go beside it."""
    from ingot.catalog.own import begin
    from ingot.console import out

    catalog, _ = find_stack("")
    for path in begin(folder, catalog):
        out.print(path, markup=False)


@app.command("list", epilog="Example: ingot list --json   ·   ingot list --stale")
def list_(
    stale: Annotated[bool, typer.Option("--stale", help="Instead, the pins whose review is overdue.")] = False,
    unresolved: Annotated[bool, typer.Option("--unresolved", help="Instead, what no fact is known of yet.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List images, operating systems, stacks, containers, components and families of instance types."""
    from datetime import date

    from ingot.catalog.instance_types import read_types, summaries
    from ingot.console import out
    from ingot.lock import hygiene

    catalog, _ = find_stack("")
    if stale or unresolved:
        lines = hygiene.stale(catalog, date.today()) if stale else []
        lines += hygiene.unresolved(catalog) if unresolved else []
        print_json(lines) if as_json else out.print("\n".join(lines or ["nothing"]), markup=False)
        return
    data = {
        "images": {name: image.summary for name, image in catalog.images.items()},
        "operating_systems": {name: system.name for name, system in catalog.operating_systems.items()},
        "stacks": {name: stack.summary for name, stack in catalog.stacks.items()},
        "containers": {name: container.summary for name, container in catalog.containers.items()},
        "components": {name: component.summary for name, component in catalog.components.items()},
        "instance_families": summaries(read_types()),
    }
    if as_json:
        print_json(data)
        return
    for kind, rows in data.items():
        out.print(kind.replace("_", " "))
        for name, summary in rows.items():
            out.print(f"  {name:26}{summary}", markup=False)


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
    """Judge the environment that a job sets for EFA and NCCL, and with --manifest the versions in an image.

    The exit status is 1 on an error, 0 on warnings and info alone.
    """
    from ingot.console import out
    from ingot.errors import UsageError
    from ingot.plan import check as checks

    if manifest and os_name:
        raise UsageError("--manifest and --os both name versions", hint="give one of them")
    catalog, stack = find_stack(stack)
    known = checks.Image()
    if manifest:
        known = checks.of_manifest(manifest, catalog)
    elif os_name:
        known = checks.of_lock(catalog, image, os_name, arch, stack)
    report = checks.check(files or [], env or [], known, catalog, instance_type or None)
    print_json(report) if as_json else out.print(checks.render(report), markup=False)
    raise typer.Exit(1 if checks.failed(report) else 0)


@app.command("instance-type", epilog="Example: ingot instance-type p5.48xlarge --json")
def instance_type(
    name: Annotated[str, typer.Argument(help="A type, family.size.", autocompletion=types)], as_json: JsonOption = False
) -> None:
    """Say what is known of an EC2 instance type: its devices, EFA, kernel module, services, images, and the sources."""
    from ingot.catalog.instance_types import describe
    from ingot.console import out
    from ingot.plan.fit import images_for

    facts = describe(name)
    facts["images"] = images_for(find_stack("")[0].images, facts["accelerator"])
    if as_json:
        print_json(facts)
        return
    for key, value in facts.items():
        pairs = [f"{name} {fact}" for name, fact in value.items()] if isinstance(value, dict) else value
        shown = ", ".join(map(str, pairs)) if isinstance(pairs, list) else pairs
        out.print(f"{key.replace('_', ' '):20}{'–' if shown in (None, '') else shown}", markup=False)


@catalog_app.command(
    "instance-types", epilog="Example: ingot catalog instance-types --from aws --region us-east-1 --region us-west-2"
)
def catalog_instance_types(
    source: Annotated[
        str, typer.Option("--from", help="aws to ask EC2, or a file of `aws ec2 describe-instance-types`; .gz too.")
    ],
    regions: Annotated[
        list[str] | None, typer.Option("--region", help="With aws: a region to ask; may be repeated.")
    ] = None,
    recorded: Annotated[
        str, typer.Option("--as", help="With a file: whose answer it is, and of which day.", show_default=False)
    ] = "",
) -> None:
    """Write catalog/instance_types.yml anew from an answer of the EC2 API, and print what differs."""
    from datetime import date

    from ingot.catalog import instance_types as module
    from ingot.console import out
    from ingot.errors import UsageError
    from ingot.paths import CATALOG, write_text
    from ingot.sources import ec2
    from ingot.yamlfile import load

    if source == "aws":
        answer, asked = ec2.instance_types(regions or [])
        recorded = recorded or f"DescribeInstanceTypes in {', '.join(asked)} on {date.today()}"
    elif regions:
        raise UsageError("--region goes with --from aws", hint="leave it out, or ask EC2")
    elif not recorded:
        raise UsageError("--as is missing", hint="--as 'EC2 in us-east-1, 2026-11-24', for a reader of the catalog")
    else:
        answer = module.read_answer(Path(source))
    path, families = CATALOG / module.TYPES, module.read_families()
    new = module.from_answer(answer, families, recorded)
    module.check_complete(new, families, CATALOG / module.FAMILIES)
    old = load(path, module.InstanceTypes) if path.exists() else module.InstanceTypes(recorded="", types={})
    for line in module.changes(old, new):
        out.print(line, markup=False)
    write_text(path, module.dump(new))
    out.print(f"{len(new.types)} instance types in {path.relative_to(CATALOG.parent)}", markup=False)


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
