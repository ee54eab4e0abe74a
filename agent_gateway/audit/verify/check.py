"""The checks: every hash, every root, every signature, and one outcome per call."""

import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from .files import Batch, Note, batches_of, log_of, open_log, parse, split_bundle
from .keys import Keys
from .proofs import Tree, check_vkeys, decode, grows, log_named, open_note, root_of, size_named
from .report import Finding, Report

MAX_UNANCHORED = 2_000  # a healthy log signs every 1 000 records
MAX_UNANCHORED_MS = 60_000  # and every second


def verify(target: Path, vkeys: Sequence[str], kept: Sequence[str] = ()) -> Report:
    """Verify whatever `target` is: a directory, a log, a bundle (`.jsonl`), a receipt or a proof of growth (`.json`).

    vkeys  C2SP keys `name+id+key`; one named `name` also speaks for the logs `name/slot`
    kept   checkpoints from elsewhere: each must fit the log that signed it
    Raises `ValueError` for a damaged key or bundle, `OSError` when there is nothing to read.
    """
    check_vkeys(vkeys)
    if target.suffix == ".jsonl":
        return verify_bundle(target, vkeys, kept)
    if target.suffix == ".json":
        read = parse(target.read_bytes())
        return verify_growth(read, vkeys) if "consistency" in read else verify_receipt(read, vkeys)
    return verify_directory(target, vkeys, kept)


def verify_directory(target: Path, vkeys: Sequence[str], kept: Sequence[str] = ()) -> Report:
    """Verify every log in `target`, or the one log that it is; see `verify`."""
    paths = sorted(target.glob("*.db")) if target.is_dir() else [target]
    if not paths or not all(path.is_file() for path in paths):
        raise FileNotFoundError(2, "there is no audit log here", str(target))
    report, calls, trusted = Report(), _Calls(), [one.strip() for one in vkeys]
    for path in paths:
        try:
            with closing(open_log(path)) as connection:
                query = "SELECT size, CAST(frontier AS BLOB), CAST(note AS TEXT) FROM checkpoint"
                notes = [Note(*row) for row in connection.execute(query).fetchall()]
                _LogCheck(path.stem, trusted, report, calls).run(batches_of(connection), notes, kept)
        except sqlite3.Error as error:
            report.add(Finding(path.stem, "unreadable", f"the file cannot be read: {error}"))
    return _finish(report, calls, {path.stem for path in paths}, kept)


def verify_bundle(path: Path, vkeys: Sequence[str], kept: Sequence[str] = ()) -> Report:
    """Verify an exported bundle: per log its checkpoints, then its records; see `verify`."""
    report, calls, logs, trusted = Report(), _Calls(), set[str](), [one.strip() for one in vkeys]
    with path.open("rb") as file:
        for log, lines in groupby(file, log_of):
            if log in logs:
                report.add(Finding(log, "gap", "the log is in the bundle twice"))
            logs.add(log)
            notes, batches = split_bundle(lines)
            _LogCheck(log, trusted, report, calls).run(batches, notes, kept)
    return _finish(report, calls, logs, kept)


def verify_receipt(receipt: Mapping[str, Any], vkeys: Sequence[str]) -> Report:
    """Verify that each record of a receipt is in the signed log, and about the receipt's call."""
    report, call, parts = Report(), str(receipt.get("call")), cast(object, receipt.get("parts"))
    for part in cast(list[dict[str, Any]], parts) if isinstance(parts, list) and parts else [{}]:
        log, index, record = str(part.get("log")), part.get("index"), str(part.get("record")).encode()
        report.records, report.checkpoints, report.logs = report.records + 1, report.checkpoints + 1, 1
        try:
            origin, size, root = open_note(str(part.get("checkpoint")), vkeys)
            path = [decode(str(node)) for node in cast(list[object], part.get("proof") or [])]
        except ValueError as error:
            report.add(Finding(log, "checkpoint", f"the checkpoint cannot be trusted: {error}", call=call))
            continue
        at = index if isinstance(index, int) else None
        leaf = sha256(b"\x00" + record).digest()
        if origin != log or at is None or root_of(leaf, at, size, path) != root:
            report.add(Finding(log, "proof", "the record is not in the signed log", index=at, call=call))
        elif parse(record).get("call") != call:
            report.add(Finding(log, "call", "the record is about another call", index=at, call=call))
    return report


def verify_growth(proof: Mapping[str, Any], vkeys: Sequence[str]) -> Report:
    """Verify that the log of one signed head has only grown into that of another."""
    report, log = Report(logs=1, checkpoints=2), str(proof.get("log"))
    try:
        origin, old_size, old_root = open_note(str(proof.get("from")), vkeys)
        later, size, root = open_note(str(proof.get("to")), vkeys)
        path = [decode(str(node)) for node in cast(list[object], proof.get("proof") or [])]
    except ValueError as error:
        report.add(Finding(log, "checkpoint", f"a checkpoint cannot be trusted: {error}"))
        return report
    report.records = size
    if not origin == later == log or not grows(old_size, size, path, old_root, root):
        report.add(Finding(log, "consistency", "the log has not only grown between the two checkpoints"))
    return report


class _LogCheck:
    """One log, read once from its first record to its last. What it learns of new keys, `trusted` has for the next."""

    def __init__(self, log: str, trusted: list[str], report: Report, calls: "_Calls") -> None:
        self.log, self.report, self.calls = log, report, calls
        self.keys = Keys(trusted)
        self.notes: list[Note] = []
        self.doubted: list[tuple[Note, str]] = []  # signed by no key that is known so far, and why
        self.passed: dict[int, bytes] = {}  # size -> root, where a doubted checkpoint stands
        self.tree = Tree()  # over the leaf hashes that are kept beside the records
        self.heads: dict[int, list[tuple[str, bytes, bytes | None]]] = {}  # size -> (origin, root, kept frontier)
        self.anchored = 0
        self.times: list[int] = []  # [oldest, newest] record that is not anchored, unix ms
        self.is_lost = False  # a root did not fit, or records are missing: no later root can fit

    def run(self, batches: Iterable[Batch], notes: Sequence[Note], kept: Sequence[str]) -> None:
        self.report.logs += 1
        self.notes = [*notes, *(Note(None, None, text) for text in kept if log_named(text) == self.log)]
        self._take(self.notes)
        self._check_heads()
        for batch in batches:
            if batch.first != self.tree.size:
                text = f"record {self.tree.size} should come next, and the batch begins with {batch.first}"
                self._add("gap", text, batch=batch.first, index=self.tree.size)
                self.is_lost = True
                break
            self._take_batch(batch)
        for note, why in self.doubted:
            self._add("checkpoint", f"the checkpoint at {note.size} records cannot be trusted: {why}")
        last = max(self.heads, default=0)
        if last > self.tree.size and not self.is_lost:
            self._add("truncated", f"{last} records were signed, and only {self.tree.size} are here")
        unanchored = self.tree.size - self.anchored
        span_ms = self.times[1] - self.times[0] if self.times else 0
        if not self.is_lost and (unanchored > MAX_UNANCHORED or span_ms > MAX_UNANCHORED_MS):
            self._add("unsigned", f"{unanchored} records, over {span_ms} ms, are signed by nobody", index=self.anchored)
        self.report.records += self.tree.size
        self.report.unanchored += unanchored

    def _add(self, code: str, text: str, **where: Any) -> None:
        self.report.add(Finding(self.log, code, text, **where))

    def _take(self, notes: Iterable[Note]) -> None:
        """Take what a known key has signed; doubt the rest until a key becomes known that has."""
        self.doubted = []
        for note in notes:
            try:
                origin, size, root = open_note(note.text, self.keys.at(size_named(note.text)))
                if log_named(origin) != self.log or note.size not in (None, size):
                    raise ValueError("it is of another log or another size")
            except ValueError as error:
                self.doubted.append((note, str(error)))
                continue
            self.report.checkpoints += 1
            if size > self.tree.size or size not in self.passed:
                self.heads.setdefault(size, []).append((origin, root, note.frontier))
            elif self.passed[size] != root and not self.is_lost:
                self._add("root", f"the first {size} records are not those that were signed", index=size - 1)
        self.passed |= {
            size_named(note.text): b"" for note, _ in self.doubted if size_named(note.text) > self.tree.size
        }

    def _take_anew(self) -> None:
        """Judge by the keys that are known now what comes next, and what was passed in doubt."""
        here = self.tree.size
        ahead = [note for note in self.notes if size_named(note.text) > here]
        behind = [note for note, _ in self.doubted if size_named(note.text) <= here]
        self.report.checkpoints -= sum(len(heads) for size, heads in self.heads.items() if size > here)
        self.heads = {size: heads for size, heads in self.heads.items() if size <= here}
        self._take([*behind, *ahead])

    def _take_batch(self, batch: Batch) -> None:
        lines = batch.records.split(b"\n")
        own = [sha256(b"\x00" + line).digest() for line in lines]
        leaves = [batch.leaves[at : at + 32] for at in range(0, len(batch.leaves), 32)]
        wrong = [at for at, leaf in enumerate(leaves) if own[at : at + 1] != [leaf]]
        if len(lines) != len(leaves):
            wrong = wrong[:1]  # a line more or less shifts all that follow: only the first is news
        for at in wrong:
            line = lines[at] if at < len(lines) else b""
            call = re.search(rb'"call":"([^"]{1,128})"', line)
            text = "the record does not match its leaf hash: it was altered after it was written"
            name = call[1].decode(errors="replace") if call else ""
            self._add("altered", text, batch=batch.first, index=batch.first + at, call=name)
        if batch.claimed != len(leaves) or (len(lines) != len(leaves) and not wrong):
            text = f"the batch claims {batch.claimed} records and has {len(lines)}, with {len(leaves)} leaf hashes"
            self._add("count", text, batch=batch.first, index=batch.first)
        for at, leaf in enumerate(leaves if len(leaves) == batch.claimed else own):
            if at < len(own) and own[at] == leaf:
                self._take_record(lines[at])
            self.tree.append(leaf)
            self._check_heads()

    def _take_record(self, line: bytes) -> None:
        record, index = parse(line), self.tree.size
        at_ms = record.get("at_ms")
        if type(at_ms) is int:
            self.times = [min(self.times[0], at_ms), max(self.times[1], at_ms)] if self.times else [at_ms, at_ms]
        self.keys.hear(record, index)
        self.calls.take(self.report, self.log, index, record)

    def _check_heads(self) -> None:
        """Compare the tree as it is now with every checkpoint of this size."""
        if self.tree.size in self.passed:
            self.passed[self.tree.size] = self.tree.root()
        for origin, root, frontier in () if self.is_lost else self.heads.get(self.tree.size, ()):
            if self.tree.root() != root:
                text = f"records {self.anchored} to {self.tree.size - 1} are not those that were signed"
                self._add("root", text, index=self.anchored)
                self.is_lost = True
                return
            self.anchored, self.times = self.tree.size, []
            if frontier not in (None, b"".join(self.tree.nodes)):
                self._add("frontier", f"the frontier kept with checkpoint {self.tree.size} was altered")
            if self.keys.learn(origin):
                self._take_anew()


class _Calls:
    """One decision and at most one outcome per call, over all logs. Takes some 100 bytes a call."""

    def __init__(self) -> None:
        self.undone: dict[str, bool] = {}  # decided calls without outcome; True: permitted
        self.done: set[int] = set()
        self.orphans: list[tuple[str, int, str]] = []

    def take(self, report: Report, log: str, index: int, record: Mapping[str, Any]) -> None:
        call, kind = str(record.get("call", "")), record.get("kind")
        if kind == "decision":
            if call in self.undone or hash(call) in self.done:
                report.add(Finding(log, "second_decision", "the call was decided before", index=index, call=call))
            self.undone[call] = record.get("effect") == "permit"
        elif kind == "outcome" and self.undone.pop(call, None) is not None:
            self.done.add(hash(call))
        elif kind == "outcome" and hash(call) in self.done:
            report.add(Finding(log, "second_outcome", "the call has an outcome already", index=index, call=call))
        elif kind == "outcome":  # its decision may stand in another worker's log
            self.orphans.append((log, index, call))
        elif kind not in ("refusal", "approval", "key"):
            report.add(Finding(log, "malformed", "this is no record of a gateway", index=index))


def _finish(report: Report, calls: _Calls, logs: set[str], kept: Sequence[str]) -> Report:
    for log, index, call in calls.orphans:
        if calls.undone.pop(call, None) is None:
            report.add(Finding(log, "no_decision", "the outcome has no decision", index=index, call=call))
    for log in {log_named(text) for text in kept} - logs:
        report.add(Finding(log, "missing", "a checkpoint of this log was kept, and the log is not here"))
    report.open = [call for call, is_permit in calls.undone.items() if is_permit]
    return report
