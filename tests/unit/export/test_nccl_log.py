"""Each run of nccl-tests in a log is read, whatever is around its lines, and so is what it says of the network."""

import re
from pathlib import Path

import pytest

from ingot.export.nccl_log import runs
from tests.commandline import ingot

DATA = Path(__file__).parents[1] / "data" / "nccl"
LOG = (DATA / "all_reduce.log").read_text()
ROW = next(line for line in LOG.splitlines(keepends=True) if line.startswith("     1048576"))


def test_a_run_is_read_with_what_else_stands_in_the_log() -> None:
    (run,) = runs(LOG)
    assert (run.collective, run.version, run.hosts, run.ranks) == ("all_reduce", "2.19.6", ["node-1", "node-2"], 16)
    assert [row.size for row in run.rows] == [8, 1024, 1 << 20, 1 << 26, 1 << 30]
    assert run.rows[-1].out_of_place.time == 5000
    assert (run.rows[-1].out_of_place.wrong, run.out_of_bounds, run.average) == (0, 0, 100.5)
    assert run.peak == 402.65


def test_columns_are_found_by_their_heading() -> None:
    (old,) = runs((DATA / "old.log").read_text())
    assert (old.collective, old.ranks, old.peak) == ("", 2, 11)
    assert (old.rows[1].redop, old.rows[1].in_place.time, old.rows[1].in_place.wrong) == ("sum", 90000, None)
    heading = "# size count type redop root time algbw busbw #wrong i_min i_max i_p99 i_cv% "
    heading += "cputime algbw busbw #wrong i_min i_max i_p99 i_cv%"
    (new,) = runs(f"{heading}\n 8 2 half sum -1 1.5 2 3 N/A 9 9 9 9 2.5 3 4 1 9 9 9 9\n")
    assert (new.rows[0].out_of_place.wrong, new.rows[0].in_place.wrong, new.peak) == (None, 1, 4)


@pytest.mark.parametrize(
    "prefix",
    [
        "[1,0]<stdout>:",
        "[1,0]<stdout>: ",
        " 0: ",
        "12: ",
        "2026-12-01T10:00:00.123456789Z ",
        "2026-12-01T10:00:00.123456789Z stdout F ",
        "2026-12-01 10:00:00,123 INFO ",
        "1764583200000 ",
        "1764583200000\t",
        "[pod/nccl-launcher-abc/launcher] ",
        "worker-1  | ",
        "node-1: ",
        "[rank0]: ",
        "\x1b[36m(main pid=17)\x1b[0m ",
    ],
)
def test_what_launchers_and_collectors_put_before_a_line_does_not_matter(prefix: str) -> None:
    (run,) = runs("".join(f"{prefix}{line}\n" for line in LOG.splitlines()))
    (plain,) = runs(LOG)
    assert (run.rows, run.hosts, run.average, run.collective) == (
        plain.rows, plain.hosts, plain.average, plain.collective,
    )  # fmt: skip


def test_a_row_with_a_message_in_it_is_put_together() -> None:
    message = "node-1:1:9 [0] NCCL INFO Connected all trees\n"
    half = ROW.index("   100.00")
    for cut in (ROW[:half] + message + ROW[half:], f"{ROW[:half]}\n{message}{ROW[half:]}", ROW.rstrip() + message):
        (run,) = runs(LOG.replace(ROW, cut))
        assert [row.size for row in run.rows] == [8, 1024, 1 << 20, 1 << 26, 1 << 30]


def judged(tmp_path: Path, *texts: str, options: tuple[str, ...] = ()) -> tuple[int, str]:
    """The exit status and what is said of logs with these texts."""
    files = []
    for number, text in enumerate(texts, 1):
        files.append(tmp_path / f"{number}.log")
        files[-1].write_text(text)
    done = ingot("nccl", "report", *files, *options)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # The second of two runs decides.
        (LOG + LOG.split("    67108864")[0] + "node-2: Test NCCL failure common.cu:958\n", "Test NCCL failure"),
        (LOG + LOG.replace("402.65       0\n", "402.65       3\n"), "wrong results at 1 GiB"),
        (LOG.replace("values : 0 OK", "values : 3 FAILED") + LOG, "wrong results"),
        # It ends in the middle of a row, or before the first.
        (LOG[: LOG.index(" 1073741824     268435456") + 60], "did not finish; its last size is 64 MiB"),
        (
            LOG[: LOG.index("           8  ")] + "srun: error: node-7: task 9: Bus error\n",
            "it has no result; line 26: srun",
        ),
    ],
)
def test_the_worst_run_of_a_log_decides(tmp_path: Path, text: str, said: str) -> None:
    status, stderr = judged(tmp_path, text)
    assert status == 1
    assert said in stderr


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("pod-0:1:9 [0] NCCL INFO Using network Socket", "NCCL used TCP"),
        ("pod-0:1:9 [0] NCCL INFO Channel 00/0 : 0[0] -> 8[0] [send] via NET/Socket/0", "NCCL used TCP"),
        ("pod-0:1:9 [0] NCCL INFO Initialized NET plugin Socket", "NCCL used TCP"),
        ("pod-0:1:9 [0] NCCL INFO Using network IB", "NCCL used its transport for InfiniBand"),
        ("x:211 NCCL WARN NET/OFI aws-ofi-nccl initialization failed", "the plugin aws-ofi-nccl did not start"),
        ("pod-0:1:9 [0] NCCL WARN NET/OFI No eligible providers were found", "the plugin aws-ofi-nccl did not start"),
        ("pod-0:1:9 [0] NCCL INFO NET/Plugin: Could not find: libnccl-net.so", "NCCL found no network plugin"),
        (
            "NCCL INFO NET/OFI Selected Provider is tcp;ofi_rxm (found 2 nics)",
            "the plugin took another provider than efa",
        ),
    ],
)
def test_what_the_log_says_about_the_network_is_a_fault(tmp_path: Path, line: str, fault: str) -> None:
    text = LOG.replace("node-1:1000:1000 [0] NCCL INFO a line that has nothing to do with it", line)
    for log in (text, text.replace("all_reduce_perf", "all_gather_perf"), f"{line}\n{LOG}"):
        status, stderr = judged(tmp_path, log)
        assert (status, f"{fault}: line " in stderr) == (1, True)
    # On one node nothing is sent by the network.
    assert judged(tmp_path, text.replace("node-2", "node-1"))[0] == 0


def test_efa_in_the_log_is_no_fault(tmp_path: Path) -> None:
    lines = ["NCCL INFO NET/OFI Selected provider is efa, fabric is efa-direct", "NCCL INFO Using network Libfabric"]
    assert judged(tmp_path, "\n".join([*lines, LOG]))[0] == 0


def test_a_log_without_a_run_hides_no_other(tmp_path: Path) -> None:
    status, stderr = judged(tmp_path, LOG, "srun: error: node-7: task 9: Bus error\n", LOG)
    assert (status, re.findall(r"\d\.log: no results", stderr)) == (1, ["2.log: no results"])
    done = ingot("nccl", "report", *(tmp_path / f"{number}.log" for number in (1, 2, 3)), "--csv")
    assert done.stdout.count("\n") == 11


@pytest.mark.parametrize(
    "text",
    [
        "\0\0\x01",
        "# size count type\n1 2 float\n",
        "#  Rank 0 on",
        f"# size count type time time\n{'9' * 5000} 2 float 1 1\n",
    ],
)
def test_a_log_of_any_shape_is_read_or_refused_in_one_line(tmp_path: Path, text: str) -> None:
    status, stderr = judged(tmp_path, text)
    assert status == 1
    assert "Traceback" not in stderr
