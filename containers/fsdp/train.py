"""Trains a small causal language model on generated text, its weights and optimizer sharded by FSDP2.

Started by torchrun. Without GPUs it runs on CPUs, with gloo. Each process reads windows of text that no other reads and
prints the events of ingot_train. With --checkpoints, a later run resumes from the newest complete checkpoint.
"""

import argparse
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from ingot_train import digest, parser, say
from ingot_train.processes import joined
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.fsdp import fully_shard
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

BYTES = 256
KEEP = 2
WORDS = {
    "who": ["a node", "the rank", "one shard", "this job", "the queue"],
    "does": ["reads", "sends", "waits for", "averages", "stores"],
    "what": ["its gradient", "the weights", "two windows", "a checkpoint", "the next batch"],
}


def window(number: int, length: int, seed: int) -> bytes:
    """The text of a window, which depends on its number alone: sentences of a small grammar."""
    choose = random.Random(f"{seed}:{number}").choice
    text = ""
    while len(text) < length:
        text += f"{choose(WORDS['who'])} {choose(WORDS['does'])} {choose(WORDS['what'])}. "
    return text[:length].encode()


class Stream(IterableDataset):
    """Endless windows of text from `start` on; of every `world` consecutive windows this rank reads one."""

    def __init__(self, rank: int, world: int, start: int, length: int, seed: int) -> None:
        self.rank, self.world, self.start, self.length, self.seed = rank, world, start, length, seed

    def __iter__(self) -> Iterator[tuple[int, torch.Tensor]]:
        number = self.start * self.world + self.rank
        while True:
            text = bytearray(window(number, self.length + 1, self.seed))
            yield number, torch.frombuffer(text, dtype=torch.uint8).long()
            number += self.world


class Block(nn.Module):
    """Causal attention, then a layer that works on each place alone."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        split = self.qkv(self.norm_attention(x)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, length, width))
        return x + self.mlp(self.norm_mlp(x))


class Model(nn.Module):
    """A causal language model over bytes."""

    def __init__(self, width: int, layers: int, heads: int, length: int) -> None:
        super().__init__()
        self.bytes, self.places = nn.Embedding(BYTES, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, BYTES)

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        x = self.bytes(text) + self.places(torch.arange(text.shape[1], device=text.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def complete(folder: Path) -> list[Path]:
    """The complete checkpoints in `folder`, oldest first."""
    return sorted(path for path in folder.glob("step-*") if path.suffix != ".part")


def save(folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write a checkpoint, each rank its shards; it gets its name once it is complete."""
    path = folder / f"step-{step:08d}"
    part = path.with_suffix(".part")
    weights, moments = get_state_dict(model, optimizer)
    dcp.save({"model": weights, "optimizer": moments, "step": step}, checkpoint_id=part)
    # dcp.save returns on a rank when all ranks have written.
    if dist.get_rank() == 0:
        part.rename(path)
        for old in complete(folder)[:-KEEP]:
            shutil.rmtree(old)
        say("checkpoint", part=step)
    dist.barrier()


def load(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Restore the newest complete checkpoint; returns its step, 0 if there is none."""
    if dist.get_rank() == 0:
        # Left behind by a killed run.
        for part in folder.glob("step-*.part"):
            shutil.rmtree(part)
    dist.barrier()
    checkpoints = complete(folder)
    if not checkpoints:
        return 0
    weights, moments = get_state_dict(model, optimizer)
    state = {"model": weights, "optimizer": moments, "step": 0}
    dcp.load(state, checkpoint_id=checkpoints[-1])
    set_state_dict(model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"])
    return state["step"]


def train(options: argparse.Namespace, device: torch.device) -> None:
    """Train to the last step, starting from the newest checkpoint if there is one."""
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(options.seed)
    model = Model(options.width, options.layers, options.heads, options.length).to(device)
    # Each block is gathered when it is needed and freed after; the rest is gathered with the model.
    for block in model.blocks:
        fully_shard(block)
    fully_shard(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    first = load(options.checkpoints, model, optimizer) if options.checkpoints else 0
    if rank == 0:
        say("start", step=first)
    data = DataLoader(Stream(rank, world, first * options.batch, options.length, options.seed), options.batch)
    samples = []
    for step, (numbers, text) in enumerate(data, first + 1):
        if step > options.steps:
            break
        text = text.to(device)
        loss = F.cross_entropy(model(text[:, :-1]).flatten(0, 1), text[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        samples += numbers.tolist()
        mean = loss.detach().clone()
        dist.all_reduce(mean)
        if rank == 0:
            say("loss", step=step, loss=mean.item() / world)
        if options.checkpoints and step % options.every == 0:
            save(options.checkpoints, step, model, optimizer)
    say("samples", part=0, samples=samples)
    say("end", weights=digest(model.state_dict().items()))


def main() -> None:
    """Read the options, join the other processes, train."""
    sizes = {"batch": (8, "windows per process and step"), "length": (64, "bytes per window")}
    command = parser(__doc__, **sizes, steps=100, width=64, layers=2, heads=4, every=(20, "steps between checkpoints"))
    command.add_argument("--checkpoints", type=Path, help="a folder; training resumes from the newest checkpoint in it")
    options = command.parse_args()
    if options.checkpoints:
        options.checkpoints.mkdir(parents=True, exist_ok=True)
    # Ranks agree on checkpoints by messages between CPUs, which NCCL does not carry.
    with joined("cpu:gloo,cuda:nccl") as device:
        train(options, device)


if __name__ == "__main__":
    main()
