"""Trains a small classifier on generated data with DDP and gloo: one copy of the model a process, gradients averaged.

Started by torchrun. Each process prints what it does as lines of JSON on standard output.
"""

import argparse
import hashlib
import json
import os
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

FEATURES, CLASSES = 32, 8


class Clusters(Dataset):
    """Points around one centre a class. A sample depends on its number alone, and brings the number along."""

    def __init__(self, size: int, seed: int) -> None:
        made = torch.Generator().manual_seed(seed)
        centres = torch.randn(CLASSES, FEATURES, generator=made)
        self.labels = torch.randint(CLASSES, (size,), generator=made)
        self.points = centres[self.labels] + 2 * torch.randn(size, FEATURES, generator=made)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[int, torch.Tensor, torch.Tensor]:
        return number, self.points[number], self.labels[number]


def say(event: str, **facts: object) -> None:
    """One line of JSON: an event of this rank. In one write, so that lines of several ranks do not mix."""
    os.write(1, (json.dumps({"event": event, "rank": dist.get_rank(), **facts}) + "\n").encode())


def digest(model: nn.Module) -> str:
    """SHA-256 of the weights: the same on each rank as long as they really train together."""
    total = hashlib.sha256()
    for value in model.state_dict().values():
        total.update(value.numpy().tobytes())
    return total.hexdigest()


def save(path: Path, state: dict) -> None:
    """Write the snapshot so that a reader, or the next run, sees all of it or the one before."""
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def train(options: argparse.Namespace) -> None:
    """Train to the last epoch, from the snapshot if there is one."""
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(options.seed)
    net = nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, CLASSES))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    first = 0
    if options.snapshot and options.snapshot.exists():
        state = torch.load(options.snapshot, weights_only=True)
        net.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epochs"]
    model = DistributedDataParallel(net)
    data = Clusters(options.samples, options.seed)
    sampler = DistributedSampler(data, world, rank, seed=options.seed)
    loader = DataLoader(data, options.batch, sampler=sampler)
    for epoch in range(first, options.epochs):
        sampler.set_epoch(epoch)
        seen, losses = [], []
        for numbers, points, labels in loader:
            loss = nn.functional.cross_entropy(model(points), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += numbers.tolist()
            losses.append(loss.item())
        say("samples", part=epoch, samples=seen)
        mean = torch.tensor(losses).mean()
        dist.all_reduce(mean)
        if rank == 0:
            say("loss", step=epoch, loss=mean.item() / world)
            if options.snapshot:
                save(
                    options.snapshot,
                    {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epochs": epoch + 1},
                )
                say("snapshot", part=epoch)
    say("end", weights=digest(net))


def main() -> None:
    """Read the options, join the other processes, train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--samples", type=int, default=4096, help="the size of the data set")
    parser.add_argument("--batch", type=int, default=32, help="samples a process and step")
    parser.add_argument("--snapshot", type=Path, help="written after each epoch; where there is one, training goes on")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    dist.init_process_group("gloo")
    try:
        train(options)
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
