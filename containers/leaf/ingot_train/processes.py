"""Joins the processes of a run in PyTorch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist


@contextmanager
def joined(gpu_backend: str = "nccl") -> Iterator[torch.device]:
    """Join the other processes by torchrun's environment, and leave them at the end; yields this process's device.

    The device is a GPU, with `gpu_backend` between processes, or where there is none the CPU, with gloo.
    """
    device, backend = torch.device("cpu"), "gloo"
    if torch.cuda.is_available():
        device, backend = torch.device("cuda", int(os.environ["LOCAL_RANK"])), gpu_backend
        torch.cuda.set_device(device)
    dist.init_process_group(backend)
    try:
        yield device
    finally:
        dist.destroy_process_group()
