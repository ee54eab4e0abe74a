"""Receipts: what a log holds of one call, with the proof that it does; and the proof that a log only grew.

A receipt needs nothing but the log's public key to be checked
(`verify.verify_receipt`), so it can be handed to anyone.
"""

from base64 import b64encode
from pathlib import Path

from agent_gateway.audit.merkle import consistency_proof, inclusion_proof, leaf_hash
from agent_gateway.audit.reader import Entry, checkpoints, find, leaves, log_paths
from agent_gateway.audit.verify.proofs import root_of
from gateway_policies.refusal import NotFound, Unavailable

VERSION = 1

Receipt = dict[str, object]


def prove(directory: Path, call: str) -> Receipt:
    """Return the receipt of a call: JSON values, self-contained.

        {"receipt": 1, "call": id, "parts": [part, ...]}

    A part is one record (the decision, then the outcome if there is one):
    `log` (its origin), `index`, `record` (the exact text that was hashed),
    `proof` (RFC 9162 inclusion path, base64) and `checkpoint` (a C2SP note).

    Raises `NotFound` for a call that has no record, and `Unavailable` when no
    checkpoint covers it yet (in a running gateway: within a second) or the log
    does not lead to its own checkpoint.
    """
    history = find(directory, call)
    if history is None:
        raise NotFound(f"no call `{call}` is recorded here")
    entries = [history.decision] if history.outcome is None else [history.decision, history.outcome]
    parts = [_part(directory, entry) for entry in entries if entry is history.decision or _head(directory, entry)]
    return {"receipt": VERSION, "call": call, "parts": parts}


def prove_growth(directory: Path, kept: str) -> Receipt:
    """Return the proof that a log has only grown since the checkpoint `kept`: JSON values, self-contained.

        {"consistency": 1, "log": origin, "from": kept, "to": the last checkpoint, "proof": [base64, ...]}

    `proof` is the consistency path of RFC 9162, 2.1.4. Raises `NotFound` for a note of no log here, and
    `Unavailable` when the log is shorter than it was, or has no head since.
    """
    origin, size_text, _ = [*kept.split("\n"), "", "", ""][:3]
    name = origin.rpartition("/")[2]
    path = directory / f"{name}.db"
    if not name or not size_text.isdigit() or path not in log_paths(directory):
        raise NotFound("this checkpoint is of no log here")
    heads = checkpoints(path, int(size_text))
    if not heads:
        raise Unavailable(f"log `{name}` is shorter than it was", hint="run `audit verify` with this checkpoint")
    size, note = heads[-1]
    hashes = leaves(path, size)
    if len(hashes) < size:
        raise _damaged(name)
    proof = consistency_proof(hashes, int(size_text))
    return {
        "consistency": VERSION,
        "log": origin,
        "from": kept,
        "to": note,
        "proof": [b64encode(node).decode() for node in proof],
    }


def _head(directory: Path, entry: Entry) -> tuple[int, str] | None:
    """Return (size, note) of the first checkpoint that covers a record."""
    return next(iter(checkpoints(directory / f"{entry.log}.db", entry.index + 1)), None)


def _part(directory: Path, entry: Entry) -> Receipt:
    head = _head(directory, entry)
    if head is None:
        raise Unavailable("no checkpoint covers this call yet", hint="try again in a second", retry_after_s=1.0)
    size, note = head
    hashes = leaves(directory / f"{entry.log}.db", size)
    origin, _, root = note.split("\n")[:3]
    if len(hashes) < size:
        raise _damaged(entry.log)
    path = inclusion_proof(hashes, entry.index)
    if b64encode(root_of(leaf_hash(entry.line), entry.index, size, path)).decode() != root:
        raise _damaged(entry.log)
    return {
        "log": origin,
        "index": entry.index,
        "record": entry.line.decode(),
        "proof": [b64encode(node).decode() for node in path],
        "checkpoint": note,
    }


def _damaged(log: str) -> Unavailable:
    return Unavailable(f"log `{log}` does not lead to its own checkpoint", hint="run `audit verify`")
