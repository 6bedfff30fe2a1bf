"""Whatever a file holds, a reader of it gives an answer or one error, and never anything else."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingot.catalog.settings import read_settings
from ingot.errors import IngotError
from ingot.export.nccl_log import runs
from ingot.lock.diff import state
from ingot.plan.check import judged
from ingot.plan.jobfiles import job_file, requests
from ingot.plan.manifest import Manifest

WANTED = judged(read_settings())
# Pieces that mean something to one of the readers, and anything.
PIECES = st.sampled_from(
    [
        *("NCCL_DEBUG=INFO", "export ", "\n", " ", "\t", "'", '"', "`", "$(", ")", "${", "}"),
        *("{{ x }}", "{% if %}", "|", "&a ", "*a", "<<EOF\n", "EOF\n", "FROM a\n", "ENV ", "RUN "),
        *("CMD [", "]", "- ", "name: ", "value: ", "env:\n", ":", "#", "\\\n", "---\n", "[Service]\n"),
        *("kind: Pod\n", "containers:\n", "Environment=", "mpirun -x ", "docker run --gpus all "),
        *("--export=", "bash -c ", "8 2 float sum -1 1 2 3 0 1 2 3 0\n", "# nccl-tests version 2\n"),
        *("# size count type redop root time algbw busbw #wrong time algbw busbw #wrong\n",),
        *("#  Rank  0 on a device\n", "NCCL INFO Using network Socket\n", "# Avg bus bandwidth : 1\n"),
    ]
)
KEYS = ("declared", "observed", "components", "efa", "version", "stack", "os", "arch", "packages", "x")
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=30).map("".join)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)
bounded = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def tried(reader: Callable[[], object]) -> None:
    """Run a reader; an error for the user is an answer."""
    try:
        reader()
    except IngotError as error:
        assert error.message
        assert "\n" not in error.message.strip()


@pytest.mark.parametrize(
    "name", ["job.sh", "Dockerfile", "job.yaml", "job.yaml.j2", "job.json", "job.service", "job.tf", "job"]
)
@bounded
@given(text=TEXTS)
def test_a_job_file(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, errors="replace")
    tried(lambda: requests(job_file(tmp_path / name, WANTED)))


@bounded
@given(data=st.binary(max_size=200))
def test_bytes(tmp_path: Path, data: bytes) -> None:
    for name in ("job.sh", "job.yaml"):
        (tmp_path / name).write_bytes(data)
        tried(lambda name=name: job_file(tmp_path / name, WANTED))  # type: ignore[misc]


@bounded
@given(text=TEXTS)
def test_a_log(text: str) -> None:
    for run in runs(text):
        assert run.peak >= 0


@bounded
@given(data=VALUES)
def test_a_manifest(tmp_path: Path, data: object) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(data))
    tried(lambda: Manifest.of(json.loads(json.dumps(data)), "manifest.json"))
    tried(lambda: state(tmp_path / "manifest.json"))


@bounded
@given(text=st.one_of(TEXTS, VALUES.map(json.dumps)))
def test_a_lock(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock.yml").write_text(text, errors="replace")
    tried(lambda: state(tmp_path / "lock.yml"))
