"""Trains a small decoder in picotron's layout: copies of the model, in stages of layers, in slices of each matrix.

Started by torchrun, or by itself, which starts as many processes on this machine as the configuration asks for. On a
machine without GPUs it takes the CPU, with gloo. Each process prints what it does as lines of JSON on standard output.
"""

import argparse
import hashlib
import json
import os
import random
import socket
from pathlib import Path
from typing import Any

import torch

# What the first optimizer loads, which takes seconds: here, so that it is loaded once.
import torch._dynamo
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.multiprocessing import start_processes
from torch.nn import functional as F

TOKENS = 64
SIZES = ("dp_size", "pp_size", "cp_size", "tp_size")


def sequence(number: int, length: int, seed: int) -> list[int]:
    """The tokens of a sequence, which depend on its number alone: it counts in steps of one size."""
    made = random.Random(f"{seed}:{number}")
    first, step = made.randrange(TOKENS), made.randrange(1, 8)
    return [(first + step * place) % TOKENS for place in range(length)]


def say(event: str, **facts: object) -> None:
    """One line of JSON: an event of this rank. In one write, so that lines of several ranks do not mix."""
    os.write(1, (json.dumps({"event": event, "rank": dist.get_rank(), **facts}) + "\n").encode())


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
    made = torch.Generator().manual_seed(int(hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()[:12], 16))
    whole = torch.randn(shape, generator=made) * shape[1] ** -0.5
    return nn.Parameter(whole.chunk(slices, dim)[slice_].clone())


class Block(nn.Module):
    """Attention to what came before, then a layer that works on each place alone; each has a slice of both."""

    def __init__(self, name: str, width: int, heads: int, seed: int, tensor: DeviceMesh) -> None:
        super().__init__()
        self.group, slices, slice_ = tensor.get_group(), tensor.size(), tensor.get_local_rank()
        self.heads = heads // slices
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        for each in ("query", "key", "value"):
            setattr(self, each, weight(f"{name}.{each}", (width, width), seed, slices, slice_))
        self.out = weight(f"{name}.out", (width, width), seed, slices, slice_, dim=1)
        self.up = weight(f"{name}.up", (4 * width, width), seed, slices, slice_)
        self.down = weight(f"{name}.down", (width, 4 * width), seed, slices, slice_, dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = Spread.apply(self.norms[0](x), self.group)
        split = [
            F.linear(seen, each).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for each in (self.query, self.key, self.value)
        ]
        heard = F.scaled_dot_product_attention(*split, is_causal=True).transpose(1, 2).flatten(2)
        x = x + Gather.apply(F.linear(heard, self.out), self.group)
        hidden = F.gelu(F.linear(Spread.apply(self.norms[1](x), self.group), self.up))
        return x + Gather.apply(F.linear(hidden, self.down), self.group)


class Stage(nn.Module):
    """The layers of one stage of the pipeline; the first has the embeddings too, the last one the head."""

    def __init__(self, model: dict[str, int], length: int, seed: int, stages: DeviceMesh, tensor: DeviceMesh) -> None:
        super().__init__()
        width, layers = model["hidden_size"], model["num_hidden_layers"]
        stage, count = stages.get_local_rank(), stages.size()
        mine = range(stage * layers // count, (stage + 1) * layers // count)
        self.first, self.last = stage == 0, stage == count - 1
        self.blocks = nn.ModuleList(
            Block(f"block{number}", width, model["num_attention_heads"], seed, tensor) for number in mine
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
    """All micro-batches forward, then all backward, and the gradients that this leaves; the sum of the losses."""
    inputs, outputs, total = [], [], torch.zeros((), device=texts[0].device)
    for text in texts:
        known = text[:, :-1]
        if not stage.first:
            known = torch.empty(*known.shape, width, device=known.device)
            dist.recv(known, before, group=group)
            known.requires_grad_()
        made = stage(known)
        if stage.last:
            made = F.cross_entropy(made.flatten(0, 1), text[:, 1:].flatten()) / len(texts)
            total += made.detach()
        else:
            dist.send(made.detach(), after, group=group)
        inputs.append(known)
        outputs.append(made)
    for known, made in zip(inputs, outputs, strict=True):
        gradient = None
        if not stage.last:
            gradient = torch.empty_like(made)
            dist.recv(gradient, after, group=group)
        made.backward(gradient)
        if not stage.first:
            dist.send(known.grad, before, group=group)
    return total


def digest(stage: Stage, layout: DeviceMesh) -> str:
    """SHA-256 over all stages and slices of this rank's copy of the model: the same for each copy."""
    total = hashlib.sha256()
    for value in stage.state_dict().values():
        total.update(value.cpu().numpy().tobytes())
    told: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(told, (layout.get_coordinate(), total.hexdigest()))
    copy = layout.get_local_rank("dp")
    return hashlib.sha256("".join(part for (of, *_), part in told if of == copy).encode()).hexdigest()


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
    batch, micro, read = training["micro_batch_size"], training["gradient_accumulation_steps"], []
    for step in range(1, training["total_train_steps"] + 1):
        # Of as many sequences in a row as there are copies of the model, each reads one.
        first = (step - 1) * batch * micro
        numbers = [(first + place) * copies + copy for place in range(batch * micro)]
        read += numbers
        texts = [sequence(each, training["seq_length"] + 1, training["seed"]) for each in numbers]
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
        say("samples", part=0, samples=read)
    say("end", weights=digest(stage, layout))


def run(rank: int, config: dict[str, Any]) -> None:
    """Join the other processes, train; `rank` is this process's number on this machine."""
    os.environ.setdefault("LOCAL_RANK", str(rank))
    os.environ.setdefault("RANK", str(rank))
    torch.set_num_threads(1)
    # Asked here, as CUDA cannot be used on both sides of a fork.
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        train(config, device)
    finally:
        dist.destroy_process_group()


def configuration(path: Path, changes: list[str]) -> dict[str, Any]:
    """The file, with each change `section.key=number` made."""
    config = json.loads(path.read_text())
    for change in changes:
        name, _, value = change.partition("=")
        section, _, key = name.partition(".")
        if key not in config.get(section, {}):
            raise SystemExit(f"{path.name} has no {name}")
        config[section][key] = type(config[section][key])(value)
    sizes, model = config["distributed"], config["model"]
    if sizes["cp_size"] != 1:
        raise SystemExit("cp_size: sequences are not split here, it has to be 1")
    for size, key in (("tp_size", "num_attention_heads"), ("pp_size", "num_hidden_layers")):
        if model[key] % sizes[size]:
            raise SystemExit(f"{size}: {sizes[size]} does not divide {key}, {model[key]}")
    return config


def main() -> None:
    """Read the configuration, start the processes where nobody has."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.json"))
    parser.add_argument("changes", nargs="*", metavar="SECTION.KEY=NUMBER", help="instead of what the file says")
    options = parser.parse_args()
    config = configuration(options.config, options.changes)
    world = 1
    for size in SIZES:
        world *= config["distributed"][size]
    if "WORLD_SIZE" in os.environ:
        if int(os.environ["WORLD_SIZE"]) != world:
            raise SystemExit(f"the layout has {world} processes, {os.environ['WORLD_SIZE']} were started")
        run(int(os.environ["LOCAL_RANK"]), config)
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(world)}
    # A fork has PyTorch loaded; eight processes that load it take most of a minute.
    start_processes(run, (config,), nprocs=world, start_method="fork")


if __name__ == "__main__":
    main()
