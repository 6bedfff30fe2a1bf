"""Trains a small next-token model by Composer's trainer on a generated corpus that Streaming reads in its MDS format.

Started by torchrun, or by Composer's own launcher. Without GPUs it runs on CPUs, with gloo. Each process prints the
events of ingot_train.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from composer import Callback, ComposerModel, Logger, State, Trainer
from composer.utils import dist
from ingot_train import TOKENS, digest, parser, say, sequence
from streaming import MDSWriter, StreamingDataset
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

CONTEXT = 2


def corpus(folder: Path, count: int, length: int, seed: int) -> None:
    """Write `count` sequences as Streaming reads them: shards, compressed and with digests."""
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
        embedded = self.tokens(batch["tokens"][:, :-1].unfold(1, CONTEXT, 1)).flatten(2)
        return self.layers(embedded)

    def loss(self, outputs: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The mean over all tokens that have two before them."""
        return F.cross_entropy(outputs.flatten(0, 1), batch["tokens"][:, CONTEXT:].flatten())


class Teller(Callback):
    """Prints the mean loss of all ranks after each step, and collects the numbers of the samples."""

    def __init__(self) -> None:
        self.samples: list[int] = []

    def batch_end(self, state: State, logger: Logger) -> None:
        """Called by the trainer after each step."""
        self.samples += state.batch["number"].tolist()
        mean = state.loss.detach().clone()
        dist.all_reduce(mean)
        if dist.get_global_rank() == 0:
            say("loss", step=state.timestamp.batch.value, loss=mean.item() / dist.get_world_size())


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
    say("samples", part=0, samples=teller.samples)
    say("end", weights=digest(model.named_parameters()))
    trainer.close()


def main() -> None:
    """Read the options, join the other processes, train."""
    sequences = {"batch": (16, "sequences per process and step"), "length": (34, "tokens per sequence")}
    options = parser(__doc__, **sequences, steps=30, width=32).parse_args()
    # Composer's name of what torchrun calls GROUP_RANK.
    os.environ.setdefault("NODE_RANK", os.environ.get("GROUP_RANK", "0"))
    dist.initialize_dist("gpu" if torch.cuda.is_available() else "cpu")
    # All processes use one name, for a folder on each node.
    names = [tempfile.mkdtemp() if dist.get_global_rank() == 0 else ""]
    dist.broadcast_object_list(names)
    folder = Path(names[0])
    try:
        train(options, folder / "corpus")
    finally:
        dist.barrier()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
