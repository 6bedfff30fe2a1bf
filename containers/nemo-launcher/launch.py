"""Renders a Hydra configuration, as NeMo 1's launcher reads it, as a batch script for Slurm with Pyxis.

Arguments KEY=VALUE override it, such as `training.trainer.num_nodes=4`. Nothing is trained here.
"""

import shlex
import sys
from math import prod

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

PROGRAM = "/opt/NeMo/examples/nlp/language_modeling/megatron_gpt_pretraining.py"
END = "END_OF_CONFIGURATION"


def faults(config: DictConfig) -> list[str]:
    """One sentence per combination that does not fit; each names the key."""
    trainer, model = config.training.trainer, config.training.model
    tensor, stages = model.tensor_model_parallel_size, model.pipeline_model_parallel_size
    processes = trainer.num_nodes * trainer.devices
    copies, left = divmod(processes, tensor * stages)
    divided = [
        ("model.hidden_size", model.hidden_size, "model.num_attention_heads", model.num_attention_heads),
        ("model.num_attention_heads", model.num_attention_heads, "model.tensor_model_parallel_size", tensor),
        ("model.num_layers", model.num_layers, "model.pipeline_model_parallel_size", stages),
    ]
    errors = [
        f"training.{key} is {value}, which {other} = {by} does not divide"
        for key, value, other, by in divided
        if value % by
    ]
    if left or not copies:
        errors.append(
            f"training.trainer: {trainer.num_nodes} nodes of {trainer.devices} are {processes} processes, and a model "
            f"takes {tensor} x {stages} (model.tensor_model_parallel_size, model.pipeline_model_parallel_size)"
        )
    elif model.global_batch_size % (at_once := model.micro_batch_size * copies):
        errors.append(
            f"training.model.global_batch_size is {model.global_batch_size}, which {copies} copies of the model with "
            f"model.micro_batch_size = {model.micro_batch_size} cannot share; take a multiple of {at_once}"
        )
    if config.cluster.gpus_per_node != trainer.devices:
        errors.append(
            f"cluster.gpus_per_node is {config.cluster.gpus_per_node}, training.trainer.devices {trainer.devices}"
        )
    return errors


def script(config: DictConfig) -> str:
    """The batch script, with the training configuration in it."""
    run, trainer, cluster = config.training.run, config.training.trainer, config.cluster
    settings = {
        "job-name": f"{cluster.job_name_prefix}{run.name}",
        "nodes": trainer.num_nodes,
        "ntasks-per-node": trainer.devices,
        "gpus-per-node": cluster.gpus_per_node,
        "mem": cluster.mem,
        "time": run.time_limit,
        "dependency": run.dependency,
        "partition": cluster.partition,
        "account": cluster.account,
    }
    options = [f"--{name}={value}" for name, value in settings.items() if value is not None]
    options += ["--exclusive"] if cluster.exclusive else []
    mounts = ",".join(f"{path}:{path}" for path in [config.data_dir, config.base_results_dir, *config.container_mounts])
    training = OmegaConf.create(OmegaConf.to_container(config.training, resolve=True))
    command = ["python3", "-u", PROGRAM, f"--config-path={run.results_dir}", f"--config-name={run.name}"]
    srun = [
        "srun",
        f"--container-image={config.container}",
        f"--container-mounts={mounts}",
        *cluster.srun_args,
        *command,
    ]
    lines = ["#!/bin/bash", *(f"#SBATCH {option}" for option in options), "set -euo pipefail"]
    lines += [f"export {name}={shlex.quote(str(value))}" for name, value in config.env_vars.items()]
    lines += [f"mkdir -p {shlex.quote(run.results_dir)}"]
    lines += [f"cat > {shlex.quote(f'{run.results_dir}/{run.name}.yaml')} <<'{END}'", OmegaConf.to_yaml(training) + END]
    return "\n".join([*lines, shlex.join(srun)])


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config: DictConfig) -> None:
    """Print the batch script, or the errors with exit status 1."""
    try:
        if errors := faults(config):
            sys.exit("\n".join(f"error: {fault}" for fault in errors))
        print(script(config))
    except OmegaConfBaseException as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    OmegaConf.register_new_resolver("multiply", lambda *numbers: prod(numbers))
    main()
