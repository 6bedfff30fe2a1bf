"""What the training programs share: the events that they print, their options, a generated corpus.

The Dockerfile of the leaves copies this package beside each program. It needs Python alone; `processes` needs PyTorch.

An event is one line of JSON on standard output. `rank` is the number of the process that prints it:

    {"event": "start", "rank": 0, "step": 20}                          the step that training resumes after
    {"event": "loss", "rank": 0, "step": 21, "loss": 2.5}              the mean loss over all ranks; rank 0 alone
    {"event": "samples", "rank": 1, "part": 0, "samples": [1, 3, 5]}   the numbers of the samples that this rank read
    {"event": "snapshot", "rank": 0, "part": 0}                        what one rank alone does, such as a checkpoint
    {"event": "end", "rank": 1, "weights": "5f70bf18…"}                the last event of a rank, with a digest

`part` is what samples are compared within, such as an epoch. `loss`, `samples` and `end` are required; `ingot smoke`
judges a run by them. Other lines are for people.
"""

import argparse
import hashlib
import json
import os
import random
from collections.abc import Iterable
from typing import Any

TOKENS = 64


def say(event: str, *, before: str = "", **facts: object) -> None:
    """Print an event of this process, whose rank is in RANK as torchrun sets it; KeyError without.

    One write, so that lines of several ranks do not mix. `before` is written in front of the event's line.
    """
    line = json.dumps({"event": event, "rank": int(os.environ["RANK"]), **facts})
    os.write(1, f"{before}{line}\n".encode())


def digest(weights: Iterable[tuple[str, Any]]) -> str:
    """SHA-256 over names and values: equal on all ranks as long as they train the same model.

    A value is an array, a tensor on any device, or a sharded tensor, which all ranks gather together.
    """
    total = hashlib.sha256()
    for name, value in weights:
        if hasattr(value, "full_tensor"):
            value = value.full_tensor()
        if hasattr(value, "detach"):
            value = value.detach().cpu().numpy()
        total.update(name.encode() + value.tobytes())
    return total.hexdigest()


def sequence(number: int, length: int, seed: int) -> list[int]:
    """The `length` tokens of a sequence, which depend on its number alone: it counts in steps of one size."""
    rng = random.Random(f"{seed}:{number}")
    first, step = rng.randrange(TOKENS), rng.randrange(1, 8)
    return [(first + step * place) % TOKENS for place in range(length)]


def parser(description: str, **sizes: int | tuple[int, str]) -> argparse.ArgumentParser:
    """A parser with one option per whole number in `sizes`, the default or (default, help), and --seed.

    Of `description`, a program's docstring, the first line is shown.
    """
    options = argparse.ArgumentParser(description=description.splitlines()[0])
    for name, size in {**sizes, "seed": 1}.items():
        default, text = size if isinstance(size, tuple) else (size, None)
        options.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, help=text)
    return options
