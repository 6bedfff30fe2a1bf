"""Trains a small audio classifier of NeMo on generated tones, by NeMo's own model, data set and Lightning trainer.

Started by torchrun, or through NeMo-Run by experiment.py. Without GPUs it runs on CPUs, with gloo. Each process prints
the events of ingot_train on standard output; NeMo's own log is on standard error.
"""

import argparse
import json
import os
import random
import tempfile
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import soundfile
import torch
import torch.distributed as dist
from ingot_train import digest, parser, say
from nemo.collections.asr.models import EncDecSpeakerLabelModel
from omegaconf import DictConfig, OmegaConf

RATE = 8000
PITCHES = (220, 330, 440, 550, 660, 880, 1100, 1320)
LABELS = [f"{pitch}" for pitch in PITCHES]


def corpus(folder: Path, count: int, seconds: float, seed: int) -> Path:
    """Write `count` sound files and their manifest, as NeMo reads it. A file depends on its number alone."""
    lines = []
    for number in range(count):
        rng = random.Random(f"{seed}:{number}")
        label, bend, noise = rng.randrange(len(PITCHES)), rng.uniform(0.98, 1.02), rng.randrange(2**32)
        time = np.arange(int(seconds * RATE)) / RATE
        tone = 0.3 * np.sin(2 * np.pi * PITCHES[label] * bend * time)
        file = folder / f"{number}.wav"
        soundfile.write(file, tone + np.random.default_rng(noise).normal(0, 0.1, len(time)), RATE)
        lines.append(json.dumps({"audio_filepath": str(file), "duration": seconds, "label": LABELS[label]}) + "\n")
    manifest = folder / "manifest.jsonl"
    manifest.write_text("".join(lines))
    return manifest


def configuration(options: argparse.Namespace, manifest: Path) -> DictConfig:
    """NeMo's configuration of the model: spectrogram, separable convolutions, one label per file."""
    block = {"filters": options.width, "repeat": 1, "kernel": [5], "stride": [1], "dilation": [1], "dropout": 0.0}
    block |= {"residual": False, "separable": True}
    encoder = {"feat_in": 32, "activation": "relu", "conv_mask": True, "jasper": [block] * options.layers}
    decoder = {"feat_in": options.width, "num_classes": len(LABELS), "pool_mode": "xvector", "emb_sizes": 32}
    kind = "nemo.collections.asr.modules"
    data = {"manifest_filepath": str(manifest), "sample_rate": RATE, "labels": LABELS, "batch_size": options.batch}
    return OmegaConf.create(
        {
            "sample_rate": RATE,
            "labels": LABELS,
            "train_ds": data | {"shuffle": True},
            "preprocessor": {
                "_target_": f"{kind}.AudioToMelSpectrogramPreprocessor",
                "sample_rate": RATE,
                "features": encoder["feat_in"],
                "dither": 0.0,
            },
            "encoder": {"_target_": f"{kind}.ConvASREncoder", **encoder},
            "decoder": {"_target_": f"{kind}.SpeakerDecoder", **decoder},
            "loss": {"_target_": "nemo.collections.common.losses.cross_entropy.CrossEntropyLoss"},
            "optim": {"name": "adamw", "lr": 1e-2},
        }
    )


class Teller(pl.Callback):
    """Prints the mean loss of all ranks after each step."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, model: pl.LightningModule, outputs: dict, batch: object, batch_idx: int
    ) -> None:
        mean = trainer.strategy.reduce(outputs["loss"].detach(), reduce_op="mean")
        if trainer.is_global_zero:
            say("loss", step=trainer.global_step, loss=mean.item())


def watch(model: EncDecSpeakerLabelModel) -> list[int]:
    """A list that receives the number of each file that the model's data set reads."""
    samples: list[int] = []
    featurizer = model.train_dataloader().dataset.featurizer
    process = featurizer.process

    def watched(file: str, **options: object) -> torch.Tensor:
        samples.append(int(Path(file).stem))
        return process(file, **options)

    featurizer.process = watched
    return samples


def train(options: argparse.Namespace, folder: Path) -> None:
    """Train by Lightning's trainer, one epoch."""
    world, local = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    trainer = pl.Trainer(
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=local,
        num_nodes=world // local,
        strategy="ddp",
        use_distributed_sampler=True,
        max_epochs=1,
        callbacks=[Teller()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    pl.seed_everything(options.seed)
    manifest = corpus(folder, options.steps * options.batch * world, options.seconds, options.seed)
    model = EncDecSpeakerLabelModel(configuration(options, manifest), trainer)
    samples = watch(model)
    trainer.fit(model)
    say("samples", part=0, samples=samples)
    say("end", weights=digest(model.named_parameters()))


def main() -> None:
    """Read the options, write the corpus, train."""
    command = parser(__doc__, steps=30, batch=(16, "files per process and step"), width=64, layers=3)
    command.add_argument("--seconds", type=float, default=0.25, help="the length of a file")
    options = command.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        train(options, Path(folder))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
