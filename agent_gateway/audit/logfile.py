"""One worker's log on disk: batches of records, and signed heads of their tree.

One row per group commit, because each statement costs the interpreter lock.
A batch holds its records as lines and their leaf hashes beside them, so that
a verifier can name the one record that was altered. A checkpoint row holds
the frontier it signs, so that opening replays only what came after it.

INVARIANT: one connection writes a file and also runs SQLite's checkpoints.
SQLite 3.7.0 to 3.51.2 can corrupt a WAL that two connections write or
checkpoint at once; readers open with `mode=ro` and do neither.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from agent_gateway.audit.checkpoint import BadNote, Signer, open_note
from agent_gateway.audit.merkle import HASH_BYTES, Frontier, leaf_hash

VERSION = 1
BUSY_TIMEOUT_S = 5.0
MAX_WAL_BYTES = 64 * 1024 * 1024
PAGE_OF_BATCHES = 64

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE batch(
    first_index INTEGER PRIMARY KEY,
    count INTEGER NOT NULL,
    written_at INTEGER NOT NULL,
    leaves BLOB NOT NULL,
    records BLOB NOT NULL
);
CREATE TABLE checkpoint(
    size INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    frontier BLOB NOT NULL,
    note TEXT NOT NULL
);
PRAGMA user_version = {VERSION};
COMMIT;
"""

PAGE_BYTES = 8192  # of a new file: a batch is a few large pages; twice the default costs a sixth less to write

_PRAGMAS = (
    f"page_size = {PAGE_BYTES}",
    "journal_mode = WAL",
    "synchronous = FULL",
    "fullfsync = ON",
    "checkpoint_fullfsync = ON",
    "mmap_size = 0",
    f"journal_size_limit = {MAX_WAL_BYTES}",
)

Connect = Callable[[Path], sqlite3.Connection]


class LogDamaged(Exception):
    """The file is not what this log left behind; the message says how."""


def connect_writer(path: Path) -> sqlite3.Connection:
    """Return the connection that writes the log at `path`, which it makes when missing (mode 0600).

    A commit through it survives a power cut: WAL with `synchronous=FULL`, no memory map.
    Raises `OSError` or `sqlite3.Error`.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


class LogFile:
    """A log opened for writing, by its only writer, in one thread.

    size      records in the file
    anchored  records that a checkpoint covers
    note      the last checkpoint, or empty
    """

    def __init__(self, connection: sqlite3.Connection, signer: Signer) -> None:
        self._connection = connection
        self._signer = signer
        self._frontier = Frontier()
        self._leaves: list[bytes] = []  # committed, not yet part of `_frontier`
        self.size = 0
        self.anchored = 0
        self.note = ""

    @classmethod
    def open(cls, path: Path, signer: Signer, connect: Connect = connect_writer) -> "LogFile":
        """Return the log at `path`, ready to go on where its last commit ended.

        The last checkpoint must be signed by `signer` and cover what the file
        holds, and all that came after it must hash to its leaves. Raises
        `LogDamaged` otherwise, `OSError` or `sqlite3.Error` when it cannot be read.
        """
        connection = connect(path)
        file = cls(connection, signer)
        try:
            file._load()
        except BaseException:
            file.close()
            raise
        return file

    @property
    def frontier(self) -> Frontier:
        """The tree over all `size` records."""
        if self._leaves:
            self._frontier, self._leaves = self._frontier.extend(self._leaves), []
        return self._frontier

    def write(self, lines: Sequence[bytes], at_ms: int) -> None:
        """Append records in one durable commit; raises `sqlite3.Error` and may then hold them or not."""
        leaves = [leaf_hash(line) for line in lines]
        self._connection.execute(
            "INSERT INTO batch(first_index, count, written_at, leaves, records) VALUES (?, ?, ?, ?, ?)",
            (self.size, len(lines), at_ms, b"".join(leaves), b"\n".join(lines)),
        )
        self.size += len(lines)
        self._leaves += leaves

    def checkpoint(self, at_ms: int, successor: Signer | None = None) -> None:
        """Sign the tree as it is and keep the note durably; raises `sqlite3.Error`.

        successor  signs it too: whoever knows one of the two keys can go on with the other
        """
        frontier = self.frontier
        note = self._signer.sign(frontier.size, frontier.root)
        note = note if successor is None else successor.sign_too(note)
        self._connection.execute(
            "INSERT INTO checkpoint(size, at, frontier, note) VALUES (?, ?, ?, ?)",
            (frontier.size, at_ms, b"".join(frontier.nodes), note),
        )
        self.anchored, self.note = frontier.size, note

    def force(self) -> None:
        """Move the whole WAL into the file, so that nothing rests on a sync that once failed.

        Raises `sqlite3.OperationalError` when a reader is in the way.
        """
        is_busy, in_wal, moved = self._connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        if is_busy or in_wal != moved:
            raise sqlite3.OperationalError("a reader keeps the log from being synced")

    def close(self) -> None:
        """Let go of the file; never raises."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def _load(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._connection.executescript(_SCHEMA)
        elif version != VERSION:
            raise LogDamaged(f"the log has layout {version}, this gateway writes layout {VERSION}")
        self._anchor()
        for first, count, leaves, records in self._batches():
            lines = records.split(b"\n")
            hashes = [leaf_hash(line) for line in lines]
            if first != self.size or count != len(lines) or b"".join(hashes) != leaves:
                raise LogDamaged(f"the batch at record {first} does not continue the log of {self.size} records")
            self.size += count
            self._leaves += hashes

    def _anchor(self) -> None:
        """Start from the last checkpoint, if there is one."""
        row = self._connection.execute(
            "SELECT size, CAST(frontier AS BLOB), CAST(note AS TEXT) FROM checkpoint ORDER BY size DESC"
        ).fetchone()
        if row is None:
            return
        size, nodes, note = row
        try:
            head = open_note(note, [self._signer.verifier])
            frontier = Frontier(size, tuple(nodes[at : at + HASH_BYTES] for at in range(0, len(nodes), HASH_BYTES)))
        except (BadNote, ValueError) as error:
            raise LogDamaged(f"the last checkpoint, at {size} records, cannot be trusted: {error}") from error
        if (head.origin, head.size, head.root) != (self._signer.name, size, frontier.root):
            raise LogDamaged(f"the last checkpoint, at {size} records, signs another tree")
        self._check_end(size)
        self._frontier, self.size, self.anchored, self.note = frontier, size, size, note

    def _check_end(self, size: int) -> None:
        """See to it that a batch ends exactly where the last checkpoint does."""
        row = self._connection.execute(
            "SELECT first_index + CAST(count AS INTEGER) FROM batch WHERE first_index < ? ORDER BY first_index DESC",
            (size,),
        ).fetchone()
        end = row[0] if row else 0
        if end != size:
            raise LogDamaged(f"a checkpoint was signed for {size} records, and the batches before it end at {end}")

    def _batches(self) -> Iterator[tuple[int, int, bytes, bytes]]:
        """Yield what came after the last checkpoint, a page at a time."""
        after = self.size - 1
        while True:
            rows: list[tuple[int, int, bytes, bytes]] = self._connection.execute(
                "SELECT first_index, CAST(count AS INTEGER), CAST(leaves AS BLOB), CAST(records AS BLOB)"
                " FROM batch WHERE first_index > ?"
                " ORDER BY first_index LIMIT ?",
                (after, PAGE_OF_BATCHES),
            ).fetchall()
            if not rows:
                return
            yield from rows
            after = rows[-1][0]
