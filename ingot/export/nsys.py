"""Reads the sizes of NCCL messages from a SQLite export of Nsight Systems.

NCCL marks each call with an NVTX range whose payload has the size: src/include/nvtx_payload_schemas.h of
https://github.com/NVIDIA/nccl. The tables are those of schema 3.28.1, release 2026.4:
https://docs.nvidia.com/nsight-systems/UserGuide/index.html
"""

import sqlite3
import struct
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import quote

from ingot.errors import IngotError

FIELD = "Message size [bytes]"
EXPORT = "nsys export --type=sqlite --include-blobs=true REPORT.nsys-rep"
# The header before the payload in `binaryData`: domain, -, schema, -, size of the payload, total size; seen in exports
# of Nsight Systems 2026 by https://github.com/GindaChen/nsys-ai (pull request 98).
HEADER = struct.Struct("<IIIIQQ")
# A range's text is in its row, or in a table of strings.
TEXT = "COALESCE(e.text, s.value, 'unnamed')"
EVENTS = "NVTX_EVENTS AS e LEFT JOIN StringIds AS s ON s.id = e.textId"


@dataclass(frozen=True)
class Messages:
    """The calls of one operation: sizes in bytes, and number of calls per power of two."""

    operation: str
    calls: int
    smallest: int
    median: int
    largest: int
    total: int
    histogram: dict[int, int]


def messages(path: Path) -> list[Messages]:
    """The messages of each operation, most bytes first; IngotError if the file has none."""
    if not path.is_file():
        raise IngotError("no such file", place=str(path), hint=EXPORT)
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "NVTX_EVENTS" not in tables:
                raise IngotError(
                    "no NVTX events in this profile", place=str(path), hint="profile with --trace=cuda,nvtx"
                )
            sized = list(_of_tables(database, tables) or _of_blobs(database, tables))
    except sqlite3.Error as error:
        raise IngotError(f"not a SQLite export of Nsight Systems: {error}", place=str(path), hint=EXPORT) from None
    if not sized:
        raise IngotError("no NCCL message sizes in this profile", place=str(path), hint=EXPORT)
    sizes = defaultdict(list)
    for operation, size in sized:
        sizes[operation].append(size)
    return sorted((_summary(*item) for item in sizes.items()), key=lambda entry: (-entry.total, entry.operation))


def _summary(operation: str, sizes: list[int]) -> Messages:
    histogram: dict[int, int] = defaultdict(int)
    for size in sizes:
        histogram[1 << max(size.bit_length() - 1, 0) if size else 0] += 1
    return Messages(
        operation, len(sizes), min(sizes), int(median(sizes)), max(sizes), sum(sizes), dict(sorted(histogram.items()))
    )


def _of_tables(database: sqlite3.Connection, tables: set[str]) -> list[tuple[str, int]]:
    """(operation, size) of an export with `--dynamic-tables=all`, which has a table per payload schema."""
    if not {"NVTX_EVENTS_PAYLOAD_SCHEMAS", "NVTX_EXPORT_TRANSLATION"} <= tables:
        return []
    names = database.execute("SELECT sanitizedName FROM NVTX_EXPORT_TRANSLATION WHERE originalName = ?", (FIELD,))
    columns = {name for (name,) in names}
    sized: list[tuple[str, int]] = []
    links = "SELECT DISTINCT globalPid, domainId, payloadSchemaID FROM NVTX_EVENTS_PAYLOAD_SCHEMAS"
    for ids in database.execute(links).fetchall():
        table = "_".join(map(str, ("DYNAMIC_NVTXPAYLOAD_DATATYPE", *ids)))
        present = {row[1] for row in database.execute(f'PRAGMA table_info("{table}")')}
        for column in sorted(present & columns):
            joined = f'{EVENTS} JOIN "{table}" AS d ON d.eventId = e.eventId'
            sized += database.execute(f'SELECT {TEXT}, d."{column}" FROM {joined}')
    return sized


def _of_blobs(database: sqlite3.Connection, tables: set[str]) -> Iterator[tuple[str, int]]:
    """(operation, size) of an export with `--include-blobs=true`, by the offsets in the schemas."""
    columns = {row[1] for row in database.execute("PRAGMA table_info(NVTX_EVENTS)")}
    if "NVTX_PAYLOAD_SCHEMA_ENTRIES" not in tables or "binaryData" not in columns:
        return
    entries = "SELECT domainId, schemaId, offset FROM NVTX_PAYLOAD_SCHEMA_ENTRIES WHERE name = ?"
    # The first field has no offset.
    offsets = {(domain, schema): at or 0 for domain, schema, at in database.execute(entries, (FIELD,))}
    for text, blob in database.execute(f"SELECT {TEXT}, e.binaryData FROM {EVENTS}"):
        data = bytes.fromhex(blob) if isinstance(blob, str) else blob or b""
        if len(data) < HEADER.size:
            continue
        domain, _, schema, _, _, _ = HEADER.unpack_from(data)
        at = offsets.get((domain, schema))
        if at is not None and len(data) >= HEADER.size + at + 8:
            yield text, struct.unpack_from("<Q", data, HEADER.size + at)[0]
