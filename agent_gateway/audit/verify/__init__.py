"""Verify an audit log with nothing but this folder, Python and `cryptography`.

    python -m agent_gateway.audit.verify TARGET --vkey KEY [--checkpoint FILE] [--json]

TARGET is a directory of logs (`*.db`), one log, an exported bundle (`.jsonl`)
a receipt or a proof that a log only grew (`.json`). Every record is hashed again, every root computed again
(RFC 9162) and compared with the signed checkpoints (C2SP); every call must
have one decision and at most one outcome. Exit code 0: all holds; 1: the first
finding names log, batch, record and call; 2: it cannot be read.

It imports nothing of the gateway on purpose, and spells formats out again: a
verifier that shares code with what it checks shares its mistakes. Its imports
are relative, so that an auditor can copy the folder and run it elsewhere.

What it cannot see by itself: records and checkpoints cut off the end together.
Keep a checkpoint elsewhere for that.
"""

from .check import verify, verify_bundle, verify_directory, verify_growth, verify_receipt
from .report import Finding, Report

__all__ = ["Finding", "Report", "verify", "verify_bundle", "verify_directory", "verify_growth", "verify_receipt"]
