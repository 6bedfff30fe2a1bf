"""Trains a small GPT of megatron-core on generated sequences, each of its matrices split over processes.

Started by torchrun. Without GPUs it runs on CPUs, with gloo. Each process prints the events of ingot_train.
"""

import argparse

import torch
import torch.distributed as dist
from ingot_train import TOKENS, digest, parser, say, sequence
from ingot_train.processes import joined
from megatron.core import parallel_state
from megatron.core.models.gpt import GPTModel
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
from megatron.core.tensor_parallel.random import initialize_rng_tracker, model_parallel_cuda_manual_seed
from megatron.core.transformer import TransformerConfig


def seed_device(device: torch.device, seed: int) -> None:
    """Set up random numbers on `device`; megatron-core asks CUDA for the device of its tensors, so CPUs stand in."""
    if device.type == "cuda":
        model_parallel_cuda_manual_seed(seed)
        return
    torch.cuda.current_device = lambda: "cpu"
    # This tracker keeps no GPU states; without dropout nothing is drawn from them.
    initialize_rng_tracker(inference_rng_tracker=True)


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
        # Fused kernels need CUDA.
        masked_softmax_fusion=False,
        bias_dropout_fusion=False,
        gradient_accumulation_fusion=False,
    )
    return GPTModel(config, get_gpt_layer_local_spec(), vocab_size=TOKENS, max_sequence_length=options.length)


def is_split(value: torch.nn.Parameter) -> bool:
    """Whether this rank holds a slice of the matrix alone."""
    return getattr(value, "tensor_model_parallel", False)


def train(options: argparse.Namespace, device: torch.device) -> None:
    """Train to the last step."""
    torch.manual_seed(options.seed)
    model = build(options).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    group, copies = parallel_state.get_data_parallel_group(), parallel_state.get_data_parallel_world_size()
    copy = parallel_state.get_data_parallel_rank()
    places = torch.arange(options.length, device=device).expand(options.batch, -1)
    # True masks a place: the ones that come after.
    mask = torch.ones(1, 1, options.length, options.length, dtype=torch.bool, device=device).triu(1)
    samples = []
    for step in range(1, options.steps + 1):
        # Ranks that share matrices read the same sequences; of `copies` consecutive ones each copy reads one.
        numbers = [((step - 1) * options.batch + place) * copies + copy for place in range(options.batch)]
        text = torch.tensor([sequence(of, options.length + 1, options.seed) for of in numbers], device=device)
        samples += numbers
        loss = model(text[:, :-1], places, mask, labels=text[:, 1:]).mean()
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
        say("samples", part=0, samples=samples)
    # Weights that each rank holds whole stay equal only while the ranks really share the others.
    whole = ((name, value) for name, value in model.named_parameters() if not is_split(value))
    say("end", replicated=digest(whole))


def main() -> None:
    """Read the options, join the other processes, train."""
    sequences = {"batch": (16, "sequences per copy of the model and step"), "length": (32, "tokens per sequence")}
    split = (2, "processes that share each matrix")
    options = parser(__doc__, **sequences, tensor_parallel=split, steps=60, width=64, layers=2, heads=4).parse_args()
    with joined() as device:
        parallel_state.initialize_model_parallel(options.tensor_parallel)
        seed_device(device, options.seed)
        train(options, device)


if __name__ == "__main__":
    main()
