"""Trains a small masked language model in ESM-2's shape on generated proteins: one copy per process, with DDP.

Started by torchrun. The model and the tokenizer are those of transformers, the order of samples is BioNeMo's. Without
GPUs it runs on CPUs, with gloo. Each process prints the events of ingot_train.
"""

import argparse
import random
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from bionemo.core.data.multi_epoch_dataset import EpochIndex, MultiEpochDatasetResampler, MultiEpochDatasetWrapper
from bionemo.core.utils.random_utils import get_seed_from_rng
from ingot_train import digest, parser, say
from ingot_train.processes import joined
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler
from transformers import EsmConfig, EsmForMaskedLM, EsmTokenizer

AMINO_ACIDS = "LAGVSERTIDPKQNFYMHWC"
# ESM-2's vocabulary, in its order.
VOCABULARY = ["<cls>", "<pad>", "<eos>", "<unk>", *AMINO_ACIDS, *"XBUZO.-", "<null_1>", "<mask>"]
MASKED = 0.15


class Proteins(Dataset):
    """Proteins that repeat a motif of seven, as coiled coils do. A protein depends on its number alone."""

    def __init__(self, size: int, length: int, seed: int) -> None:
        rng = random.Random(seed)
        self.motifs = ["".join(rng.sample(AMINO_ACIDS, 7)) for _ in range(8)]
        self.size, self.length, self.seed = size, length, seed

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, number: int) -> str:
        rng = random.Random(f"{self.seed}:{number}")
        motif, start = rng.choice(self.motifs), rng.randrange(7)
        return "".join(motif[(start + place) % 7] for place in range(self.length))


class Masked(MultiEpochDatasetWrapper):
    """The proteins as the model reads them: in each epoch other residues are masked."""

    def __init__(self, proteins: Proteins, tokenizer: EsmTokenizer) -> None:
        super().__init__(proteins)
        self.tokenizer = tokenizer

    def apply_transform(self, sample: str, index: EpochIndex) -> tuple[int, torch.Tensor, torch.Tensor]:
        """The protein's number, its tokens with some masked, and the label of each masked token (-100 elsewhere)."""
        tokens = torch.tensor(self.tokenizer(sample)["input_ids"])
        seed = get_seed_from_rng(np.random.default_rng([self.dataset.seed, index.epoch, index.idx]))
        masked = torch.rand(len(tokens), generator=torch.Generator().manual_seed(seed)) < MASKED
        # <cls> and <eos> are never masked.
        masked[0] = masked[-1] = False
        labels = tokens.masked_fill(~masked, -100)
        return index.idx, tokens.masked_fill(masked, self.tokenizer.mask_token_id), labels


def build(options: argparse.Namespace, tokenizer: EsmTokenizer) -> EsmForMaskedLM:
    """ESM-2's layers, fewer and narrower, with its rotary positions and token dropout."""
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
    # DDP waits for every gradient, and the contact head has no part in the loss.
    model.esm.contact_head.requires_grad_(False)
    return model


def train(options: argparse.Namespace, tokenizer: EsmTokenizer, device: torch.device) -> None:
    """Train to the last step."""
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(options.seed)
    model = build(options, tokenizer).to(device)
    net = DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    count = options.steps * options.batch * world
    proteins = Masked(Proteins(count, options.length, options.seed), tokenizer)
    ordered = MultiEpochDatasetResampler(proteins, num_samples=count, seed=options.seed)
    sampler = DistributedSampler(ordered, world, rank, shuffle=False)
    samples = []
    for step, (numbers, tokens, labels) in enumerate(DataLoader(ordered, options.batch, sampler=sampler), 1):
        loss = net(input_ids=tokens.to(device), labels=labels.to(device)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        samples += numbers.tolist()
        mean = loss.detach()
        dist.all_reduce(mean)
        if rank == 0:
            say("loss", step=step, loss=mean.item() / world)
    say("samples", part=0, samples=samples)
    say("end", weights=digest(model.named_parameters()))


def main() -> None:
    """Read the options, join the other processes, train."""
    proteins = {"batch": (16, "proteins per process and step"), "length": (62, "residues per protein")}
    options = parser(__doc__, **proteins, steps=80, width=64, layers=2, heads=4).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Path(folder) / "vocab.txt"
        vocabulary.write_text("\n".join(VOCABULARY))
        tokenizer = EsmTokenizer(str(vocabulary))
    with joined() as device:
        train(options, tokenizer, device)


if __name__ == "__main__":
    main()
