"""Trains a small next-token model with JAX's shard_map: samples split over processes, weights over their devices.

Started once per process, or once with --local N for N processes on this machine. Each process reads sequences that no
other reads, and prints the events of ingot_train.
"""

import argparse
import os
import socket
import subprocess
import sys
from functools import partial

import ingot_train
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ingot_train import TOKENS, digest, parser, sequence
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

CONTEXT = 2
DATA, MODEL = "data", "model"
# The hidden layer is split over the devices of a process: columns of the first matrix, rows of the second.
SPLIT = {
    "tokens": PartitionSpec(),
    "up": PartitionSpec(None, MODEL),
    "down": PartitionSpec(MODEL, None),
    "head": PartitionSpec(),
}
# gloo writes to standard output too, and leaves lines unfinished.
say = partial(ingot_train.say, before="\n")


def weights(width: int, seed: int) -> dict[str, jax.Array]:
    """The initial weights, unsplit."""
    shapes = {
        "tokens": (TOKENS, width),
        "up": (CONTEXT * width, 4 * width),
        "down": (4 * width, width),
        "head": (width, TOKENS),
    }
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    return {
        name: jax.random.normal(key, shape) * shape[0] ** -0.5
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def loss_of(part: dict[str, jax.Array], tokens: jax.Array) -> jax.Array:
    """The mean loss over all samples, from one device's part of the weights and of the samples."""
    length = tokens.shape[1] - CONTEXT
    embedded = [part["tokens"][tokens[:, place : place + length]] for place in range(CONTEXT)]
    hidden = jax.nn.gelu(jnp.concatenate(embedded, axis=-1) @ part["up"])
    logits = jax.lax.psum(hidden @ part["down"], MODEL) @ part["head"]
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, CONTEXT:])
    return jax.lax.pmean(losses.mean(), DATA)


def train(options: argparse.Namespace) -> None:
    """Train to the last step."""
    rank, world = jax.process_index(), jax.process_count()
    mesh = jax.make_mesh((world, jax.local_device_count()), (DATA, MODEL))
    placed = {name: NamedSharding(mesh, split) for name, split in SPLIT.items()}
    model = jax.jit(partial(weights, options.width), out_shardings=placed)(options.seed)
    optimizer = optax.adam(2e-2)
    state = jax.jit(optimizer.init)(model)
    whole = jax.shard_map(loss_of, mesh=mesh, in_specs=(SPLIT, PartitionSpec(DATA)), out_specs=PartitionSpec())

    @jax.jit
    def step(model: dict[str, jax.Array], state: optax.OptState, tokens: jax.Array) -> tuple:
        loss, gradient = jax.value_and_grad(whole)(model, tokens)
        change, state = optimizer.update(gradient, state)
        return optax.apply_updates(model, change), state, loss

    samples = []
    for count in range(1, options.steps + 1):
        # Of every `world` consecutive sequences this process reads one.
        numbers = [((count - 1) * options.batch + place) * world + rank for place in range(options.batch)]
        local = np.array([sequence(of, options.length, options.seed) for of in numbers], dtype=np.int32)
        tokens = jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec(DATA)), local)
        model, state, loss = step(model, state, tokens)
        samples += numbers
        if rank == 0:
            say("loss", step=count, loss=float(loss))
    say("samples", part=0, samples=samples)
    say("end", weights=digest(sorted(multihost_utils.process_allgather(model, tiled=True).items())))


def start(options: argparse.Namespace) -> list[subprocess.Popen[bytes]]:
    """Start the other processes of this program on this machine; this one becomes the first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options.coordinator, options.processes, options.process = address, options.local, 0
    argv = [sys.executable, __file__, *sys.argv[1:], "--local=0", f"--coordinator={address}"]
    argv += [f"--processes={options.local}"]
    return [subprocess.Popen([*argv, f"--process={number}"]) for number in range(1, options.local)]


def main() -> int:
    """Read the options, join the other processes, train."""
    sequences = {"batch": (16, "sequences per process and step"), "length": (32, "tokens per sequence")}
    command = parser(__doc__, **sequences, steps=25, width=32, devices=(2, "devices per process, on CPUs"))
    command.add_argument("--local", type=int, default=0, help="start this many processes, all on this machine")
    command.add_argument("--coordinator", help="HOST:PORT of process 0; detected under Slurm")
    command.add_argument("--processes", type=int, help="number of processes; detected under Slurm")
    command.add_argument("--process", type=int, help="number of this process, from 0; detected under Slurm")
    options = command.parse_args()
    others = start(options) if options.local else []
    jax.config.update("jax_num_cpu_devices", options.devices)
    jax.distributed.initialize(options.coordinator, options.processes, options.process)
    os.environ["RANK"] = str(jax.process_index())
    try:
        train(options)
    finally:
        jax.distributed.shutdown()
    return max((abs(each.wait()) for each in others), default=0)


if __name__ == "__main__":
    sys.exit(main())
