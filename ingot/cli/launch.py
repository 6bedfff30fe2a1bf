"""The command that writes job files for training: launch."""

from typing import Annotated

import typer

from ingot.cli.options import StackOption, catalog, command_line, print_file, types

app = typer.Typer(rich_markup_mode=None)


def _launchable() -> list[str]:
    return sorted(name for name, row in catalog().containers.items() if row.script)


def _schedulers() -> list[str]:
    from ingot.export.launch import TEMPLATES

    return list(TEMPLATES)


@app.command(epilog="Example: ingot launch slurm fsdp --instance-type hpc7a.48xlarge --nodes 4 > train.sbatch")
def launch(
    scheduler: Annotated[
        str, typer.Argument(help="slurm, kubernetes, jobset, pytorchjob or batch.", autocompletion=_schedulers)
    ],
    name: Annotated[str, typer.Argument(help="Container of catalog/containers.yml.", autocompletion=_launchable)],
    on: Annotated[
        str,
        typer.Option("--instance-type", help="Instance type of the nodes.", autocompletion=types, show_default=False),
    ],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="After --: more arguments for the training script.", show_default=False)
    ] = None,
    nodes: Annotated[int, typer.Option("--nodes", help="Number of nodes.")] = 1,
    container: Annotated[
        str,
        typer.Option("--container", help="Reference to pull, or squashfs file for Pyxis.", show_default=False),
    ] = "",
    bare: Annotated[
        bool, typer.Option("--bare", help="With slurm: run on the machine image, without a container.")
    ] = False,
    checkpoints: Annotated[
        str, typer.Option("--checkpoints", help="Shared folder to save to and resume from.", show_default=False)
    ] = "",
    claim: Annotated[
        str, typer.Option("--claim", help="With Kubernetes: persistent volume claim of --checkpoints.")
    ] = "checkpoints",
    processes: Annotated[
        int,
        typer.Option(
            "--processes", help="Processes per node; by default one per device, or 1.", min=0, show_default=False
        ),
    ] = 0,
    env: Annotated[
        list[str] | None, typer.Option("--env", help="NAME=VALUE for the job, checked by the rules; may be repeated.")
    ] = None,
    os_name: Annotated[
        str,
        typer.Option(
            "--os",
            help="System whose lock sets the environment; by default that of the container.",
            show_default=False,
        ),
    ] = "",
    stack: StackOption = "",
) -> None:
    """Print the job file for a training run.

    Prints a batch script for slurm, a Service and an indexed Job for kubernetes, a JobSet, a PyTorchJob for Kubeflow's
    training operator, or a multi-node parallel job definition for AWS Batch.

    Devices, EFA interfaces and processes follow the instance type; the environment follows the rules of
    catalog/settings.yml for the lock's versions. Findings on --env go to standard error.
    """
    from ingot.export.launch import Job
    from ingot.export.launch import launch as render

    job = Job(on, nodes, os_name, stack, command_line(), container, env or [])
    text, remarks = render(
        catalog(),
        scheduler,
        name,
        job,
        bare=bare,
        checkpoints=checkpoints,
        claim=claim,
        processes=processes,
        arguments=arguments,
    )
    print_file(text, remarks)
