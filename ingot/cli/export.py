"""The commands that write files for other AWS services: export."""

from pathlib import Path
from typing import Annotated

import typer

from ingot.cli.options import (
    ImageArg,
    StackOption,
    catalog,
    command_line,
    ec2_name,
    print_file,
    select_image,
    systems,
    types,
)

app = typer.Typer(help="Write files for other AWS services.", rich_markup_mode=None)

OsOption = Annotated[str, typer.Option("--os", help="Operating system of the image.", autocompletion=systems)]
ArchOption = Annotated[str, typer.Option("--arch", help="Architecture of the image.")]
OutputOption = Annotated[Path | None, typer.Option("--output", help="Write to this file instead of printing; atomic.")]


def _clusters() -> list[str]:
    return sorted(name for name, row in catalog().images.items() if row.platform == "parallelcluster")


def _write(text: str, remarks: list[str], output: Path | None) -> None:
    """Print the text or write it to a file; remarks go to standard error."""
    from ingot.paths import write_text

    if output is None:
        print_file(text, remarks)
        return
    print_file("", remarks)
    try:
        write_text(output, text)
    except OSError as error:
        from ingot.errors import UsageError

        raise UsageError(f"cannot write {output}: {error.strerror}", place="--output") from None


@app.command(
    epilog="Example: ingot export pcluster parallelcluster --ami ami-0123456789abcdef0 --instance-type p5.48xlarge"
    " --subnet subnet-0123456789abcdef0 --nodes 4 > cluster.yml"
)
def pcluster(
    image: Annotated[str, typer.Argument(help="Image for ParallelCluster.", autocompletion=_clusters)],
    ami: Annotated[str, typer.Option("--ami", help="Id of the AMI.", show_default=False)],
    instance_type: Annotated[
        str,
        typer.Option(
            "--instance-type",
            help="Instance type of the nodes.",
            callback=ec2_name,
            autocompletion=types,
            show_default=False,
        ),
    ],
    subnet: Annotated[str, typer.Option("--subnet", help="Subnet of the nodes.", show_default=False)],
    nodes: Annotated[int, typer.Option("--nodes", help="Maximum number of nodes.")] = 2,
    capacity_block: Annotated[
        str, typer.Option("--capacity-block", help="Capacity block of the nodes.", show_default=False)
    ] = "",
    head_instance_type: Annotated[
        str,
        typer.Option(
            "--head-instance-type", help="Instance type of the head node; small, without accelerators, by default."
        ),
    ] = "",
    head_subnet: Annotated[
        str, typer.Option("--head-subnet", help="Subnet of the head node; the nodes' by default.", show_default=False)
    ] = "",
    key_name: Annotated[str, typer.Option("--key-name", help="Key pair for ssh; Session Manager needs none.")] = "",
    os_name: OsOption = "ubuntu2404",
    arch: ArchOption = "x86_64",
    stack: StackOption = "",
    region: Annotated[str, typer.Option("--region", help="Region of the cluster.", show_default=False)] = "",
    output: OutputOption = None,
) -> None:
    """Print a configuration of AWS ParallelCluster.

    Its nodes start from a built AMI. EFA, placement and capacity follow the instance type. An image that does not fit
    the instance type is an error.
    """
    from ingot.export.pcluster import Cluster, export

    whole, selection = select_image(image, os_name, arch, stack, stale=True)
    cluster = Cluster(
        selection, ami, instance_type, subnet, nodes,
        capacity_block, head_instance_type, head_subnet, key_name, region,
    )  # fmt: skip
    text, remarks = export(cluster, whole, command_line())
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
        str, typer.Option("--region", help="Use the current base image of this region.", show_default=False)
    ] = "",
    instance_types: Annotated[
        list[str] | None,
        typer.Option("--instance-type", help="Instance type to build on; may be repeated.", callback=ec2_name),
    ] = None,
    output: OutputOption = None,
) -> None:
    """Print a template for EC2 Image Builder.

    It is a CloudFormation template of a pipeline that builds the same image from the same lock as `ingot ami build`,
    runs the suite before and after the AMI is made, and updates the candidate channel. Its parameters name the
    tarball of the checkout.
    """
    from ingot.ami.capacity import Options
    from ingot.export.image_builder import export

    whole, selection = select_image(image, os_name, arch, stack)
    text, remarks = export(selection, Options(region, instance_types or []), whole, command_line())
    _write(text, remarks, output)
