"""Reading the audit logs: filtered, merged over all workers, followed, found by call.

Read only (`mode=ro`), in short transactions: a reader never holds a writer up
and never runs SQLite's checkpoints. What it reads it does not check; that is
the work of `verify`.
"""

import heapq
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import cast

import orjson

from agent_gateway.audit.merkle import HASH_BYTES
from agent_gateway.audit.verify.files import open_log

PAGE_OF_BATCHES = 16
MAX_SCANNED = 20_000  # records that one page of an answer may read
MAX_NEWS = 1_000  # records of one log that are read at a time


@dataclass(frozen=True, slots=True)
class Entry:
    """One record and where it stands."""

    log: str  # the worker's slot
    index: int
    line: bytes  # the record exactly as it is in the tree
    record: Mapping[str, object] = field(compare=False)

    @property
    def at_ms(self) -> int:
        """When, in unix milliseconds; 0 for a record that does not say."""
        at_ms = self.record.get("at_ms")
        return at_ms if isinstance(at_ms, int) else 0


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which records are wanted; what is None does not matter.

    effect  "permit" or "forbid"; only decisions have one
    code    of a forbid, an outcome or a refusal
    after_ms, before_ms  unix milliseconds: at or after, strictly before
    """

    tenant: str | None = None
    agent: str | None = None
    capability: str | None = None
    kind: str | None = None
    effect: str | None = None
    code: str | None = None
    call: str | None = None
    after_ms: int | None = None
    before_ms: int | None = None

    def matches(self, record: Mapping[str, object]) -> bool:
        """Say whether `record` is wanted."""
        if self.after_ms is not None or self.before_ms is not None:
            at_ms = record.get("at_ms")
            if not isinstance(at_ms, int) or not self._is_in_time(at_ms):
                return False
        principal = _member(record, "principal")
        found = {
            "tenant": record.get("tenant", principal.get("tenant")),
            "agent": record.get("agent", principal.get("id")),
            "capability": _member(record, "capability").get("name", record.get("capability")),
            "kind": record.get("kind"),
            "effect": record.get("effect"),
            "code": record.get("code"),
            "call": record.get("call"),
        }
        return all(wanted is None or wanted == found[name] for name, wanted in self._wanted())

    def _is_in_time(self, at_ms: int) -> bool:
        is_late_enough = self.after_ms is None or at_ms >= self.after_ms
        return is_late_enough and (self.before_ms is None or at_ms < self.before_ms)

    def _wanted(self) -> tuple[tuple[str, str | None], ...]:
        return (
            ("tenant", self.tenant),
            ("agent", self.agent),
            ("capability", self.capability),
            ("kind", self.kind),
            ("effect", self.effect),
            ("code", self.code),
            ("call", self.call),
        )


EVERYTHING = Criteria()


@dataclass(frozen=True, slots=True)
class CallHistory:
    """All that is recorded of one call."""

    decision: Entry
    outcome: Entry | None  # None while it runs, or when its worker died


def log_paths(directory: Path) -> list[Path]:
    """Return the logs in `directory`, one per worker slot, in order of name."""
    return sorted(directory.glob("*.db"))


def records(directory: Path, criteria: Criteria = EVERYTHING, *, reverse: bool = False) -> Iterator[Entry]:
    """Yield the wanted records of every worker, merged by time (newest first when `reverse`).

    Within one worker the order is that of its log. Raises `sqlite3.Error` for a file that is no log.
    """
    streams = [entries(path, reverse=reverse) for path in log_paths(directory)]
    sign = -1 if reverse else 1
    merged = heapq.merge(*streams, key=lambda entry: sign * entry.at_ms)
    return (entry for entry in merged if criteria.matches(entry.record))


def entries(path: Path, start: int = 0, *, reverse: bool = False, before: int = sys.maxsize) -> Iterator[Entry]:
    """Yield the records of one log from index `start` on, or from the last back to `start`.

    before  going back, begin with the record under this index

    A line that is no JSON object comes with an empty record: showing it is better than hiding it.
    """
    with closing(open_log(path)) as connection:
        row = connection.execute("SELECT max(first_index) FROM batch WHERE first_index <= ?", (start,)).fetchone()
        at = before if reverse else row[0] or 0
        for first, blob in _pages(connection, _BACKWARD if reverse else _FORWARD, at):
            lines = list(enumerate(blob.split(b"\n"), first))
            if reverse and lines[-1][0] < start:
                return
            for index, line in reversed(lines) if reverse else lines:
                if start <= index < before:
                    yield Entry(path.stem, index, line, _parse(line))


def records_after(path: Path, index: int) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Yield (index, record) of one log for every index greater than `index`; -1 for all of it.

    Made for replaying charges into a ledger. Yields nothing when the log does not exist.
    """
    if path.exists():
        for entry in entries(path, index + 1):
            yield entry.index, entry.record


def find(directory: Path, call: str) -> CallHistory | None:
    """Return what is recorded of the call with id `call`, or None when nothing is."""
    decision: Entry | None = None
    outcome: Entry | None = None
    for path in log_paths(directory):
        for entry in _naming(path, call):
            if entry.record.get("kind") == "decision" and decision is None:
                decision = entry
            elif entry.record.get("kind") == "outcome" and outcome is None:
                outcome = entry
    return None if decision is None else CallHistory(decision, outcome)


@dataclass(frozen=True, slots=True)
class Page:
    """Some records, newest first, and where to go on."""

    entries: tuple[Entry, ...]
    before: Mapping[str, int] | None  # for the next page; None: there is no older record


def page(directory: Path, criteria: Criteria, limit: int, before: Mapping[str, int] | None = None) -> Page:
    """Return at most `limit` wanted records, newest first, having read at most `MAX_SCANNED`.

    before  `Page.before` of the page that came before: per log, the index to begin under

    A page with fewer records and a `before` is where the reading paused, not the end.
    """
    ends = {path.stem: size(path) for path in log_paths(directory)}
    ends.update({log: index for log, index in (before or {}).items() if log in ends and index < ends[log]})
    streams = [entries(directory / f"{log}.db", reverse=True, before=end) for log, end in ends.items()]
    found: list[Entry] = []
    for scanned, entry in enumerate(heapq.merge(*streams, key=lambda entry: -entry.at_ms), 1):
        ends[entry.log] = entry.index
        if criteria.matches(entry.record):
            found.append(entry)
        if len(found) >= limit or scanned >= MAX_SCANNED:
            break
    return Page(tuple(found), ends if any(ends.values()) else None)


class Tail:
    """The records of a directory as they become durable.

    position  per log, the index that is read next; give it to another `Tail` to go on there
    """

    def __init__(
        self, directory: Path, criteria: Criteria = EVERYTHING, position: Mapping[str, int] | None = None
    ) -> None:
        self._directory = directory
        self._criteria = criteria
        ends = {path.stem: size(path) for path in log_paths(directory)} if position is None else position
        self.position: dict[str, int] = dict(ends)

    def news(self, limit: int = MAX_NEWS) -> list[Entry]:
        """Return the wanted records among the next `limit` of each log, merged by time; often none.

        Within one log the order is that of writing, so whoever stops half way knows what is left.
        """
        found: list[list[Entry]] = []
        for path in log_paths(self._directory):
            fresh = list(islice(entries(path, self.position.get(path.stem, 0)), limit))
            if fresh:
                self.position[path.stem] = fresh[-1].index + 1
                found.append([entry for entry in fresh if self._criteria.matches(entry.record)])
        return list(heapq.merge(*found, key=lambda entry: entry.at_ms))


def follow(
    directory: Path, wait: Callable[[], bool], criteria: Criteria = EVERYTHING, last: int = 10
) -> Iterator[Entry]:
    """Yield the `last` wanted records, then new ones as they become durable.

    wait  called when there is no news: pauses a while, and returns False to end
    """
    tail = Tail(directory, criteria)
    ends = dict(tail.position)
    recent = list(islice(records(directory, criteria, reverse=True), last))
    yield from (entry for entry in reversed(recent) if entry.index < ends.get(entry.log, 0))
    while wait():
        while news := tail.news():
            yield from news


def size(path: Path) -> int:
    """Return how many durable records the log at `path` holds."""
    with closing(open_log(path)) as connection:
        row = connection.execute("SELECT first_index + count FROM batch ORDER BY first_index DESC LIMIT 1").fetchone()
    return row[0] if row else 0


def checkpoints(path: Path, min_size: int = 0) -> list[tuple[int, str]]:
    """Return (size, note) of each checkpoint of one log over at least `min_size` records, oldest first."""
    with closing(open_log(path)) as connection:
        return connection.execute(
            "SELECT size, CAST(note AS TEXT) FROM checkpoint WHERE size >= ? ORDER BY size", (min_size,)
        ).fetchall()


def leaves(path: Path, count: int) -> list[bytes]:
    """Return the first `count` leaf hashes of one log, as stored; fewer when it holds fewer."""
    hashes: list[bytes] = []
    with closing(open_log(path)) as connection:
        for _, blob in _pages(connection, _LEAVES, 0):
            hashes += [blob[at : at + HASH_BYTES] for at in range(0, len(blob), HASH_BYTES)]
            if len(hashes) >= count:
                break
    return hashes[:count]


# Each takes ?1 a first_index and ?2 how many rows; `leaves` lies before `records` in a row, so reading
# it does not walk through the records.
_FORWARD = "SELECT first_index, CAST(records AS BLOB) FROM batch WHERE first_index >= ?1 ORDER BY first_index LIMIT ?2"
_BACKWARD = (
    "SELECT first_index, CAST(records AS BLOB) FROM batch WHERE first_index < ?1 ORDER BY first_index DESC LIMIT ?2"
)
_LEAVES = "SELECT first_index, CAST(leaves AS BLOB) FROM batch WHERE first_index >= ?1 ORDER BY first_index LIMIT ?2"
_NAMING = (
    "SELECT first_index, CAST(records AS BLOB) FROM batch"
    " WHERE first_index >= ?1 AND instr(CAST(records AS BLOB), ?3) ORDER BY first_index LIMIT ?2"
)


def _pages(connection: sqlite3.Connection, query: str, at: int, *more: object) -> Iterator[tuple[int, bytes]]:
    """Yield the rows of `query` a page at a time, so that no read transaction outlives a page."""
    step = 0 if query is _BACKWARD else 1
    while rows := cast(list[tuple[int, bytes]], connection.execute(query, (at, PAGE_OF_BATCHES, *more)).fetchall()):
        yield from rows
        at = rows[-1][0] + step


def _naming(path: Path, call: str) -> Iterator[Entry]:
    """Yield the records of `call` in one log; the search for the batches that name it runs inside SQLite."""
    needle = orjson.dumps(call)
    with closing(open_log(path)) as connection:
        for first, blob in _pages(connection, _NAMING, 0, needle):
            for index, line in enumerate(blob.split(b"\n"), first):
                if needle in line:
                    entry = Entry(path.stem, index, line, _parse(line))
                    if entry.record.get("call") == call:
                        yield entry


def _parse(line: bytes) -> Mapping[str, object]:
    try:
        value: object = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return cast(dict[str, object], value) if isinstance(value, dict) else {}


def _member(record: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = record.get(name)
    return cast(Mapping[str, object], value) if isinstance(value, Mapping) else {}
