"""Trains torchtitan's debug model of Llama 3 by torchtitan's own trainer, on a generated corpus and tokenizer.

Started by torchrun. On a machine without GPUs the trainer is told to take the CPU, with gloo. Each process prints what
it does as lines of JSON on standard output; the trainer's own log is on standard error.
"""

import argparse
import hashlib
import json
import os
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.distributed as dist
from torch.distributed.fsdp import FSDPModule


def take_the_cpu() -> None:
    """Let torchtitan 0.3 run without a GPU, before it is imported: it asks its device for what torch.cpu lacks."""
    torch._utils._get_available_device_type = lambda: "cpu"
    memory = SimpleNamespace(total_memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    torch.cpu.get_device_name = lambda device=None: "CPU"
    torch.cpu.get_device_properties = lambda device=None: memory
    torch.cpu.memory_stats = lambda device=None: {}
    torch.cpu.empty_cache = torch.cpu.reset_peak_memory_stats = lambda: None
    # gloo's barrier takes no list of devices, which the trainer passes before it shortens its timeouts.
    barrier = dist.barrier
    dist.barrier = lambda *words, device_ids=None, **options: barrier(*words, **options)


if not torch.cuda.is_available():
    take_the_cpu()

from datasets import Dataset  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from torchtitan.components.metrics import MetricsProcessor  # noqa: E402
from torchtitan.config import TrainingConfig  # noqa: E402
from torchtitan.hf_datasets import DatasetConfig  # noqa: E402
from torchtitan.hf_datasets.text_datasets import DATASETS, HuggingFaceTextDataLoader  # noqa: E402
from torchtitan.models.common.attention import ScaledDotProductAttention  # noqa: E402
from torchtitan.models.llama3.config_registry import llama3_debugmodel  # noqa: E402
from torchtitan.tools.logging import init_logger  # noqa: E402
from torchtitan.trainer import Trainer  # noqa: E402

WORDS = 64


def say(event: str, **facts: object) -> None:
    """One line of JSON: an event of this rank. In one write, so that lines of several ranks do not mix."""
    os.write(1, (json.dumps({"event": event, "rank": dist.get_rank(), **facts}) + "\n").encode())


def text(number: int, length: int, seed: int) -> str:
    """The words of a document, which depend on its number alone: it counts in steps of one size."""
    made = random.Random(f"{seed}:{number}")
    first, step = made.randrange(WORDS), made.randrange(1, 8)
    return " ".join(f"w{(first + step * place) % WORDS}" for place in range(length))


def tokenizer(folder: Path) -> None:
    """Write a tokenizer that has the corpus' words, as the trainer reads it."""
    words = Tokenizer(models.WordLevel({f"w{number}": number for number in range(WORDS)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.save(str(folder / "tokenizer.json"))


class Metrics(MetricsProcessor):
    """The trainer's metrics, told as events too."""

    @dataclass(kw_only=True, slots=True)
    class Config(MetricsProcessor.Config):
        """The same as its own."""

    def log(self, step: int, loss: float, *words: object, **facts: object) -> None:
        if dist.get_rank() == 0:
            say("loss", step=step, loss=loss)
        super().log(step, loss, *words, **facts)


def configuration(options: argparse.Namespace, folder: Path, read: list[int]) -> Trainer.Config:
    """torchtitan's configuration of its debug model, with a corpus of our own; `read` gets the documents' numbers."""

    def documents(path: str) -> Dataset:
        # Each as long as a sample, and one more token for what comes last.
        count = options.steps * options.batch * dist.get_world_size()
        return Dataset.from_list(
            [{"number": number, "text": text(number, options.length + 1, options.seed)} for number in range(count)]
        )

    def words_of(document: dict) -> str:
        read.append(document["number"])
        return document["text"]

    DATASETS["generated"] = DatasetConfig(path="", loader=documents, sample_processor=words_of)
    tokenizer(folder)
    config = llama3_debugmodel()
    # Its attention without CUDA goes through a C++ compiler; a document a sample needs no mask between documents.
    for layer in config.model_spec.model.layers:
        layer.attention.inner_attention = ScaledDotProductAttention.Config()
    config.hf_assets_path, config.dump_folder = str(folder), str(folder)
    config.dataloader = HuggingFaceTextDataLoader.Config(dataset="generated", infinite=False)
    config.training = TrainingConfig(
        local_batch_size=options.batch,
        seq_len=options.length,
        steps=options.steps,
        disable_cuda_graphs=not torch.cuda.is_available(),
        mixed_precision_param="float32",
    )
    config.parallelism.data_parallel_shard_degree = options.shard
    config.parallelism.tensor_parallel_degree = options.tensor_parallel
    config.lr_scheduler.warmup_steps = 2
    config.metrics = Metrics.Config(log_freq=1, disable_color_printing=True)
    config.checkpoint.enable = config.validator.enable = False
    config.debug.seed = options.seed
    return config


def digest(trainer: Trainer) -> str:
    """SHA-256 of the whole weights, which each rank gathers: the same on all of them."""
    total = hashlib.sha256()
    for part in trainer.model_parts:
        for value in part.state_dict().values():
            whole = value.full_tensor() if hasattr(value, "full_tensor") else value
            total.update(whole.cpu().numpy().tobytes())
    return total.hexdigest()


def main() -> None:
    """Read the options, train by torchtitan's trainer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=8, help="documents a process and step")
    parser.add_argument("--length", type=int, default=64, help="tokens a document")
    parser.add_argument("--shard", type=int, default=-1, help="processes that share the weights by FSDP2; -1: the rest")
    parser.add_argument("--tensor-parallel", type=int, default=1, help="processes that share each matrix")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    init_logger()
    read: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        trainer = configuration(options, Path(folder), read).build()
        for module in (module for part in trainer.model_parts for module in part.modules()):
            if isinstance(module, FSDPModule):
                # gloo cannot scale while it sums.
                module.set_force_sum_reduction_for_comms(dist.get_backend() == "gloo")
        try:
            trainer.train()
            say("samples", part=0, samples=read)
            say("end", weights=digest(trainer))
        finally:
            trainer.close()
            dist.destroy_process_group()


if __name__ == "__main__":
    main()
