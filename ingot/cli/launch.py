"""The command that writes job files for training: launch."""

from typing import Annotated

import typer

from ingot.cli.options import StackOption, catalog, command_line, ec2_name, print_file, types

app = typer.Typer(rich_markup_mode=None)


def _launchable() -> list[str]:
    return sorted(name for name, row in catalog().containers.items() if row.script)


def _schedulers() -> list[str]:
    from ingot.export.launch import TEMPLATES

    return list(TEMPLATES)


@app.command(
    epilog="Examples: ingot launch slurm fsdp --instance-type hpc7a.48xlarge --nodes 4 > train.sbatch   ·   "
    "ingot launch slurm --script /fsx/train.py --name mine --container REFERENCE --instance-type p5.48xlarge"
)
def launch(
    scheduler: Annotated[
        str, typer.Argument(help="slurm, kubernetes, jobset, pytorchjob or batch.", autocompletion=_schedulers)
    ],
    on: Annotated[
        str,
        typer.Option(
            "--instance-type",
            help="Instance type of the nodes.",
            callback=ec2_name,
            autocompletion=types,
            show_default=False,
        ),
    ],
    program: Annotated[
        str,
        typer.Argument(
            help="Container of catalog/containers.yml.",
            metavar="[CONTAINER]",
            autocompletion=_launchable,
            show_default=False,
        ),
    ] = "",
    arguments: Annotated[
        list[str] | None, typer.Argument(help="After --: more arguments for the training script.", show_default=False)
    ] = None,
    script: Annotated[
        str,
        typer.Option(
            "--script", help="Your own program instead of a container's: its path on the nodes.", show_default=False
        ),
    ] = "",
    module: Annotated[
        str, typer.Option("--module", help="Your own program as a Python module.", show_default=False)
    ] = "",
    name: Annotated[
        str, typer.Option("--name", help="Name of the job; by default that of its program.", show_default=False)
    ] = "",
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
    mount: Annotated[
        list[str] | None,
        typer.Option("--mount", help="SOURCE:FOLDER; the source is a folder of nodes, or a claim. May be repeated."),
    ] = None,
    partition: Annotated[str, typer.Option("--partition", help="With slurm: the partition.", show_default=False)] = "",
    account: Annotated[str, typer.Option("--account", help="With slurm: who pays.", show_default=False)] = "",
    qos: Annotated[str, typer.Option("--qos", help="With slurm: the quality of service.", show_default=False)] = "",
    namespace: Annotated[
        str, typer.Option("--namespace", help="With Kubernetes: the namespace.", show_default=False)
    ] = "",
    queue: Annotated[
        str, typer.Option("--queue", help="The local queue of Kueue, or the job queue of Batch.", show_default=False)
    ] = "",
    zone: Annotated[
        str, typer.Option("--zone", help="With Kubernetes: the zone of all nodes.", show_default=False)
    ] = "",
    secret: Annotated[
        str, typer.Option("--secret", help="With Kubernetes: a secret whose keys become variables.", show_default=False)
    ] = "",
    time: Annotated[
        str, typer.Option("--time", help="Longest time to run, HH:MM or D-HH:MM.", show_default=False)
    ] = "",
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

    The program is that of a container, or your own with --script or --module: torchrun starts it in --container, or on
    the machine image with --bare.

    Devices, EFA interfaces and processes follow the instance type; the environment follows the rules of
    catalog/settings.yml for the lock's versions. Findings on --env go to standard error.
    """
    from ingot.export.launch import Job
    from ingot.export.launch import launch as render
    from ingot.export.scheduling import Scheduling

    scheduling = Scheduling(partition, account, qos, namespace, queue, zone, secret, time)
    job = Job(on, nodes, os_name, stack, command_line(), container, env or [], name, mount or [], scheduling)
    text, remarks = render(
        catalog(),
        scheduler,
        program,
        job,
        script=script,
        module=module,
        bare=bare,
        checkpoints=checkpoints,
        claim=claim,
        processes=processes,
        arguments=arguments,
    )
    print_file(text, remarks)
