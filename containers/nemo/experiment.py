"""Runs train.py through NeMo-Run: on this machine by its local executor, on a cluster by its executor for Slurm.

Unknown options are passed to train.py.
"""

import argparse
import contextlib
import sys
from pathlib import Path

import nemo_run as run

TRAIN = Path(__file__).with_name("train.py")


def executor(options: argparse.Namespace) -> run.Executor:
    """Where it runs: one torchrun per node, which starts the processes."""
    if options.executor == "local":
        return run.LocalExecutor(ntasks_per_node=options.processes, launcher="torchrun")
    return run.SlurmExecutor(
        account=options.account,
        # The default prefix is made from the account, which is optional.
        job_name_prefix="nemo-",
        partition=options.partition,
        nodes=options.nodes,
        ntasks_per_node=options.processes,
        time=options.time,
        container_image=options.container,
        # Submitted from this machine; the program is in the container, so nothing is packaged.
        tunnel=run.LocalTunnel(job_dir=str(options.folder)),
        packager=run.Packager(),
        launcher="torchrun",
    )


def batch_script(experiment: run.Experiment) -> str:
    """The batch script that NeMo-Run wrote."""
    where = experiment.jobs[0].executor
    return (Path(where.experiment_dir) / f"{where.job_name}_sbatch.sh").read_text()


def main() -> None:
    """Read the options; run the experiment, or show what would be run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("executor", choices=["local", "slurm"])
    parser.add_argument("--dry-run", action="store_true", help="print what would be run; with slurm, the batch script")
    parser.add_argument("--processes", type=int, default=2, help="processes per node")
    slurm = parser.add_argument_group("with slurm")
    slurm.add_argument("--nodes", type=int, default=2)
    slurm.add_argument("--account")
    slurm.add_argument("--partition")
    slurm.add_argument("--time", default="01:00:00", help="time limit")
    slurm.add_argument("--container", help="the image that nodes pull, as Pyxis writes it")
    slurm.add_argument("--folder", type=Path, default=Path.cwd() / "nemo-run", help="for logs, shared by all nodes")
    options, arguments = parser.parse_known_args()
    script = options.dry_run and options.executor == "slurm"
    # NeMo-Run wraps its output into narrow lines; the script alone goes to standard output, unwrapped.
    with (
        contextlib.redirect_stdout(sys.stderr if script else sys.stdout),
        run.Experiment("nemo", executor=executor(options)) as experiment,
    ):
        experiment.add(run.Script(path=str(TRAIN), entrypoint="python", args=arguments), name="train", tail_logs=True)
        if options.dry_run:
            experiment.dryrun(log=not script, delete_exp_dir=not script)
        else:
            experiment.run(detach=options.executor == "slurm", tail_logs=True)
    if script:
        print(batch_script(experiment))


if __name__ == "__main__":
    main()
