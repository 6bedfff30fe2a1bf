"""`ingot nccl` renders runs of nccl-tests, reads what they print, and finds NCCL's messages in a profile."""

import csv
import io
import json
import sqlite3
import struct
from pathlib import Path
from typing import Any

import pytest

from ingot.export.nccl import floor_of, read
from tests.commandline import ingot

DATA = Path(__file__).parents[1] / "data"
LOG = DATA / "nccl" / "all_reduce.log"
GOLDEN = DATA / "launch" / "nccl.sbatch"


def test_what_is_rendered_is_what_was_reviewed() -> None:
    words = ["all_reduce", "--instance-type", "p5.48xlarge", "--container", "a.example/t:1", "--env", "NCCL_DEBUG=INFO"]
    done = ingot("nccl", "run", *words)
    assert (done.returncode, done.stdout) == (0, GOLDEN.read_text())
    assert "info: NCCL_DEBUG" in done.stderr


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("run all_reduc --instance-type p5.48xlarge", 2, "did you mean 'all_reduce'?"),
        ("run all_reduce --instance-type trn1.32xlarge", 2, "NCCL needs NVIDIA GPUs; trn1.32xlarge has neuron"),
        ("run all_reduce --instance-type c5n.large", 2, "has no accelerator"),
        ("run all_reduce --instance-type p5.48xlarge --nodes 0", 2, "0 is not a number of nodes"),
        ("run all_reduce --instance-type p5.47xlarge", 2, "p5.48xlarge"),
        ("run all_reduce --instance-type p5.48xlarge --largest 16GB", 2, "not a size: '16GB'"),
        ("run all_reduce --instance-type p5.48xlarge --env RDMAV_FORK_SAFE=1", 1, "--env [rdmav]"),
        ("report /nowhere.log", 1, "there is no such file"),
        (f"report {LOG} --floor inf", 2, "not a bandwidth"),
        (f"report {LOG} --json --csv", 2, "exclude each other"),
        (f"report {LOG} --instance-type p5.47xlarge", 2, "p5.48xlarge"),
        (f"report {DATA / 'README.md'}", 1, "no results of nccl-tests in this file"),
        ("messages /nowhere.sqlite", 1, "no such file"),
        (f"messages {LOG}", 1, "not a SQLite export of Nsight Systems"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_printed(words: str, status: int, said: str) -> None:
    done = ingot("nccl", *words.split())
    assert (done.returncode, done.stdout) == (status, "")
    assert said in " ".join(done.stderr.split())


def altered(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = LOG.read_text()
    for was, becomes in changes:
        assert was in text
        text = text.replace(was, becomes)
    (tmp_path / "altered.log").write_text(text)
    return tmp_path / "altered.log"


@pytest.mark.parametrize(
    ("changes", "options", "faults"),
    [
        ([], [], []),
        ([], ["--instance-type", "p5.48xlarge"], []),
        ([], ["--floor", "403"], ["the best bus bandwidth is 402.65 GB/s, below 403"]),
        ([], ["--instance-type", "p6-b200.48xlarge"], ["the best bus bandwidth is 402.65 GB/s, below 570"]),
        ([("402.65       0\n", "402.65       7\n")], [], ["wrong results at 1 GiB"]),
        ([("values : 0 OK", "values : 3 FAILED")], [], ["wrong results at unnamed sizes"]),
        ([("# Avg bus", "# nothing")], [], ["the run did not finish; its last size is 1 GiB"]),
    ],
)
def test_a_run_is_judged(tmp_path: Path, changes: list[tuple[str, str]], options: list[str], faults: list[str]) -> None:
    log = altered(tmp_path, *changes)
    done = ingot("nccl", "report", log, "--json", *options)
    assert done.returncode == (1 if faults else 0)
    assert json.loads(done.stdout)[str(log)]["faults"] == faults


@pytest.mark.parametrize(
    ("instance_type", "changes", "floor", "remark"),
    [
        ("p5.48xlarge", [], 250, "source pcluster"),
        ("p4d.24xlarge", [], 26, "source pcluster"),
        # All that is known of it lies above what its network can do.
        ("p5e.48xlarge", [], 0, "p5e.48xlarge has no known floor"),
        ("g5.48xlarge", [], 0, "g5.48xlarge has no known floor"),
        ("p5.48xlarge", [("on     node-2", "on     node-1")], 0, "on 2 nodes has floors"),
        ("p5.48xlarge", [("all_reduce_perf", "all_gather_perf")], 0, "only all_reduce"),
    ],
)
def test_the_floor_is_the_highest_that_the_network_can_reach(
    tmp_path: Path, instance_type: str, changes: list[tuple[str, str]], floor: float, remark: str
) -> None:
    run = read(altered(tmp_path, *changes).read_text(), "log")[0]
    found = floor_of(instance_type, run)
    assert found[0] == floor
    assert remark in found[1]


def test_csv_has_a_line_a_size() -> None:
    done = ingot("nccl", "report", LOG, DATA / "nccl" / "old.log", "--csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["size"], row["ranks"]) for row in rows][-2:] == [("8", "2"), ("1073741824", "2")]
    assert len(rows) == 7
    assert (rows[4]["busbw_gbs"], rows[4]["in_place_wrong"], rows[6]["in_place_wrong"]) == ("402.65", "0.0", "")


def test_the_plot_shows_where_the_floor_is() -> None:
    lines = ingot("nccl", "report", LOG, "--floor", "200").stdout.splitlines()
    assert lines[0] == f"{LOG}: all_reduce, 16 ranks on 2 nodes, best 402.65 GB/s"
    assert lines[1].split() == ["8", "B", "0.00", "|"]
    assert lines[5].split() == ["1", "GiB", "402.65", "█" * 50]
    assert lines[4].split()[2] == "251.66"
    assert lines[1].index("|") == lines[2].index("|") == len("   1 GiB    402.65  ") + 24


# The parts that are read of schema 3.28.1, as Nsight Systems documents it.
EVENTS = """
CREATE TABLE StringIds (id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE NVTX_EVENTS (eventId INTEGER, start INTEGER NOT NULL, end INTEGER, eventType INTEGER NOT NULL, text TEXT,
    textId INTEGER, domainId INTEGER, binaryData BLOB);
CREATE TABLE NVTX_PAYLOAD_SCHEMA_ENTRIES (domainId INTEGER NOT NULL, schemaId INTEGER NOT NULL, idx INTEGER NOT NULL,
    flags INTEGER, type INTEGER, name TEXT, description TEXT, arrayOrUnionDetail INTEGER, offset INTEGER);
INSERT INTO StringIds VALUES (7, 'ncclAllReduce');
INSERT INTO NVTX_PAYLOAD_SCHEMA_ENTRIES VALUES (1, 100, 0, 0, 18, 'NCCL communicator ID', NULL, NULL, NULL);
INSERT INTO NVTX_PAYLOAD_SCHEMA_ENTRIES VALUES (1, 100, 1, 0, 22, 'Message size [bytes]', NULL, NULL, 8);
INSERT INTO NVTX_PAYLOAD_SCHEMA_ENTRIES VALUES (1, 101, 0, 0, 22, 'Message size [bytes]', NULL, NULL, NULL);
INSERT INTO NVTX_PAYLOAD_SCHEMA_ENTRIES VALUES (1, 102, 0, 0, 18, 'NCCL communicator ID', NULL, NULL, NULL);
"""
TABLES = """
CREATE TABLE NVTX_EVENTS_PAYLOAD_SCHEMAS (eventId INTEGER NOT NULL, globalPid INTEGER NOT NULL,
    domainId INTEGER NOT NULL, payloadSchemaID INTEGER NOT NULL);
CREATE TABLE NVTX_EXPORT_TRANSLATION (originalName TEXT NOT NULL, sanitizedName TEXT NOT NULL);
CREATE TABLE DYNAMIC_NVTXPAYLOAD_DATATYPE_55_1_100 (eventId INTEGER, NCCL_communicator INTEGER, Message_size INTEGER);
CREATE TABLE DYNAMIC_NVTXPAYLOAD_DATATYPE_55_1_102 (eventId INTEGER, NCCL_communicator_ID INTEGER);
INSERT INTO NVTX_EXPORT_TRANSLATION VALUES ('Message size [bytes]', 'Message_size');
"""
CALLS = [("ncclAllReduce", 100, 1 << 20), ("ncclAllReduce", 100, 3 << 20), ("ncclAllReduce", 100, 1 << 20)]
CALLS += [("ncclSend", 101, 4096), ("ncclGroupStart", 102, 0), ("an own range", 0, 0)]


def export(path: Path, *, blobs: bool = False, tables: bool = False) -> Path:
    """An export of Nsight Systems, with what its options add."""
    database = sqlite3.connect(path)
    database.executescript(EVENTS + (TABLES if tables else ""))
    for number, (name, schema, size) in enumerate(CALLS):
        payload = {100: struct.pack("<QQ", 99, size), 101: struct.pack("<Q", size), 102: struct.pack("<Q", 99)}.get(
            schema
        )
        blob = struct.pack("<IIIIQQ", 1, 0, schema, 0, len(payload), 32 + len(payload)) + payload if payload else None
        text, text_id = (None, 7) if name == "ncclAllReduce" else (name, None)
        row = (number, number, number + 1, 59, text, text_id, 1, blob if blobs else None)
        database.execute("INSERT INTO NVTX_EVENTS VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        if tables and schema in (100, 102):
            table, values = (
                f"DYNAMIC_NVTXPAYLOAD_DATATYPE_55_1_{schema}",
                [number, 99, size][: 3 if schema == 100 else 2],
            )
            database.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)
            database.execute("INSERT INTO NVTX_EVENTS_PAYLOAD_SCHEMAS VALUES (?, 55, 1, ?)", (number, schema))
    database.commit()
    database.close()
    return path


ALL_REDUCE: dict[str, Any] = {
    **{"operation": "ncclAllReduce", "calls": 3, "smallest": 1 << 20, "median": 1 << 20, "largest": 3 << 20},
    **{"total": 5 << 20, "histogram": {"1048576": 2, "2097152": 1}},
}
SEND = {
    **{"operation": "ncclSend", "calls": 1, "smallest": 4096, "median": 4096, "largest": 4096, "total": 4096},
    "histogram": {"4096": 1},
}


@pytest.mark.parametrize(("how", "found"), [("blobs", [ALL_REDUCE, SEND]), ("tables", [ALL_REDUCE])])
def test_sizes_of_messages_are_found_however_they_were_exported(tmp_path: Path, how: str, found: list[Any]) -> None:
    path = export(tmp_path / "a b.sqlite", **{how: True})
    done = ingot("nccl", "messages", path, "--json")
    assert json.loads(done.stdout) == {str(path): found}


def test_people_get_a_line_an_operation_and_bars(tmp_path: Path) -> None:
    lines = ingot("nccl", "messages", export(tmp_path / "a.sqlite", blobs=True)).stdout.splitlines()
    assert " ".join(lines[1].split()) == "ncclAllReduce 3 calls 1 MiB to 3 MiB, median 1 MiB, 5 MiB in total"
    assert [line.split()[-1] for line in lines[2:4]] == ["█" * 40, "█" * 20]


def test_an_export_without_payloads_is_refused_with_the_way_to_make_one(tmp_path: Path) -> None:
    done = ingot("nccl", "messages", export(tmp_path / "a.sqlite"))
    assert done.returncode == 1
    assert "no NCCL message sizes in this profile" in done.stderr
    assert "--include-blobs=true" in done.stderr


def test_a_profile_without_ranges_is_refused(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "a.sqlite").execute("CREATE TABLE StringIds (id INTEGER, value TEXT)").connection.close()
    done = ingot("nccl", "messages", tmp_path / "a.sqlite")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no NVTX events in this profile" in done.stderr
