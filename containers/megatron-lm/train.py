"""Trains a small GPT of megatron-core on generated sequences, each of its matrices split over processes.

Started by torchrun. On a machine without GPUs it takes the CPU, with gloo. Each process prints what it does as lines of
JSON on standard output.
"""

import argparse
import hashlib
import json
import os
import random

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.models.gpt import GPTModel
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
from megatron.core.tensor_parallel.random import initialize_rng_tracker, model_parallel_cuda_manual_seed
from megatron.core.transformer import TransformerConfig

TOKENS = 64


def sequence(number: int, length: int, seed: int) -> list[int]:
    """The tokens of a sequence, which depend on its number alone: it counts in steps of one size."""
    made = random.Random(f"{seed}:{number}")
    first, step = made.randrange(TOKENS), made.randrange(1, 8)
    return [(first + step * place) % TOKENS for place in range(length)]


def say(event: str, **facts: object) -> None:
    """One line of JSON: an event of this rank. In one write, so that lines of several ranks do not mix."""
    os.write(1, (json.dumps({"event": event, "rank": dist.get_rank(), **facts}) + "\n").encode())


def take_a_device(seed: int) -> torch.device:
    """This process's GPU, or the CPU where there is none: megatron-core asks CUDA for the device of what it makes."""
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        model_parallel_cuda_manual_seed(seed)
        return torch.device("cuda", torch.cuda.current_device())
    torch.cuda.current_device = lambda: "cpu"
    # The tracker that keeps no states of GPUs; without dropout nothing is drawn from them.
    initialize_rng_tracker(inference_rng_tracker=True)
    return torch.device("cpu")


def build(options: argparse.Namespace) -> GPTModel:
    """This rank's part of the model."""
    config = TransformerConfig(
        num_layers=options.layers,
        hidden_size=options.width,
        num_attention_heads=options.heads,
        tensor_model_parallel_size=options.tensor_parallel,
        use_cpu_initialization=not torch.cuda.is_available(),
        hidden_dropout=0.0,
        attention_dropout=0.0,
        pipeline_dtype=torch.float32,
        # Fused kernels are CUDA's.
        masked_softmax_fusion=False,
        bias_dropout_fusion=False,
        gradient_accumulation_fusion=False,
    )
    return GPTModel(config, get_gpt_layer_local_spec(), vocab_size=TOKENS, max_sequence_length=options.length)


def replicated(model: GPTModel) -> str:
    """SHA-256 of the weights that each rank has whole: the same as long as the ranks really share the others."""
    total = hashlib.sha256()
    for name, value in model.named_parameters():
        if not getattr(value, "tensor_model_parallel", False):
            total.update(name.encode() + value.detach().cpu().numpy().tobytes())
    return total.hexdigest()


def train(options: argparse.Namespace, device: torch.device) -> None:
    """Train to the last step."""
    torch.manual_seed(options.seed)
    model = build(options).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    group, copies = parallel_state.get_data_parallel_group(), parallel_state.get_data_parallel_world_size()
    copy = parallel_state.get_data_parallel_rank()
    places = torch.arange(options.length, device=device).expand(options.batch, -1)
    # True is what is not looked at: what comes after.
    hidden = torch.ones(1, 1, options.length, options.length, dtype=torch.bool, device=device).triu(1)
    read = []
    for step in range(1, options.steps + 1):
        # Ranks that share matrices read the same sequences; of as many in a row as there are copies, each reads one.
        numbers = [((step - 1) * options.batch + place) * copies + copy for place in range(options.batch)]
        text = torch.tensor([sequence(each, options.length + 1, options.seed) for each in numbers], device=device)
        read += numbers
        loss = model(text[:, :-1], places, hidden, labels=text[:, 1:]).mean()
        optimizer.zero_grad()
        loss.backward()
        for value in model.parameters():
            dist.all_reduce(value.grad, group=group)
            value.grad /= copies
        optimizer.step()
        mean = loss.detach().clone()
        dist.all_reduce(mean, group=group)
        if dist.get_rank() == 0:
            say("loss", step=step, loss=mean.item() / copies)
    if parallel_state.get_tensor_model_parallel_rank() == 0:
        say("samples", part=0, samples=read)
    say("end", replicated=replicated(model))


def main() -> None:
    """Read the options, join the other processes, train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tensor-parallel", type=int, default=2, help="processes that share each matrix")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=16, help="sequences a copy of the model and step")
    parser.add_argument("--length", type=int, default=32, help="tokens a sequence")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        parallel_state.initialize_model_parallel(options.tensor_parallel)
        train(options, take_a_device(options.seed))
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
