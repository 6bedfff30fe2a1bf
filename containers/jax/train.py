"""Trains a small next-token model with JAX's shard_map: samples split over processes, weights over their devices.

Started once a process, or with --local N once for N processes on this machine. Each process reads sequences that no
other reads, and prints what it does as lines of JSON on standard output.
"""

import argparse
import hashlib
import json
import os
import random
import socket
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

TOKENS, CONTEXT = 64, 2
DATA, MODEL = "data", "model"
# The hidden layer is split over the devices of a process: columns of the first matrix, rows of the second.
SPLIT = {
    "tokens": PartitionSpec(),
    "up": PartitionSpec(None, MODEL),
    "down": PartitionSpec(MODEL, None),
    "head": PartitionSpec(),
}


def sequence(number: int, length: int, seed: int) -> list[int]:
    """The tokens of a sequence, which depend on its number alone: it counts in steps of one size."""
    made = random.Random(f"{seed}:{number}")
    first, step = made.randrange(TOKENS), made.randrange(1, 8)
    return [(first + step * place) % TOKENS for place in range(length)]


def say(event: str, **facts: object) -> None:
    """One line of JSON: an event of this process. In one write, so that lines of several do not mix.

    On a line of its own: gloo, which writes to the same place, begins lines that it has not ended.
    """
    os.write(1, ("\n" + json.dumps({"event": event, "rank": jax.process_index(), **facts}) + "\n").encode())


def weights(width: int, seed: int) -> dict[str, jax.Array]:
    """The whole weights before training."""
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
    """The mean loss over all samples, seen from one device: its part of the weights, and of the samples."""
    known = tokens.shape[1] - CONTEXT
    seen = jnp.concatenate([part["tokens"][tokens[:, place : place + known]] for place in range(CONTEXT)], axis=-1)
    hidden = jax.nn.gelu(seen @ part["up"])
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

    read = []
    for number in range(1, options.steps + 1):
        # Of every `world` sequences in a row this process reads one.
        mine = [((number - 1) * options.batch + place) * world + rank for place in range(options.batch)]
        local = np.array([sequence(each, options.length, options.seed) for each in mine], dtype=np.int32)
        tokens = jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec(DATA)), local)
        model, state, loss = step(model, state, tokens)
        read += mine
        if rank == 0:
            say("loss", step=number, loss=float(loss))
    say("samples", part=0, samples=read)
    total = hashlib.sha256()
    for name, value in sorted(multihost_utils.process_allgather(model, tiled=True).items()):
        total.update(name.encode() + value.tobytes())
    say("end", weights=total.hexdigest())


def start(options: argparse.Namespace) -> list[subprocess.Popen[bytes]]:
    """Start the other processes of this program on this machine; this one becomes the first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options.coordinator, options.processes, options.process = address, options.local, 0
    words = [sys.executable, __file__, *sys.argv[1:], "--local=0", f"--coordinator={address}"]
    words += [f"--processes={options.local}"]
    return [subprocess.Popen([*words, f"--process={number}"]) for number in range(1, options.local)]


def main() -> int:
    """Read the options, join the other processes, train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--local", type=int, default=0, help="so many processes, all of them here")
    parser.add_argument("--coordinator", help="HOST:PORT of process 0; found by itself under Slurm")
    parser.add_argument("--processes", type=int, help="how many there are; found by itself under Slurm")
    parser.add_argument("--process", type=int, help="the number of this one; found by itself under Slurm")
    parser.add_argument("--devices", type=int, default=2, help="devices a process, on CPUs")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--batch", type=int, default=16, help="sequences a process and step")
    parser.add_argument("--length", type=int, default=32, help="tokens a sequence")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    others = start(options) if options.local else []
    jax.config.update("jax_num_cpu_devices", options.devices)
    jax.distributed.initialize(options.coordinator, options.processes, options.process)
    try:
        train(options)
    finally:
        jax.distributed.shutdown()
    return max((abs(each.wait()) for each in others), default=0)


if __name__ == "__main__":
    sys.exit(main())
