"""Trains torchtitan's debug model of Llama 3 by torchtitan's own trainer, on a generated corpus and tokenizer.

Started by torchrun. Without GPUs the trainer is made to run on CPUs, with gloo. Each process prints the events of
ingot_train on standard output; the trainer's own log is on standard error.
"""

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.distributed as dist
from ingot_train import TOKENS, digest, parser, say, sequence
from torch.distributed.fsdp import FSDPModule


def take_the_cpu() -> None:
    """Let torchtitan 0.3, imported after this, run without a GPU: adds what its trainer uses and torch.cpu lacks."""
    torch._utils._get_available_device_type = lambda: "cpu"
    memory = SimpleNamespace(total_memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    torch.cpu.get_device_name = lambda device=None: "CPU"
    torch.cpu.get_device_properties = lambda device=None: memory
    torch.cpu.memory_stats = lambda device=None: {}
    torch.cpu.empty_cache = torch.cpu.reset_peak_memory_stats = lambda: None
    # gloo's barrier takes no list of devices, which the trainer passes before it shortens its timeouts.
    barrier = dist.barrier
    dist.barrier = lambda *args, device_ids=None, **options: barrier(*args, **options)


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


def text(number: int, length: int, seed: int) -> str:
    """The words of a document, which depend on its number alone."""
    return " ".join(f"w{token}" for token in sequence(number, length, seed))


def tokenizer(folder: Path) -> None:
    """Write a tokenizer for the words of the corpus, as the trainer reads it."""
    words = Tokenizer(models.WordLevel({f"w{number}": number for number in range(TOKENS)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.save(str(folder / "tokenizer.json"))


class Metrics(MetricsProcessor):
    """The trainer's metrics, printed as events too."""

    @dataclass(kw_only=True, slots=True)
    class Config(MetricsProcessor.Config):
        """Those of the trainer's metrics, of which each class has its own."""

    def log(self, step: int, loss: float, *args: object, **facts: object) -> None:
        if dist.get_rank() == 0:
            say("loss", step=step, loss=loss)
        super().log(step, loss, *args, **facts)


def configuration(options: argparse.Namespace, folder: Path, samples: list[int]) -> Trainer.Config:
    """torchtitan's configuration of its debug model on our own corpus; `samples` receives the documents' numbers."""

    def documents(path: str) -> Dataset:
        # Each as long as a sample, and one token more as the last label.
        count = options.steps * options.batch * dist.get_world_size()
        return Dataset.from_list(
            [{"number": number, "text": text(number, options.length + 1, options.seed)} for number in range(count)]
        )

    def words_of(document: dict) -> str:
        samples.append(document["number"])
        return document["text"]

    DATASETS["generated"] = DatasetConfig(path="", loader=documents, sample_processor=words_of)
    tokenizer(folder)
    config = llama3_debugmodel()
    # Its default attention needs a C++ compiler on CPUs; a sample is one document, so no mask between them is needed.
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


def main() -> None:
    """Read the options, train by torchtitan's trainer."""
    command = parser(
        __doc__,
        steps=20,
        batch=(8, "documents per process and step"),
        length=(64, "tokens per document"),
        shard=(-1, "processes that share the weights by FSDP2; -1: all that remain"),
        tensor_parallel=(1, "processes that share each matrix"),
    )
    options = command.parse_args()
    init_logger()
    samples: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        trainer = configuration(options, Path(folder), samples).build()
        for module in (module for part in trainer.model_parts for module in part.modules()):
            if isinstance(module, FSDPModule):
                # gloo cannot scale while it sums.
                module.set_force_sum_reduction_for_comms(dist.get_backend() == "gloo")
        try:
            trainer.train()
            say("samples", part=0, samples=samples)
            say("end", weights=digest(item for part in trainer.model_parts for item in part.state_dict().items()))
        finally:
            trainer.close()
            dist.destroy_process_group()


if __name__ == "__main__":
    main()
