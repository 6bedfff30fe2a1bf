"""The commands that write what other services build and start images by: export."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ingot.cli.options import ImageArg, StackOption, catalog, select_image, systems, types

app = typer.Typer(help="Write files for other AWS services.", rich_markup_mode=None)

OsOption = Annotated[str, typer.Option("--os", help="Operating system of the image.", autocompletion=systems)]
ArchOption = Annotated[str, typer.Option("--arch", help="Architecture of the image.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", help="Write to this file, whole or not at all, instead of printing.")
]


def _clusters() -> list[str]:
    return sorted(name for name, row in catalog().images.items() if row.platform == "parallelcluster")


def _write(text: str, remarks: list[str], output: Path | None) -> None:
    """Give the text to whom it is for; remarks go to standard error."""
    from ingot.console import err
    from ingot.paths import write_text

    for remark in remarks:
        err.print(remark, markup=False)
    if output is None:
        print(text, end="")
        return
    try:
        write_text(output, text)
    except OSError as error:
        from ingot.errors import UsageError

        raise UsageError(f"cannot write {output}: {error.strerror}", place="--output") from None


def _command_line() -> str:
    """What was typed, on one line, for the head of what is written."""
    return " ".join(shlex.join(["ingot", *sys.argv[1:]]).split())


@app.command(
    epilog="Example: ingot export pcluster parallelcluster --ami ami-0123456789abcdef0 --instance-type p5.48xlarge"
    " --subnet subnet-0123456789abcdef0 --nodes 4 > cluster.yml"
)
def pcluster(
    image: Annotated[str, typer.Argument(help="An image for ParallelCluster.", autocompletion=_clusters)],
    ami: Annotated[str, typer.Option("--ami", help="The id of the built AMI.", show_default=False)],
    instance_type: Annotated[
        str, typer.Option("--instance-type", help="What nodes are.", autocompletion=types, show_default=False)
    ],
    subnet: Annotated[str, typer.Option("--subnet", help="Where nodes are.", show_default=False)],
    nodes: Annotated[int, typer.Option("--nodes", help="How many of them at most.")] = 2,
    capacity_block: Annotated[
        str, typer.Option("--capacity-block", help="The capacity block that all nodes are of.", show_default=False)
    ] = "",
    head_instance_type: Annotated[
        str, typer.Option("--head-instance-type", help="What the head node is; a small one without accelerators.")
    ] = "",
    head_subnet: Annotated[
        str, typer.Option("--head-subnet", help="Where the head node is; the nodes' by default.", show_default=False)
    ] = "",
    key_name: Annotated[
        str, typer.Option("--key-name", help="The key pair to log in with; Session Manager needs none.")
    ] = "",
    os_name: OsOption = "ubuntu2404",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    region: Annotated[str, typer.Option("--region", help="Where the cluster is.", show_default=False)] = "",
    output: OutputOption = None,
) -> None:
    """Print a configuration of AWS ParallelCluster.

    Its nodes start from a built AMI. EFA, placement and capacity follow the instance type. What does not fit
    between image and type is refused.
    """
    from ingot.export.pcluster import Cluster, export

    whole, selection = select_image(image, os_name, arch, stack, stale=True)
    cluster = Cluster(
        selection, ami, instance_type, subnet, nodes,
        capacity_block, head_instance_type, head_subnet, key_name, region,
    )  # fmt: skip
    text, remarks = export(cluster, whole, _command_line())
    _write(text, remarks, output)


@app.command(
    "image-builder",
    epilog="Example: ingot export image-builder ec2-cpu --os debian12 > template.yml"
    "   ·   ingot export image-builder parallelcluster --region us-east-1 | cfn-lint",
)
def image_builder(
    image: ImageArg,
    os_name: OsOption = "ubuntu2404",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    region: Annotated[
        str, typer.Option("--region", help="Name the base image that this region has now.", show_default=False)
    ] = "",
    instance_types: Annotated[
        list[str] | None,
        typer.Option("--instance-type", help="Build on one of these, instead of the catalog's; may be repeated."),
    ] = None,
    output: OutputOption = None,
) -> None:
    """Print a template for EC2 Image Builder.

    CloudFormation makes a pipeline of it that builds the image in the cloud. The pipeline makes the same image of
    the same lock as `ingot ami build`, runs the suite before and after it is an AMI, and puts it into the channel
    candidate. Parameters say where a tarball of the checkout lies.
    """
    from ingot.ami.capacity import Options
    from ingot.export.image_builder import export

    whole, selection = select_image(image, os_name, arch, stack)
    text, remarks = export(selection, Options(region, instance_types or []), whole, _command_line())
    _write(text, remarks, output)
