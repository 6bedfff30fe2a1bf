"""Programs in containers print events that `ingot smoke` judges, from one package that needs Python alone."""

import json
import os
from array import array
from dataclasses import dataclass
from itertools import pairwise

import ingot_train
import pytest

from ingot.container import smoke

EXPECT = smoke.Expect(ranks=2, first_loss_above=2.0, last_loss_below=1.0, same=["weights"], once=["snapshot"])


@dataclass
class Tensor:
    """A tensor on a GPU, which numpy reads once it is detached and on the CPU."""

    values: list[float]
    place: str = "gpu"

    def detach(self) -> "Tensor":
        return Tensor(self.values, "detached")

    def cpu(self) -> "Tensor":
        return Tensor(self.values, f"{self.place} cpu")

    def numpy(self) -> "array[float]":
        assert self.place == "detached cpu"
        return array("f", self.values)


@dataclass
class Sharded:
    """One rank's shard of a tensor, which has no bytes of the whole."""

    whole: Tensor

    def full_tensor(self) -> Tensor:
        return self.whole


def train(rank: int, weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Print what one of two ranks prints."""
    monkeypatch.setenv("RANK", str(rank))
    if rank == 0:
        for step, loss in enumerate((2.5, 0.5)):
            ingot_train.say("loss", step=step, loss=loss)
        ingot_train.say("snapshot", part=0)
    ingot_train.say("samples", part=0, samples=[rank, rank + 2])
    ingot_train.say("end", weights=weights)


def test_events_of_two_ranks_pass_the_rule(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in (0, 1):
        train(rank, "same", monkeypatch)
    assert smoke.judge(smoke.records(capfd.readouterr().out), EXPECT) == []


def test_weights_that_differ_do_not(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in (0, 1):
        train(rank, f"of {rank}", monkeypatch)
    assert smoke.judge(smoke.records(capfd.readouterr().out), EXPECT) == ["ranks end with different weights"]


def test_an_event_after_an_unfinished_line_is_found(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    os.write(1, b"gloo connects ")
    ingot_train.say("start", before="\n", step=3)
    assert smoke.records(capfd.readouterr().out) == [{"event": "start", "rank": 0, "step": 3}]


def test_a_process_without_a_rank_prints_no_event(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(KeyError, match="RANK"):
        ingot_train.say("end")
    assert capfd.readouterr().out == ""


def test_the_shapes_of_events_that_the_package_documents_are_events() -> None:
    assert ingot_train.__doc__
    shapes = [line.strip() for line in ingot_train.__doc__.splitlines() if line.startswith("    {")]
    events = [json.JSONDecoder().raw_decode(shape)[0] for shape in shapes]
    assert {"loss", "samples", "end"} < {event["event"] for event in events}
    assert all(list(event)[:2] == ["event", "rank"] for event in events)


def test_a_digest_is_over_names_and_whole_values_wherever_they_are() -> None:
    values = [1.0, 2.0]
    digest = ingot_train.digest([("a", array("f", values))])
    assert ingot_train.digest([("a", Tensor(values))]) == digest
    assert ingot_train.digest([("a", Sharded(Tensor(values)))]) == digest
    assert ingot_train.digest([("b", array("f", values))]) != digest
    assert ingot_train.digest([("a", array("f", [1.0, 2.5]))]) != digest


def test_a_sequence_depends_on_its_number_and_the_seed_alone() -> None:
    tokens = ingot_train.sequence(7, 40, seed=1)
    assert ingot_train.sequence(7, 20, seed=1) == tokens[:20]
    assert tokens != ingot_train.sequence(8, 40, seed=1) != ingot_train.sequence(8, 40, seed=2)
    steps = {(after - before) % ingot_train.TOKENS for before, after in pairwise(tokens)}
    assert len(steps) == 1
    assert set(tokens) <= set(range(ingot_train.TOKENS))


def test_options_are_whole_numbers_with_what_they_count(capsys: pytest.CaptureFixture[str]) -> None:
    parser = ingot_train.parser("Trains.\n\nMore.", steps=30, tensor_parallel=(2, "processes that share each matrix"))
    assert vars(parser.parse_args([])) == {"steps": 30, "tensor_parallel": 2, "seed": 1}
    assert parser.parse_args(["--tensor-parallel=4"]).tensor_parallel == 4
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    shown = capsys.readouterr().out
    assert "processes that share each matrix" in shown
    assert "More." not in shown
