"""The commands for the catalog: init, list, instance-type, catalog."""

from pathlib import Path
from typing import Annotated

import typer

from ingot.cli.options import JsonOption, catalog, images, print_json, types

app = typer.Typer(rich_markup_mode=None)
listing = typer.Typer(rich_markup_mode=None, epilog="Example: ingot list --json   ·   ingot list stale")
files = typer.Typer(help="Write generated parts of the catalog.", no_args_is_help=True, rich_markup_mode=None)


@app.command(epilog="Example: ingot init team && ingot --catalog team lock --os debian13")
def init(folder: Annotated[Path, typer.Argument(help="Empty or new folder.")]) -> None:
    """Create a team's own catalog.

    Writes a commented stack that extends the newest one; locks go next to it.
    """
    from ingot.catalog.own import begin
    from ingot.console import out

    for path in begin(folder, catalog()):
        out.print(path, markup=False)


@listing.callback(invoke_without_command=True)
def list_(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the contents of the catalog.

    Lists images, operating systems, stacks, containers, components and families of instance types.
    """
    if context.invoked_subcommand is not None:
        return
    from ingot.catalog.instance_types import read_types, summaries
    from ingot.console import out

    whole = catalog()
    data = {
        "images": {name: image.summary for name, image in whole.images.items()},
        "operating_systems": {name: system.name for name, system in whole.operating_systems.items()},
        "stacks": {name: stack.summary for name, stack in whole.stacks.items()},
        "containers": {name: container.summary for name, container in whole.containers.items()},
        "components": {name: component.summary for name, component in whole.components.items()},
        "instance_families": summaries(read_types()),
    }
    if as_json:
        print_json(data)
        return
    for kind, rows in data.items():
        out.print(kind.replace("_", " "))
        for name, summary in rows.items():
            out.print(f"  {name:26}{summary}", markup=False)


@listing.command(epilog="Example: ingot list stale")
def stale(as_json: JsonOption = False) -> None:
    """List pins whose review is overdue."""
    from datetime import date

    from ingot.lock import hygiene

    _print_lines(hygiene.stale(catalog(), date.today()), as_json)


@listing.command(epilog="Example: ingot list unresolved --json")
def unresolved(as_json: JsonOption = False) -> None:
    """List pins that are less than a digest.

    Counts each lock's components by grade (digest, signature, base, unresolved), and says what keeps them from digest;
    also lists families of instance types that no source describes. Builds and `ingot lock record` record digests.
    """
    from ingot.lock import hygiene

    facts = hygiene.unresolved(catalog())
    if as_json:
        print_json(facts)
    else:
        _print_lines(hygiene.lines(facts), as_json)


@listing.command(epilog="Example: ingot list builds parallelcluster")
def builds(
    image: Annotated[str, typer.Argument(help="Only of this image.", autocompletion=images, show_default=False)] = "",
    as_json: JsonOption = False,
) -> None:
    """List finished builds of images on this machine.

    The last twenty of each image and system, local builds and AMIs, the newest last.
    """
    from ingot.console import out
    from ingot.image import history
    from ingot.image.report import render_builds
    from ingot.paths import ROOT

    rows = [row for row in history.builds(ROOT / "build") if not image or row["image"] == image]
    print_json(rows) if as_json else out.print(render_builds(rows))


def _print_lines(lines: list[str], as_json: bool) -> None:
    from ingot.console import out

    print_json(lines) if as_json else out.print("\n".join(lines or ["nothing"]), markup=False)


@app.command("instance-type", epilog="Example: ingot instance-type p5.48xlarge --json")
def instance_type(
    name: Annotated[str, typer.Argument(help="Instance type, for example p5.48xlarge.", autocompletion=types)],
    as_json: JsonOption = False,
) -> None:
    """Show the facts about an EC2 instance type.

    Prints its devices, EFA, kernel module, services and images, with sources.
    """
    from ingot.catalog.instance_types import describe
    from ingot.console import out
    from ingot.plan.fit import images_for

    facts = describe(name)
    facts["images"] = images_for(catalog().images, facts["accelerator"])
    if as_json:
        print_json(facts)
        return
    for key, value in facts.items():
        pairs = [f"{name} {fact}" for name, fact in value.items()] if isinstance(value, dict) else value
        text = ", ".join(map(str, pairs)) if isinstance(pairs, list) else pairs
        out.print(f"{key.replace('_', ' '):20}{'–' if text in (None, '') else text}", markup=False)


@files.command(
    "instance-types", epilog="Example: ingot catalog instance-types --from aws --region us-east-1 --region us-west-2"
)
def catalog_instance_types(
    source: Annotated[
        str, typer.Option("--from", help="aws to query EC2, or output of `aws ec2 describe-instance-types`, also .gz.")
    ],
    regions: Annotated[
        list[str] | None, typer.Option("--region", help="With aws: region to query; may be repeated.")
    ] = None,
    recorded: Annotated[str, typer.Option("--as", help="With a file: its source and date.", show_default=False)] = "",
) -> None:
    """Update instance_types.json from EC2.

    Prints the differences.
    """
    from datetime import date

    from ingot.catalog import instance_recording as module
    from ingot.catalog.instance_types import FAMILIES, TYPES, read_families, read_recorded
    from ingot.console import out
    from ingot.errors import UsageError
    from ingot.model.instance import InstanceTypes
    from ingot.paths import CATALOG, write_text
    from ingot.sources import ec2

    if source == "aws":
        answer, queried = ec2.instance_types(regions or [])
        recorded = recorded or f"DescribeInstanceTypes in {', '.join(queried)} on {date.today()}"
    elif regions:
        raise UsageError("--region needs --from aws", hint="leave out --region, or use --from aws")
    elif not recorded:
        raise UsageError("a file needs --as, its source and date", hint="--as 'EC2 in us-east-1, 2026-11-24'")
    else:
        answer = module.read_answer(Path(source))
    path, families = CATALOG / TYPES, read_families(CATALOG)
    new = module.from_answer(answer, families, recorded)
    module.check_complete(new, families, CATALOG / FAMILIES)
    old = read_recorded(CATALOG) if path.exists() else InstanceTypes(recorded="", types={})
    for line in module.changes(old, new):
        out.print(line, markup=False)
    write_text(path, module.dump(new))
    out.print(f"{len(new.types)} instance types in {path.relative_to(CATALOG.parent)}", markup=False)


def _kinds() -> list[str]:
    from ingot.catalog.schema import SHAPES

    return sorted(SHAPES)


@files.command(epilog="Example: ingot catalog schema stack > .stack.schema.json")
def schema(
    kind: Annotated[str, typer.Argument(help="Kind of file, for example stack.", autocompletion=_kinds)],
) -> None:
    """Print the JSON Schema of a catalog file.

    Editors check and complete YAML with it: put `# yaml-language-server: $schema=.stack.schema.json` on the first line.
    """
    from ingot.catalog.schema import schema as render

    print_json(render(kind))
