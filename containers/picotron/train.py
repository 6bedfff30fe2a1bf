"""Trains a small decoder in picotron's layout: copies of the model, in stages of layers, in slices of each matrix.

Started by torchrun; by itself it starts as many processes on this machine as the configuration asks for. Without GPUs
it runs on CPUs, with gloo. Each process prints the events of ingot_train.
"""

import argparse
import hashlib
import json
import os
import socket
from pathlib import Path
from typing import Any

import torch

# The first optimizer loads it, which takes seconds; here it is loaded once, before the processes fork.
import torch._dynamo
import torch.distributed as dist
from ingot_train import TOKENS, digest, say, sequence
from ingot_train.processes import joined
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.multiprocessing import start_processes
from torch.nn import functional as F

SIZES = ("dp_size", "pp_size", "cp_size", "tp_size")


class Spread(torch.autograd.Function):
    """Into a split layer: the input goes to every slice, the gradient is the sum of theirs."""

    @staticmethod
    def forward(context: Any, x: torch.Tensor, group: dist.ProcessGroup) -> torch.Tensor:
        context.group = group
        return x.view_as(x)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient, group=context.group)
        return gradient, None


class Gather(torch.autograd.Function):
    """Out of a split layer: the output is the sum of the slices', the gradient goes to every one."""

    @staticmethod
    def forward(context: Any, x: torch.Tensor, group: dist.ProcessGroup) -> torch.Tensor:
        x = x.clone()
        dist.all_reduce(x, group=group)
        return x

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient, None


def weight(
    name: str, shape: tuple[int, int], seed: int, slices: int = 1, slice_: int = 0, dim: int = 0
) -> nn.Parameter:
    """This rank's slice of a matrix, which is the same matrix in every layout."""
    generator = torch.Generator().manual_seed(int(hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()[:12], 16))
    whole = torch.randn(shape, generator=generator) * shape[1] ** -0.5
    return nn.Parameter(whole.chunk(slices, dim)[slice_].clone())


class Block(nn.Module):
    """This rank's slice of causal attention, then of a layer that works on each place alone."""

    def __init__(self, name: str, width: int, heads: int, seed: int, tensor: DeviceMesh) -> None:
        super().__init__()
        self.group, slices, slice_ = tensor.get_group(), tensor.size(), tensor.get_local_rank()
        self.heads = heads // slices
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        for part in ("query", "key", "value"):
            setattr(self, part, weight(f"{name}.{part}", (width, width), seed, slices, slice_))
        self.out = weight(f"{name}.out", (width, width), seed, slices, slice_, dim=1)
        self.up = weight(f"{name}.up", (4 * width, width), seed, slices, slice_)
        self.down = weight(f"{name}.down", (width, 4 * width), seed, slices, slice_, dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = Spread.apply(self.norms[0](x), self.group)
        split = [
            F.linear(normed, part).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        ]
        attended = F.scaled_dot_product_attention(*split, is_causal=True).transpose(1, 2).flatten(2)
        x = x + Gather.apply(F.linear(attended, self.out), self.group)
        hidden = F.gelu(F.linear(Spread.apply(self.norms[1](x), self.group), self.up))
        return x + Gather.apply(F.linear(hidden, self.down), self.group)


class Stage(nn.Module):
    """The layers of one stage of the pipeline; the first has the embeddings too, the last one the head."""

    def __init__(self, model: dict[str, int], length: int, seed: int, stages: DeviceMesh, tensor: DeviceMesh) -> None:
        super().__init__()
        width, layers = model["hidden_size"], model["num_hidden_layers"]
        stage, count = stages.get_local_rank(), stages.size()
        numbers = range(stage * layers // count, (stage + 1) * layers // count)
        self.first, self.last = stage == 0, stage == count - 1
        self.blocks = nn.ModuleList(
            Block(f"block{number}", width, model["num_attention_heads"], seed, tensor) for number in numbers
        )
        if self.first:
            self.tokens = weight("tokens", (TOKENS, width), seed)
            self.places = weight("places", (length, width), seed)
        if self.last:
            self.norm, self.head = nn.LayerNorm(width), weight("head", (TOKENS, width), seed)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.first:
            x = self.tokens[x] + self.places
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.head) if self.last else x


def step_of(
    stage: Stage, texts: list[torch.Tensor], width: int, group: dist.ProcessGroup, before: int, after: int
) -> torch.Tensor:
    """Run all micro-batches forward, then all backward, which leaves the gradients; returns the sum of the losses."""
    inputs, outputs, total = [], [], torch.zeros((), device=texts[0].device)
    for text in texts:
        x = text[:, :-1]
        if not stage.first:
            x = torch.empty(*x.shape, width, device=x.device)
            dist.recv(x, before, group=group)
            x.requires_grad_()
        y = stage(x)
        if stage.last:
            y = F.cross_entropy(y.flatten(0, 1), text[:, 1:].flatten()) / len(texts)
            total += y.detach()
        else:
            dist.send(y.detach(), after, group=group)
        inputs.append(x)
        outputs.append(y)
    for x, y in zip(inputs, outputs, strict=True):
        gradient = None
        if not stage.last:
            gradient = torch.empty_like(y)
            dist.recv(gradient, after, group=group)
        y.backward(gradient)
        if not stage.first:
            dist.send(x.grad, before, group=group)
    return total


def copy_digest(stage: Stage, layout: DeviceMesh) -> str:
    """SHA-256 over all stages and slices of this rank's copy of the model: the same for each copy."""
    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, (layout.get_coordinate(), digest(stage.state_dict().items())))
    copy = layout.get_local_rank("dp")
    return hashlib.sha256("".join(part for (of, *_), part in parts if of == copy).encode()).hexdigest()


def train(config: dict[str, Any], device: torch.device) -> None:
    """Train to the last step."""
    sizes, training, width = config["distributed"], config["training"], config["model"]["hidden_size"]
    layout = init_device_mesh(
        device.type, (sizes["dp_size"], sizes["pp_size"], sizes["tp_size"]), mesh_dim_names=("dp", "pp", "tp")
    )
    copies, copy = sizes["dp_size"], layout.get_local_rank("dp")
    pipeline, number = layout["pp"], layout.get_local_rank("pp")
    ranks = pipeline.mesh.tolist()
    before, after = ranks[max(number - 1, 0)], ranks[min(number + 1, len(ranks) - 1)]
    stage = Stage(config["model"], training["seq_length"], training["seed"], pipeline, layout["tp"]).to(device)
    optimizer = torch.optim.Adam(stage.parameters(), lr=training["learning_rate"])
    batch, micro, samples = training["micro_batch_size"], training["gradient_accumulation_steps"], []
    for step in range(1, training["total_train_steps"] + 1):
        # Of `copies` consecutive sequences each copy of the model reads one.
        first = (step - 1) * batch * micro
        numbers = [(first + place) * copies + copy for place in range(batch * micro)]
        samples += numbers
        texts = [sequence(of, training["seq_length"] + 1, training["seed"]) for of in numbers]
        tokens = torch.tensor(texts, device=device)
        optimizer.zero_grad()
        loss = step_of(stage, list(tokens.split(batch)), width, pipeline.get_group(), before, after)
        for value in stage.parameters():
            dist.all_reduce(value.grad, group=layout.get_group("dp"))
            value.grad /= copies
        optimizer.step()
        dist.all_reduce(loss, group=layout.get_group("dp"))
        if stage.last and copy == layout.get_local_rank("tp") == 0:
            say("loss", step=step, loss=loss.item() / copies)
    if number == layout.get_local_rank("tp") == 0:
        say("samples", part=0, samples=samples)
    say("end", weights=copy_digest(stage, layout))


def run(rank: int, config: dict[str, Any]) -> None:
    """Join the other processes and train; `rank` is this process's number on this machine."""
    os.environ.setdefault("LOCAL_RANK", str(rank))
    os.environ.setdefault("RANK", str(rank))
    torch.set_num_threads(1)
    # The first look at the GPUs: CUDA cannot be used on both sides of a fork.
    with joined() as device:
        train(config, device)


def configuration(path: Path, changes: list[str]) -> dict[str, Any]:
    """The file at `path` with each change `section.key=number` applied; SystemExit where the layout is not possible."""
    config = json.loads(path.read_text())
    for change in changes:
        name, _, value = change.partition("=")
        section, _, key = name.partition(".")
        if key not in config.get(section, {}):
            raise SystemExit(f"{name} is not a key of {path.name}")
        config[section][key] = type(config[section][key])(value)
    sizes, model = config["distributed"], config["model"]
    if sizes["cp_size"] != 1:
        raise SystemExit("cp_size must be 1: sequences are not split here")
    for size, key in (("tp_size", "num_attention_heads"), ("pp_size", "num_hidden_layers")):
        if model[key] % sizes[size]:
            raise SystemExit(f"{size} = {sizes[size]} does not divide {key} = {model[key]}")
    return config


def main() -> None:
    """Read the configuration; start the processes unless torchrun has."""
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    command.add_argument("--config", type=Path, default=Path(__file__).with_name("config.json"))
    command.add_argument("changes", nargs="*", metavar="SECTION.KEY=NUMBER", help="overrides the file")
    options = command.parse_args()
    config = configuration(options.config, options.changes)
    world = 1
    for size in SIZES:
        world *= config["distributed"][size]
    if "WORLD_SIZE" in os.environ:
        if int(os.environ["WORLD_SIZE"]) != world:
            raise SystemExit(f"the layout needs {world} processes, torchrun started {os.environ['WORLD_SIZE']}")
        run(int(os.environ["LOCAL_RANK"]), config)
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(world)}
    # A fork has PyTorch loaded; loading it in eight processes takes most of a minute.
    start_processes(run, (config,), nprocs=world, start_method="fork")


if __name__ == "__main__":
    main()
