"""The command that judges versions by advisories: audit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingot.cli.options import ArchOption, JsonOption, StackOption, catalog, images, print_json

if TYPE_CHECKING:
    from ingot.catalog.catalog import Catalog
    from ingot.plan.audit import Subject

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Example: ingot audit locks/2026.11/ubuntu2404-x86_64.yml   ·   ingot audit ec2 --os al2023 --json")
def audit(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="Lock, manifest.json, SBOM or requirements.txt; image or container; AMI or CHANNEL:IMAGE/OS/ARCH.",
            autocompletion=images,
        ),
    ],
    osv: Annotated[
        list[Path] | None,
        typer.Option("--osv", help="OSV or OpenVEX file, or a folder of them, for its packages; may be repeated."),
    ] = None,
    os_name: Annotated[str, typer.Option("--os", help="With an image: operating system.")] = "ubuntu2404",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    region: Annotated[
        str, typer.Option("--region", help="With an AMI or channel: its region.", show_default=False)
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Judge versions by known vulnerabilities.

    Exits with 1 if something is open, with 0 if nothing is or the stack accepts it, and with 2 if it cannot judge.
    """
    from ingot.errors import IngotError
    from ingot.plan import audit as audits
    from ingot.plan import osv as others

    try:
        whole = catalog()
        subject = _subject(what, whole, os_name, arch, stack, region)
        brought = others.read(osv or [], subject.things)
        report = audits.judge(subject, whole, brought.applied, brought.unread)
    except IngotError as error:
        raise audits.as_usage(error) from None
    print_json(report) if as_json else _print(report)
    raise typer.Exit(1 if report["open"] else 2 if report["unread"] else 0)


def _subject(what: str, whole: "Catalog", os_name: str, arch: str, stack: str, region: str) -> "Subject":
    from ingot.cli.options import at
    from ingot.errors import UsageError
    from ingot.lock import select
    from ingot.plan import audit as audits
    from ingot.yamlfile import nearest

    path = Path(what)
    if what in whole.images:
        _, target = at(os_name, arch, stack)
        return audits.of_selection(select.image(whole, target, what, stale=True))
    if what in whole.containers:
        from ingot.container.build import CONTAINERS

        lists = sorted((CONTAINERS / what).glob("requirements*.txt"))
        return audits.of_requirements(lists, f"container {what}") if lists else audits.Subject(f"container {what}")
    if what.startswith("ami-") or (":" in what and "/" in what and not path.exists()):
        from ingot.ami.ami import find
        from ingot.sources.aws import everywhere, regions

        ami = everywhere(regions([region] if region else [], "show"), "show", lambda place: find(place, what))[0]
        return audits.of_versions(f"{what}: {ami.name} ({ami.id})", ami.components, ami.tag("stack"), whole)
    if path.exists() or path.suffix in (".yml", ".yaml", ".json", ".txt"):
        return audits.of_file(path, whole)
    hint = nearest(what, [*whole.images, *whole.containers])
    raise UsageError(f"neither a file nor an image: {what!r}", hint=f"give {audits.KINDS}; {hint}")


def _print(report: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from ingot.catalog.advisories import engine
    from ingot.console import out

    rated = engine().rated
    shown = [finding for finding in report["findings"] if finding["state"] != "accepted"]
    if shown:
        table = Table("state", "severity", "what", "version", "advisory", "fixed in", "fault", box=None, pad_edge=False)
        for finding in shown:
            fault = "; ".join(filter(None, (finding["summary"], finding["note"], finding["why"], finding["place"])))
            cells = (finding["name"], finding["version"], finding["id"], finding["fixed"] or "–", fault)
            table.add_row(finding["state"], rated(finding), *map(escape, cells))
        out.print(table)
        out.print()
    for line in engine().accepted(report["findings"]):
        out.print(line, markup=False)
    if report["states"]["accepted"]:
        out.print()
    if report["unjudged"]:
        out.print(f"Not judged, since nothing says their version: {', '.join(report['unjudged'])}.", markup=False)
    for line in report["unread"]:
        out.print(f"not read: {line}", markup=False)
    states = ", ".join(f"{count} {state}" for state, count in report["states"].items() if count)
    out.print(f"{report['subject']}: {states or 'nothing is known against it'}.", markup=False)
