"""Trains a small next-token model by Composer's trainer on a generated corpus that Streaming reads in its MDS format.

Started by torchrun, or by Composer's own launcher. On a machine without GPUs it takes the CPU, with gloo. Each process
prints what it does as lines of JSON on standard output.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from composer import Callback, ComposerModel, Logger, State, Trainer
from composer.utils import dist
from streaming import MDSWriter, StreamingDataset
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

TOKENS, CONTEXT = 64, 2


def say(event: str, **facts: object) -> None:
    """One line of JSON: an event of this rank. In one write, so that lines of several ranks do not mix."""
    os.write(1, (json.dumps({"event": event, "rank": dist.get_global_rank(), **facts}) + "\n").encode())


def sequence(number: int, length: int, seed: int) -> list[int]:
    """The tokens of a sequence, which depend on its number alone: it counts in steps of one size."""
    made = random.Random(f"{seed}:{number}")
    first, step = made.randrange(TOKENS), made.randrange(1, 8)
    return [(first + step * place) % TOKENS for place in range(length)]


def corpus(folder: Path, count: int, length: int, seed: int) -> None:
    """Write so many sequences in shards, as Streaming reads them, compressed and with their digests."""
    columns = {"number": "int", "tokens": f"ndarray:int64:{length}"}
    with MDSWriter(out=str(folder), columns=columns, compression="zstd", hashes=["sha1"], size_limit=2**16) as shards:
        for number in range(count):
            shards.write({"number": number, "tokens": np.array(sequence(number, length, seed))})


class NextToken(ComposerModel):
    """Two tokens in, the next one out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(TOKENS, width)
        self.layers = nn.Sequential(nn.Linear(CONTEXT * width, 4 * width), nn.GELU(), nn.Linear(4 * width, TOKENS))

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The scores of each next token."""
        seen = self.tokens(batch["tokens"][:, :-1].unfold(1, CONTEXT, 1)).flatten(2)
        return self.layers(seen)

    def loss(self, outputs: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The mean over all tokens that have two before them."""
        return F.cross_entropy(outputs.flatten(0, 1), batch["tokens"][:, CONTEXT:].flatten())


class Teller(Callback):
    """Tells the mean loss of all ranks after each step, and what was read."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def batch_end(self, state: State, logger: Logger) -> None:
        """Called by the trainer after each step."""
        self.read += state.batch["number"].tolist()
        mean = state.loss.detach().clone()
        dist.all_reduce(mean)
        if dist.get_global_rank() == 0:
            say("loss", step=state.timestamp.batch.value, loss=mean.item() / dist.get_world_size())


def digest(model: nn.Module) -> str:
    """SHA-256 of the weights: the same on each rank as long as they really train together."""
    total = hashlib.sha256()
    for name, value in model.named_parameters():
        total.update(name.encode() + value.detach().cpu().numpy().tobytes())
    return total.hexdigest()


def train(options: argparse.Namespace, folder: Path) -> None:
    """Train by Composer's trainer to the last step."""
    if dist.get_local_rank() == 0:
        corpus(folder, options.steps * options.batch * dist.get_world_size(), options.length, options.seed)
    dist.barrier()
    data = StreamingDataset(
        local=str(folder), batch_size=options.batch, shuffle=True, shuffle_seed=options.seed, validate_hash="sha1"
    )
    torch.manual_seed(options.seed)
    model, teller = NextToken(options.width), Teller()
    trainer = Trainer(
        model=model,
        optimizers=torch.optim.Adam(model.parameters(), lr=1e-2),
        train_dataloader=DataLoader(data, options.batch),
        max_duration="1ep",
        seed=options.seed,
        device="gpu" if torch.cuda.is_available() else "cpu",
        callbacks=[teller],
        progress_bar=False,
    )
    trainer.fit()
    say("samples", part=0, samples=teller.read)
    say("end", weights=digest(model))
    trainer.close()


def main() -> None:
    """Read the options, join the other processes, train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch", type=int, default=16, help="sequences a process and step")
    parser.add_argument("--length", type=int, default=34, help="tokens a sequence")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    # torchrun names it otherwise.
    os.environ.setdefault("NODE_RANK", os.environ.get("GROUP_RANK", "0"))
    dist.initialize_dist("gpu" if torch.cuda.is_available() else "cpu")
    # One name for all processes, and a folder of it on each node.
    name = [tempfile.mkdtemp() if dist.get_global_rank() == 0 else ""]
    dist.broadcast_object_list(name)
    folder = Path(name[0])
    try:
        train(options, folder / "corpus")
    finally:
        dist.barrier()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
