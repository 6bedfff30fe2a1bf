"""Trains a small masked language model in ESM-2's shape on generated proteins: one copy a process, gradients averaged.

Started by torchrun. The model and the tokenizer are those of transformers, the order of samples is BioNeMo's. On a
machine without GPUs it takes the CPU, with gloo. Each process prints what it does as lines of JSON on standard output.
"""

import argparse
import hashlib
import json
import os
import random
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from bionemo.core.data.multi_epoch_dataset import EpochIndex, MultiEpochDatasetResampler, MultiEpochDatasetWrapper
from bionemo.core.utils.random_utils import get_seed_from_rng
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler
from transformers import EsmConfig, EsmForMaskedLM, EsmTokenizer

AMINO_ACIDS = "LAGVSERTIDPKQNFYMHWC"
# ESM-2's vocabulary, in its order.
VOCABULARY = ["<cls>", "<pad>", "<eos>", "<unk>", *AMINO_ACIDS, *"XBUZO.-", "<null_1>", "<mask>"]
MASKED = 0.15


def say(event: str, **facts: object) -> None:
    """One line of JSON: an event of this rank. In one write, so that lines of several ranks do not mix."""
    os.write(1, (json.dumps({"event": event, "rank": dist.get_rank(), **facts}) + "\n").encode())


class Proteins(Dataset):
    """Proteins that repeat a motif of seven, as coiled coils do; which one depends on a protein's number alone."""

    def __init__(self, size: int, length: int, seed: int) -> None:
        made = random.Random(seed)
        self.motifs = ["".join(made.sample(AMINO_ACIDS, 7)) for _ in range(8)]
        self.size, self.length, self.seed = size, length, seed

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, number: int) -> str:
        made = random.Random(f"{self.seed}:{number}")
        motif, start = made.choice(self.motifs), made.randrange(7)
        return "".join(motif[(start + place) % 7] for place in range(self.length))


class Masked(MultiEpochDatasetWrapper):
    """The proteins as the model reads them: some residues masked, others in each epoch."""

    def __init__(self, proteins: Proteins, tokenizer: EsmTokenizer) -> None:
        super().__init__(proteins)
        self.tokenizer = tokenizer

    def apply_transform(self, sample: str, index: EpochIndex) -> tuple[int, torch.Tensor, torch.Tensor]:
        """The protein's number, its tokens as the model sees them, and what it has to say where they are masked."""
        tokens = torch.tensor(self.tokenizer(sample)["input_ids"])
        seed = get_seed_from_rng(np.random.default_rng([self.dataset.seed, index.epoch, index.idx]))
        made = torch.Generator().manual_seed(seed)
        masked = torch.rand(len(tokens), generator=made) < MASKED
        # What frames a protein is never masked.
        masked[0] = masked[-1] = False
        labels = tokens.masked_fill(~masked, -100)
        return index.idx, tokens.masked_fill(masked, self.tokenizer.mask_token_id), labels


def digest(model: torch.nn.Module) -> str:
    """SHA-256 of the weights: the same on each rank as long as they really train together."""
    total = hashlib.sha256()
    for name, value in model.named_parameters():
        total.update(name.encode() + value.detach().cpu().numpy().tobytes())
    return total.hexdigest()


def build(options: argparse.Namespace, tokenizer: EsmTokenizer) -> EsmForMaskedLM:
    """The model: ESM-2's rotary positions, token dropout and layers, with fewer and narrower ones."""
    config = EsmConfig(
        vocab_size=len(tokenizer),
        mask_token_id=tokenizer.mask_token_id,
        pad_token_id=tokenizer.pad_token_id,
        hidden_size=options.width,
        intermediate_size=4 * options.width,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        max_position_embeddings=options.length + 2,
        position_embedding_type="rotary",
        token_dropout=True,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = EsmForMaskedLM(config)
    # What tells which residues touch has no part in the loss; DDP waits for every gradient.
    model.esm.contact_head.requires_grad_(False)
    return model


def train(options: argparse.Namespace, tokenizer: EsmTokenizer) -> None:
    """Train to the last step."""
    rank, world = dist.get_rank(), dist.get_world_size()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if torch.cuda.is_available() else torch.device("cpu")
    torch.manual_seed(options.seed)
    model = build(options, tokenizer).to(device)
    net = DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    count = options.steps * options.batch * world
    proteins = Masked(Proteins(count, options.length, options.seed), tokenizer)
    ordered = MultiEpochDatasetResampler(proteins, num_samples=count, seed=options.seed)
    sampler = DistributedSampler(ordered, world, rank, shuffle=False)
    read = []
    for step, (numbers, tokens, labels) in enumerate(DataLoader(ordered, options.batch, sampler=sampler), 1):
        loss = net(input_ids=tokens.to(device), labels=labels.to(device)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        read += numbers.tolist()
        mean = loss.detach()
        dist.all_reduce(mean)
        if rank == 0:
            say("loss", step=step, loss=mean.item() / world)
    say("samples", part=0, samples=read)
    say("end", weights=digest(model))


def main() -> None:
    """Read the options, join the other processes, train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--batch", type=int, default=16, help="proteins a process and step")
    parser.add_argument("--length", type=int, default=62, help="residues of a protein")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        with tempfile.TemporaryDirectory() as folder:
            vocabulary = Path(folder) / "vocab.txt"
            vocabulary.write_text("\n".join(VOCABULARY))
            tokenizer = EsmTokenizer(str(vocabulary))
        train(options, tokenizer)
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
