"""Exports: every record of every log, as lines that other systems read.

`bundle` keeps the exact bytes, so `verify` can check it like the logs; `ocsf`
and `cloudevents` are for security and event systems, and prove nothing.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import orjson

from agent_gateway.audit.merkle import leaf_hash
from agent_gateway.audit.ocsf import api_activity
from agent_gateway.audit.reader import EVERYTHING, Criteria, Entry, checkpoints, entries, log_paths, records

Format = Literal["bundle", "ocsf", "cloudevents"]


def export(directory: Path, form: Format, criteria: Criteria = EVERYTHING) -> Iterator[bytes]:
    """Yield the lines (JSON, each with its newline) of an export.

    A bundle is always whole, because a part of a tree cannot be verified:
    raises `ValueError` when `criteria` ask for less.
    """
    if form == "bundle":
        if criteria != EVERYTHING:
            raise ValueError("a bundle holds every record; for some of them ask for receipts")
        return bundle(directory)
    make = api_activity if form == "ocsf" else cloudevent
    return (orjson.dumps(make(entry)) + b"\n" for entry in records(directory, criteria))


def bundle(directory: Path) -> Iterator[bytes]:
    """Yield the lines of a bundle: per log its checkpoints, then its records.

    {"log":slot,"checkpoint":note}
    {"log":slot,"index":n,"leaf":hex,"record":the record byte for byte}
    """
    for path in log_paths(directory):
        slot = path.stem.encode()
        for _, note in checkpoints(path):
            yield b'{"log":"%s","checkpoint":%s}\n' % (slot, orjson.dumps(note))
        for entry in entries(path):
            leaf = leaf_hash(entry.line).hex().encode()
            yield b'{"log":"%s","index":%d,"leaf":"%s","record":%s}\n' % (slot, entry.index, leaf, entry.line)


def cloudevent(entry: Entry) -> dict[str, object]:
    """Return a record in its CloudEvents 1.0 envelope; id and source name its place in the log."""
    event: dict[str, object] = {
        "specversion": "1.0",
        "id": f"{entry.log}/{entry.index}",
        "source": f"urn:agent-gateway:audit:{entry.log}",
        "type": f"agent-gateway.{entry.record.get('kind', 'unknown')}.v1",
        "time": datetime.fromtimestamp(entry.at_ms / 1_000, UTC).isoformat(timespec="milliseconds"),
        "datacontenttype": "application/json",
        "data": dict(entry.record),
    }
    if "call" in entry.record:
        event["subject"] = entry.record["call"]
    return event
