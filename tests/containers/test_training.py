"""A container really trains: it passes its rule, fails it when training is broken, and resumes where it was killed."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingot.container import smoke
from ingot.container.build import CONTAINERS
from tests.artifacts import Artifact, Container, DockerRun, docker
from tests.commandline import command, ingot_process
from tests.containers.conftest import Broken

pytestmark = [pytest.mark.docker, pytest.mark.network]

# The two with PyTorch alone run at every change, the others are slow.
ALWAYS = {"cpu-ddp", "fsdp"}
STEPS, KILLED_AFTER = 100, 60
TRAIN = ["torchrun", "--standalone", "--nproc-per-node=2", "/opt/ingot/fsdp/train.py", f"--steps={STEPS}"]
SAYS = 'say("snapshot", part=epoch)\n'
# Another file: two ranks that write the same one mostly stop each other.
ANOTHER_SAYS = '        if rank and options.snapshot:\n            save(options.snapshot.with_name("other"), {})\n'
ANOTHER_SAYS += f"            {SAYS}"
Built = Callable[[str], dict[str, Any]]
Resumed = Callable[[str], Container]


def _marked(name: str) -> Any:
    return pytest.param(name, marks=[] if name in ALWAYS else [pytest.mark.slow])


@pytest.mark.parametrize("name", [_marked(path.parent.name) for path in sorted(CONTAINERS.glob(f"*/{smoke.FILE}"))])
def test_passes_its_rule_without_network_as_an_ordinary_user(name: str) -> None:
    done = ingot_process("smoke", name, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["passed"]
    assert docker("ps", "-aq", "--filter", "name=ingot-smoke-") == ""


@pytest.mark.slow
def test_an_interrupted_run_leaves_no_container(built: Built) -> None:
    built("cpu-ddp")
    events = ["docker", "events", "--since=1s", "--filter", "event=start", "--format", "{{.Actor.Attributes.name}}"]
    with subprocess.Popen(events, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        run = subprocess.Popen(command("smoke", "cpu-ddp"), stderr=subprocess.PIPE, text=True)
        name = next(line.strip() for line in watch.stdout if line.startswith("ingot-smoke-"))
        run.terminate()
        _, said = run.communicate()
        watch.terminate()
    assert run.returncode == 130, said
    assert docker("ps", "-aq", "--filter", f"name={name}") == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "old", "new", "fault"),
    [
        ("cpu-ddp", "model = DistributedDataParallel(net)", "model = net", "different weights"),
        ("cpu-ddp", "DistributedSampler(data, world, rank,", "DistributedSampler(data, world, 0,", "more than once"),
        ("cpu-ddp", SAYS, SAYS + ANOTHER_SAYS, "one rank should report each snapshot"),
        ("cpu-ddp", "            optimizer.step()\n", "", "the last loss"),
        ("fsdp", "Stream(rank, world,", "Stream(0, world,", "more than once"),
        ("jax", "place) * world + rank for", "place) * world for", "more than once"),
        ("picotron", '            dist.all_reduce(value.grad, group=layout.get_group("dp"))\n', "", "different"),
        ("megatron-lm", "torch.manual_seed(options.seed)", "torch.manual_seed(dist.get_rank())", "replicated"),
        ("megatron-lm", "copy = parallel_state.get_data_parallel_rank()", "copy = dist.get_rank()", "the last loss"),
        ("torchtitan", "warmup_steps = 2", "warmup_steps = 10**6", "the last loss"),
        ("bionemo", "Sampler(ordered, world, rank,", "Sampler(ordered, world, 0,", "more than once"),
        ("mosaicml-composer", "local=str(folder),", "local=str(folder), replication=2,", "more than once"),
        ("nemo", "use_distributed_sampler=True", "use_distributed_sampler=False", "more than once"),
    ],
    ids=[
        "no-all-reduce",
        "same-data",
        "every-rank-writes",
        "no-step",
        "same-stream",
        "jax-same-data",
        "picotron-no-all-reduce",
        "megatron-other-weights",
        "megatron-other-data",
        "torchtitan-no-step",
        "bionemo-same-data",
        "mosaicml-composer-same-data",
        "nemo-same-data",
    ],
)
def test_broken_training_fails_the_rule(
    name: str, old: str, new: str, fault: str, broken: Broken, tmp_path: Path
) -> None:
    result = smoke.smoke(broken(name, old, new), smoke.read(CONTAINERS / name), tmp_path)
    assert any(fault in each for each in result.faults), result.faults


@pytest.mark.slow
def test_layouts_train_with_the_same_losses(built: Built, docker_run: DockerRun) -> None:
    words = [built("picotron")["tag"], "python", "/opt/ingot/picotron/train.py"]
    layouts = ([f"distributed.pp_size={size}", f"distributed.tp_size={size}"] for size in (1, 2))
    whole, split = [trained(docker_run(*words, *layout, options=smoke.CONFINED)) for layout in layouts]
    assert len(whole) == 40
    assert split == pytest.approx(whole, abs=1e-4)


def trained(container: Container) -> dict[int, float]:
    """Train to the end; returns the loss after each step."""
    ended = container.wait()
    assert ended.code == 0, ended.stderr[-3000:]
    return smoke.losses(smoke.records(ended.stdout))


def killed_half_way(container: Container) -> dict[int, float]:
    """Kill training as soon as it reports step 60; returns the losses until then."""
    seen: dict[int, float] = {}
    for line in container.lines():
        seen |= smoke.losses(smoke.records(line))
        if KILLED_AFTER in seen:
            container.kill()
            break
    return seen


@pytest.fixture
def resumed(built: Built, artifact: Artifact, unique: Callable[[], str], docker_run: DockerRun) -> Resumed:
    """Trains an image of fsdp, resuming; its checkpoints are in a volume that the container's user can write."""
    volume = unique()
    artifact("volume", volume)
    docker("volume", "create", volume)
    options = [*smoke.CONFINED, f"--volume={volume}:/checkpoints"]
    owned = docker_run(built("fsdp")["tag"], "chown", "1000:1000", "/checkpoints", options=["--user=0", options[-1]])
    assert owned.wait().code == 0
    return lambda tag: docker_run(tag, *TRAIN, "--checkpoints", "/checkpoints", options=options)


@pytest.mark.slow
def test_killed_half_way_it_goes_on_with_the_same_losses(built: Built, docker_run: DockerRun, resumed: Resumed) -> None:
    tag = built("fsdp")["tag"]
    whole = trained(docker_run(tag, *TRAIN, options=smoke.CONFINED))
    before = killed_half_way(resumed(tag))
    after = trained(resumed(tag))
    assert len(whole) == STEPS
    # From the newest complete checkpoint, after step 40 or 60; an unfinished one is not used.
    assert min(after) in (41, 61)
    assert max(after) == STEPS
    assert whole == pytest.approx(before | after, abs=1e-6)


@pytest.mark.slow
def test_a_run_that_ignores_what_its_checkpoint_holds_is_noticed(broken: Broken, resumed: Resumed) -> None:
    load = "    dcp.load(state, checkpoint_id=checkpoints[-1])\n"
    tag = broken("fsdp", load, "    state['step'] = int(checkpoints[-1].name.removeprefix('step-'))\n")
    before = killed_half_way(resumed(tag))
    after = trained(resumed(tag))
    assert min(after) in (41, 61)
    assert after[min(after)] > 2 * before[min(after) - 1]
