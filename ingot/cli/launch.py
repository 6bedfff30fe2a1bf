"""The command that starts training somewhere: launch."""

import shlex
import sys
from typing import Annotated

import typer

from ingot.cli.options import StackOption, catalog, types

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
    name: Annotated[str, typer.Argument(help="A container of catalog/containers.yml.", autocompletion=_launchable)],
    on: Annotated[
        str, typer.Option("--instance-type", help="What it runs on.", autocompletion=types, show_default=False)
    ],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="After --: more arguments of the training script.", show_default=False)
    ] = None,
    nodes: Annotated[int, typer.Option("--nodes", help="How many of them.")] = 1,
    container: Annotated[
        str,
        typer.Option("--container", help="Where nodes pull it from, or a squashfs file of Pyxis.", show_default=False),
    ] = "",
    bare: Annotated[bool, typer.Option("--bare", help="With slurm: run what the machine image itself has.")] = False,
    checkpoints: Annotated[
        str, typer.Option("--checkpoints", help="A folder that all nodes share, to resume from.", show_default=False)
    ] = "",
    claim: Annotated[
        str, typer.Option("--claim", help="In Kubernetes: the persistent volume claim of --checkpoints.")
    ] = "checkpoints",
    processes: Annotated[
        int,
        typer.Option(
            "--processes", help="Processes a node; as many as devices, or 1, by default.", min=0, show_default=False
        ),
    ] = 0,
    env: Annotated[
        list[str] | None, typer.Option("--env", help="NAME=VALUE for the job, judged by the rules; may be repeated.")
    ] = None,
    os_name: Annotated[
        str,
        typer.Option(
            "--os",
            help="The lock whose versions decide the environment; by default of what its containers are built on.",
            show_default=False,
        ),
    ] = "",
    stack: StackOption = "",
) -> None:
    """Print the job file for a training run.

    That is a batch script for slurm; for kubernetes a Service and an indexed Job, or what JobSet or Kubeflow's training
    operator make pods of; for batch the definition of a multi-node parallel job of AWS Batch.

    Devices, EFA interfaces and processes follow the instance type; the environment follows the rules of
    catalog/settings.yml for the lock's versions, and what they say of --env goes to standard error.
    """
    from ingot.console import err
    from ingot.export.launch import launch as render

    whole = catalog()
    text, remarks = render(
        whole,
        scheduler,
        name,
        instance_type=on,
        nodes=nodes,
        os_name=os_name,
        stack=stack or whole.newest_stack,
        command_line=shlex.join(["ingot", *sys.argv[1:]]),
        container=container,
        bare=bare,
        checkpoints=checkpoints,
        claim=claim,
        processes=processes,
        environment=env,
        arguments=arguments,
    )
    for remark in remarks:
        err.print(remark, markup=False)
    print(text, end="")
