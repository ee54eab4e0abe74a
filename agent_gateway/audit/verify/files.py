"""Log files and exported bundles, read as they are found; nothing here judges."""

import json
import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import quote

_PAGE = 64  # batches per read


class Batch(NamedTuple):
    """One commit as it was found."""

    first: int
    claimed: int  # its `count` column
    records: bytes  # lines
    leaves: bytes  # 32 bytes a line


class Note(NamedTuple):
    """A checkpoint as it was found; `size` and `frontier` are None where only the note is kept."""

    size: int | None
    frontier: bytes | None
    text: str


def open_log(path: Path) -> sqlite3.Connection:
    """Return a read-only connection to a log, also when it lies where nothing can be written."""
    base = f"file:{quote(str(path.absolute()))}?mode=ro"
    connection = sqlite3.connect(base, uri=True, isolation_level=None)
    try:
        connection.execute("SELECT 1 FROM batch LIMIT 1")
    except sqlite3.Error:
        connection.close()
        if path.with_name(f"{path.name}-wal").exists():
            raise
        connection = sqlite3.connect(f"{base}&immutable=1", uri=True, isolation_level=None)
    return connection


def batches_of(connection: sqlite3.Connection) -> Iterator[Batch]:
    query = (
        "SELECT first_index, CAST(count AS INTEGER), CAST(records AS BLOB), CAST(leaves AS BLOB) FROM batch"
        " WHERE first_index > ? ORDER BY first_index LIMIT ?"
    )
    at = -sys.maxsize
    while rows := connection.execute(query, (at, _PAGE)).fetchall():
        yield from (Batch(*row) for row in rows)
        at = rows[-1][0]


def log_of(line: bytes) -> str:
    match = re.match(rb'\{"log":"([\w.-]{1,128})",', line)
    if match is None:
        raise ValueError("this is no bundle: a line does not begin with its log")
    return match[1].decode()


def split_bundle(lines: Iterator[bytes]) -> tuple[list[Note], Iterator[Batch]]:
    """Split what a bundle says of one log: its checkpoints, which come first, and its records, read later."""
    notes: list[Note] = []
    for line in lines:
        if not re.match(rb'\{"log":"[^"]+","checkpoint":"', line):
            return notes, map(_exported, chain([line], lines))
        notes.append(Note(None, None, str(parse(line).get("checkpoint"))))
    return notes, iter(())


def _exported(line: bytes) -> Batch:
    match = re.fullmatch(rb'\{"log":"[^"]+","index":(\d{1,18}),"leaf":"([0-9a-f]{64})","record":(.*)\}\n?', line)
    if match is None:
        raise ValueError("this is no bundle: a line is damaged")
    return Batch(int(match[1]), 1, match[3], bytes.fromhex(match[2].decode()))


def parse(line: bytes) -> Mapping[str, Any]:
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}
