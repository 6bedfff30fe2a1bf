"""Joins the processes of a run in PyTorch."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist


@contextmanager
def joined(gpu_backend: str = "nccl") -> Iterator[torch.device]:
    """Join the other processes by torchrun's environment, yield this process's device, and end the process afterwards.

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
    # A sharded model keeps its process group, and gloo's threads with it. A thread that drops its last tensor while
    # Python shuts down aborts the process, though the training is complete: https://github.com/pytorch/pytorch/pull/179291
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
