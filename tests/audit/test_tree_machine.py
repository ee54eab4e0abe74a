"""Anything may happen to a log in any order: its records, proofs and checkpoints stay true."""

import tempfile
from itertools import pairwise
from pathlib import Path

import orjson
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent_gateway.audit import reader
from agent_gateway.audit.checkpoint import open_note
from agent_gateway.audit.logfile import LogFile
from agent_gateway.audit.merkle import consistency_proof, leaf_hash, root, verify_consistency
from agent_gateway.audit.prove import prove
from agent_gateway.audit.records import Record
from agent_gateway.audit.verify import verify_directory, verify_receipt
from gateway_policies.refusal import Unavailable
from support.audit_log import ORIGIN, SIGNER, VKEY, decision


class LogMachine(RuleBasedStateMachine):
    """A log file against a plain list of what was committed."""

    @initialize()
    def create(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.directory = Path(self.folder.name)
        self.path = self.directory / "w0.db"
        self.lines: list[bytes] = []  # the model
        self.signed = 0
        self.file = LogFile.open(self.path, SIGNER)

    @rule(count=st.integers(min_value=1, max_value=9))
    def commit(self, count: int) -> None:
        lines = [self.encode(decision(f"c{len(self.lines) + number}")) for number in range(count)]
        self.file.write(lines, 0)
        self.lines += lines

    @precondition(lambda self: self.signed < len(self.lines))
    @rule()
    def sign(self) -> None:
        self.file.checkpoint(0)
        self.signed = len(self.lines)

    @rule()
    def stop_and_reopen(self) -> None:
        self.file.close()
        self.file = LogFile.open(self.path, SIGNER)

    @rule()
    def crash_and_reopen(self) -> None:
        """A second connection recovers the WAL while the first never said goodbye."""
        abandoned = self.file
        self.file = LogFile.open(self.path, SIGNER)
        abandoned.close()

    @rule()
    def sync(self) -> None:
        self.file.force()

    @precondition(lambda self: self.lines)
    @rule(data=st.data())
    def prove_one(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(min_value=0, max_value=len(self.lines) - 1))
        try:
            receipt = prove(self.directory, f"c{index}")
        except Unavailable:
            assert index >= self.signed
            return
        assert index < self.signed
        assert verify_receipt(orjson.loads(orjson.dumps(receipt)), [VKEY]).is_ok

    @rule()
    def verify_all(self) -> None:
        report = verify_directory(self.directory, [ORIGIN.verifier.vkey])
        assert report.findings == []
        assert (report.records, report.unanchored) == (len(self.lines), len(self.lines) - self.signed)

    @precondition(lambda self: self.signed)
    @rule()
    def every_checkpoint_extends_the_one_before(self) -> None:
        hashes = [leaf_hash(line) for line in self.lines]
        heads = [open_note(note, [SIGNER.verifier]) for _, note in reader.checkpoints(self.path)]
        for old, new in pairwise(heads):
            proof = consistency_proof(hashes[: new.size], old.size)
            assert verify_consistency(old.size, old.root, new.size, new.root, proof)

    @invariant()
    def what_was_committed_is_what_is_there(self) -> None:
        if hasattr(self, "file"):
            hashes = [leaf_hash(line) for line in self.lines]
            assert (self.file.size, self.file.anchored) == (len(self.lines), self.signed)
            assert self.file.frontier.root == root(hashes)
            assert [entry.line for entry in reader.entries(self.path)] == self.lines

    def teardown(self) -> None:
        if hasattr(self, "file"):
            self.file.close()
            self.folder.cleanup()

    @staticmethod
    def encode(record: Record) -> bytes:
        return orjson.dumps(record, option=orjson.OPT_SORT_KEYS)


TestLogMachine = LogMachine.TestCase
TestLogMachine.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
