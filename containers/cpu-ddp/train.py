"""Trains a small classifier on generated data with DDP and gloo: one copy of the model per process.

Started by torchrun. Each process prints the events of ingot_train.
"""

import argparse
import os
from pathlib import Path

import torch
import torch.distributed as dist
from ingot_train import digest, parser, say
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

FEATURES, CLASSES = 32, 8


class Clusters(Dataset):
    """Points around one centre per class. A sample is its number, the point and the class."""

    def __init__(self, size: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        centres = torch.randn(CLASSES, FEATURES, generator=generator)
        self.labels = torch.randint(CLASSES, (size,), generator=generator)
        self.points = centres[self.labels] + 2 * torch.randn(size, FEATURES, generator=generator)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[int, torch.Tensor, torch.Tensor]:
        return number, self.points[number], self.labels[number]


def save(path: Path, state: dict) -> None:
    """Write the snapshot in one step: a reader, or the next run, sees the whole of it or the previous one."""
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def train(options: argparse.Namespace) -> None:
    """Train to the last epoch, starting from the snapshot if there is one."""
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
        samples, losses = [], []
        for numbers, points, labels in loader:
            loss = nn.functional.cross_entropy(model(points), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            samples += numbers.tolist()
            losses.append(loss.item())
        say("samples", part=epoch, samples=samples)
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
    say("end", weights=digest(net.state_dict().items()))


def main() -> None:
    """Read the options, join the other processes, train."""
    command = parser(
        __doc__, epochs=8, samples=(4096, "size of the data set"), batch=(32, "samples per process and step")
    )
    command.add_argument("--snapshot", type=Path, help="written after each epoch; training resumes from it")
    options = command.parse_args()
    dist.init_process_group("gloo")
    try:
        train(options)
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
